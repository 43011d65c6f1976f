"""Per-query differences, whom a change helped and hurt, and topic difficulty."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.errors import UsageError
from rankloom.eval.per_query import Change, Topic, deltas, helped, hurt, paired_differences, tally, topic_difficulty

BASELINE = {"q1": 0.5, "q2": 0.5, "q3": 0.3, "q10": 0.0, "q4": 1.0}
SYSTEM = {"q1": 0.25, "q2": 0.75, "q3": 0.1 + 0.2, "q4": 0.75, "q10": 0.25}


def test_deltas_helped_and_hurt() -> None:
    changes = deltas(SYSTEM, BASELINE)
    assert changes == {"q1": -0.25, "q2": 0.25, "q3": 0.0, "q10": 0.25, "q4": -0.25}
    assert list(changes) == list(BASELINE)
    assert helped(changes) == [Change("q10", 0.25), Change("q2", 0.25)]  # equal gains: by id
    assert hurt(changes) == [Change("q1", -0.25), Change("q4", -0.25)]
    assert hurt(changes, most=1) == [Change("q1", -0.25)]
    assert helped(changes, most=0) == []
    assert tally(paired_differences([], [])) == (0, 0, 0)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=30))
@settings(max_examples=60, deadline=None)
def test_every_query_is_helped_hurt_or_tied(pairs: list[tuple[float, float]]) -> None:
    values = {f"q{n}": pair[0] for n, pair in enumerate(pairs)}
    baseline = {f"q{n}": pair[1] for n, pair in enumerate(pairs)}
    changes = deltas(values, baseline)
    counts = tally(paired_differences(list(values.values()), list(baseline.values())))
    assert (len(helped(changes)), len(hurt(changes))) == (counts.wins, counts.losses)
    assert sum(counts) == len(pairs)
    gains = [change.delta for change in helped(changes)]
    assert gains == sorted(gains, reverse=True)
    assert hurt(changes) == [Change(q, -delta) for q, delta in helped(deltas(baseline, values))]


def test_other_queries_are_refused() -> None:
    with pytest.raises(UsageError, match=r"has no value for a query; got 'q4'"):
        deltas({q: v for q, v in SYSTEM.items() if q != "q4"}, BASELINE)
    with pytest.raises(UsageError, match=r"that the others lack; got 'q0'"):
        deltas({**SYSTEM, "q0": 1.0}, BASELINE)
    with pytest.raises(UsageError, match=r"b has no value for a query; got 'q2'"):
        topic_difficulty({"a": {"q1": 0.1, "q2": 0.2}, "b": {"q1": 0.1}})
    with pytest.raises(UsageError, match="finite"):
        topic_difficulty({"a": {"q1": math.nan}})


def test_topic_difficulty() -> None:
    systems = {
        "a": {"q2": 0.5, "q1": 0.5, "q3": 0.0},
        "b": {"q1": 0.5, "q2": 1.0, "q3": 0.25},
        "c": {"q1": 0.5, "q2": 0.0, "q3": 0.5},
    }
    topics = topic_difficulty(systems)
    assert [topic.query for topic in topics] == ["q3", "q1", "q2"]  # hardest first, then by id
    assert topics[1] == Topic("q1", 0.5, 0.0, 0.5, 0.5)
    hard = topics[0]
    assert (hard.mean, hard.worst, hard.best) == (0.25, 0.0, 0.5)
    assert hard.spread == pytest.approx(np.std([0.0, 0.25, 0.5], ddof=1))
    assert topic_difficulty({"a": {"q1": 0.5}}) == [Topic("q1", 0.5, 0.0, 0.5, 0.5)]
    assert topic_difficulty({}) == []
