"""The Pareto front against its definition, and what may be compared at all."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankloom.errors import UsageError
from rankloom.eval.pareto import Point, pareto_front, trade_off

VALUES = st.integers(0, 4).map(float)  # few values, many ties
POINTS = st.lists(st.tuples(VALUES, VALUES), max_size=12).map(
    lambda pairs: [Point(f"p{number}", *pair) for number, pair in enumerate(pairs)]
)


def dominates(one: Point, other: Point, sign: int) -> bool:
    """At least as good in both, and better in one."""
    gain, saved = one.effectiveness - other.effectiveness, sign * (other.cost - one.cost)
    return gain >= 0 and saved >= 0 and (gain > 0 or saved > 0)


@given(POINTS, st.sampled_from(["lower", "higher"]))
def test_the_front_is_what_nothing_dominates(points: list[Point], better: Any) -> None:
    sign = 1 if better == "lower" else -1
    front = pareto_front(points, better=better)
    by_definition = {point.name for point in points if not any(dominates(other, point, sign) for other in points)}
    assert set(front) == by_definition
    assert len(front) == len(by_definition)
    costs = {point.name: sign * point.cost for point in points}
    assert [costs[name] for name in front] == sorted(costs[name] for name in front)  # the cheapest first


def outcome(effectiveness: float, cached: int = 0, **costs: float) -> Any:
    return SimpleNamespace(
        evaluation=SimpleNamespace(means={"AP": effectiveness}), costs=lambda: costs, cached=lambda: (cached, 10)
    )


def result(**outcomes: Any) -> Any:
    return SimpleNamespace(outcomes=outcomes, summary=SimpleNamespace(measures=("AP",)))


def test_what_looks_cheaper_than_it_is_is_left_out() -> None:
    found = trade_off(
        result(
            bm25=outcome(0.3, tokens=0.0, index_bytes=10.0),
            dense=outcome(0.5, tokens=9.0, index_bytes=99.0),
            again=outcome(0.5, cached=3, tokens=2.0, index_bytes=99.0),
            strange=outcome(0.9, tokens=20.0),
        ),
        "AP",
        "tokens",
    )
    assert [point.name for point in found.points] == ["bm25", "dense", "strange"]
    assert found.front == ("bm25", "dense", "strange")
    assert found.left_out == {"again": "part of it came from the cache"}
    sizes = trade_off(result(a=outcome(0.5, 3, index_bytes=9.0), b=outcome(0.5)), "AP", "index_bytes")
    assert sizes.front == ("a",)  # the size of an index has nothing to do with the cache
    assert sizes.left_out == {"b": "index_bytes is not known"}
    assert sizes.to_dict()["points"] == [{"name": "a", "effectiveness": 0.5, "cost": 9.0}]


def test_more_queries_a_second_are_better() -> None:
    fast = result(fast=outcome(0.5, queries_per_second=90.0), slow=outcome(0.5, queries_per_second=9.0))
    assert trade_off(fast, "AP", "queries_per_second").front == ("fast",)


def test_unknown_words() -> None:
    with pytest.raises(UsageError, match="did you mean 'tokens'"):
        trade_off(result(), "AP", "tokns")
    with pytest.raises(UsageError, match="unknown measure"):
        trade_off(result(), "nDCG", "tokens")


def test_no_pipeline_no_front() -> None:
    found = trade_off(result(), "AP", "tokens")
    assert (found.points, found.front) == ((), ())
    assert replace(found, measure="RR").measure == "RR"
