"""What pruners keep against what they take away: a curve for each, and the front of them all.

A pruner with a threshold is no single point but a curve, from one that keeps all to one that keeps nothing; two are
compared where they take away as much. An experiment's sweep over thresholds gives the points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rankloom.checks import choice
from rankloom.eval.pareto import Point, pareto_front
from rankloom.eval.pruning import PRUNING

if TYPE_CHECKING:
    from rankloom.eval.results import ExperimentResult, Outcome

#: What stands across: the first of them that an experiment measures.
SAVED = ("compression", "compression_tokens")


@dataclass(frozen=True, slots=True)
class PruningCurves:
    """The pipelines of an experiment that prune, under one measure of what they keep.

    Args:
        measure: What they keep, such as `retention`.
        saved: What they take away: `compression` or `compression_tokens`.
        curves: Pipeline -> its points, those that take away least first; a swept one has a point for each setting.
        front: Names of the points that no other beats in both, those that take away most first.
        bounds: Pipelines that know the labels. They are drawn, but no point has to compare with them.
    """

    measure: str
    saved: str
    curves: Mapping[str, tuple[Point, ...]]
    front: tuple[str, ...]
    bounds: frozenset[str]


def pruning_curves(result: ExperimentResult, measure: str) -> PruningCurves | None:
    """The curves of an experiment; None if no pipeline prunes, or none measures how much.

    Args:
        result: What the experiment gave.
        measure: One of its measures of pruning.

    Raises:
        UsageError: The experiment has no such measure of pruning.
    """
    known = [name for name in result.summary.measures if name in PRUNING]
    choice(measure, known, stage="pruning_curves", parameter="measure")
    saved = next((name for name in SAVED if name in known), None)
    pruned = {name: outcome for name, outcome in result.outcomes.items() if _prunes(outcome)}
    if saved is None or not pruned:
        return None
    bases = {name: base for base, names in result.groups.items() for name in names}
    curves: dict[str, list[Point]] = {}
    for name, outcome in pruned.items():
        means = outcome.evaluation.means
        curves.setdefault(bases.get(name, name), []).append(Point(name, means[measure], means[saved]))
    bounds = frozenset(bases.get(name, name) for name, outcome in pruned.items() if _knows_labels(outcome))
    compared = [point for base, points in curves.items() if base not in bounds for point in points]
    return PruningCurves(
        measure,
        saved,
        {base: tuple(sorted(points, key=lambda point: point.cost)) for base, points in curves.items()},
        pareto_front(compared, better="higher"),
        bounds,
    )


def _prunes(outcome: Outcome) -> bool:
    """Whether a pipeline has a stage that marks sentences."""
    return any("spans" in stage.provides for stage in outcome.pipeline.stages)


def _knows_labels(outcome: Outcome) -> bool:
    """Whether a pipeline has a stage that is told which sentences are relevant."""
    from rankloom.rerank.pruning.oracle import OraclePruner  # here, for stages take long to import

    return any(isinstance(stage, OraclePruner) for stage in outcome.pipeline.stages)
