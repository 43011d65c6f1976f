"""Effectiveness against cost: which pipelines are worth their price.

A pipeline is on the Pareto front if no other is at least as good and as cheap, and better in one of the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from rankloom.checks import choice
from rankloom.eval.costs import COSTS, CostMeasure

if TYPE_CHECKING:
    from rankloom.eval.results import ExperimentResult, Outcome


class Point(NamedTuple):
    """One pipeline: its name, how good it is (more is better), and what it costs."""

    name: str
    effectiveness: float
    cost: float


@dataclass(frozen=True, slots=True)
class TradeOff:
    """The pipelines of an experiment under one measure of effectiveness and one of cost.

    Args:
        measure: The measure of effectiveness.
        cost: The measure of cost.
        points: A point for each pipeline whose cost is known, in the order of the experiment.
        front: Names of those on the Pareto front, the cheapest first.
        left_out: Pipeline -> why it has no point.
    """

    measure: str
    cost: CostMeasure
    points: tuple[Point, ...]
    front: tuple[str, ...]
    left_out: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """A JSON form."""
        return {
            "measure": self.measure,
            "cost": self.cost.name,
            "unit": self.cost.unit,
            "points": [point._asdict() for point in self.points],
            "front": list(self.front),
            "left_out": dict(self.left_out),
        }


def pareto_front(points: Sequence[Point], *, better: Literal["lower", "higher"] = "lower") -> tuple[str, ...]:
    """The points that no other dominates, the cheapest first; equal points are on the front together.

    Args:
        points: Any, in any order.
        better: Whether less or more of the cost is better (`higher` for queries a second).

    Example:
        >>> pareto_front([Point("bm25", 0.5, 1.0), Point("dense", 0.6, 9.0), Point("slow", 0.6, 20.0)])
        ('bm25', 'dense')
    """
    sign = 1 if better == "lower" else -1
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (sign * point.cost, -point.effectiveness)):
        if not front or point.effectiveness > front[-1].effectiveness or point[1:] == front[-1][1:]:
            front.append(point)
    return tuple(point.name for point in front)


def trade_off(result: ExperimentResult, measure: str, cost: str) -> TradeOff:
    """The pipelines of an experiment, and which of them are worth their price.

    A pipeline is left out where its cost is not known, or where part of its results came from the cache and the
    measure counts what was spent this time: it would look cheaper than it is.

    Args:
        result: What the experiment gave.
        measure: One of its measures of effectiveness.
        cost: A name of `rankloom.eval.costs.COSTS`.

    Raises:
        UsageError: There is no such measure.
    """
    choice(measure, result.summary.measures, stage="trade_off", parameter="measure")
    declared = COSTS[choice(cost, COSTS, stage="trade_off", parameter="cost")]
    points: list[Point] = []
    left_out: dict[str, str] = {}
    for name, outcome in result.outcomes.items():
        value, reason = _cost(outcome, declared)
        if value is None:
            left_out[name] = reason
        else:
            points.append(Point(name, outcome.evaluation.means[measure], value))
    return TradeOff(measure, declared, tuple(points), pareto_front(points, better=declared.better), left_out)


def _cost(outcome: Outcome, measure: CostMeasure) -> tuple[float | None, str]:
    """The cost of a pipeline, or None and the reason why there is none to compare."""
    if measure.depends_on_cache and outcome.cached()[0]:
        return None, "part of it came from the cache"
    return outcome.costs().get(measure.name), f"{measure.name} is not known"
