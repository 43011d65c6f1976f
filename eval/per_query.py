"""Two or more systems query by query: differences, wins and losses, whom a change helped, and which topics are hard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import UsageError

#: Per-query values this close are a tie: two orders of the same additions differ in the last bits.
TIE = 1e-9


class Tally(NamedTuple):
    """On how many queries a system is better than, equal to (within `TIE`) and worse than a baseline."""

    wins: int
    ties: int
    losses: int


class Change(NamedTuple):
    """What a system changed on one query: its value minus the baseline's."""

    query: str
    delta: float


@dataclass(frozen=True, slots=True)
class Topic:
    """How hard one query is for a set of systems.

    Args:
        query: Its id.
        mean: Mean over the systems; for AP, the average average precision (AAP) of Mizzaro and Robertson.
        spread: Standard deviation over the systems (divided by systems - 1); 0 for one system.
        worst: The lowest value that a system reaches.
        best: The highest.
    """

    query: str
    mean: float
    spread: float
    worst: float
    best: float


def paired_differences(values: Sequence[float], baseline: Sequence[float]) -> NDArray[np.float64]:
    """Differences of pairs, float64 of shape (queries,); ties are exactly 0.

    Args:
        values: A system's value for each query.
        baseline: The baseline's value for each query, in the same order.

    Raises:
        UsageError: The two are not of one length, or a value is not a finite number.

    Example:
        >>> paired_differences([0.1 + 0.2, 0.75], [0.3, 0.5]).tolist()
        [0.0, 0.25]
    """
    ours, theirs = finite(values), finite(baseline)
    if len(ours) != len(theirs):
        raise UsageError(
            "pairs need as many values on both sides",
            stage="compare",
            value=(len(ours), len(theirs)),
            fix="give both systems a value for every query; one without hits has 0",
        )
    differences = ours - theirs
    return np.where(np.abs(differences) <= TIE, 0.0, differences)


def finite(values: Sequence[float]) -> NDArray[np.float64]:
    """Per-query values as float64 of shape (queries,).

    Raises:
        UsageError: One of them is infinite or not a number.
    """
    array = np.asarray(values, dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(array))
    if len(bad):
        raise UsageError(
            f"the value at place {bad[0]} is not a finite number",
            stage="compare",
            value=float(array[bad[0]]),
            accepted="finite numbers",
            fix="leave out the measure that gives it, or the query",
        )
    return array


def tally(differences: NDArray[np.float64]) -> Tally:
    """Count wins, ties and losses.

    Args:
        differences: Of `paired_differences`, float64 of shape (queries,).

    Example:
        >>> tally(paired_differences([0.5, 0.7, 0.9], [0.4, 0.7, 0.6]))
        Tally(wins=2, ties=1, losses=0)
    """
    wins, losses = int((differences > TIE).sum()), int((differences < -TIE).sum())
    return Tally(wins, len(differences) - wins - losses, losses)


def deltas(values: Mapping[str, float], baseline: Mapping[str, float]) -> dict[str, float]:
    """Query id -> value minus the baseline's, in the order of the baseline; ties are exactly 0.

    Args:
        values: Query id -> a system's value.
        baseline: Query id -> the baseline's value.

    Raises:
        UsageError: They are not of the same queries, or a value is not a finite number.

    Example:
        >>> deltas({"q2": 0.25, "q1": 0.75}, {"q1": 0.5, "q2": 0.5})
        {'q1': 0.25, 'q2': -0.25}
    """
    differences = paired_differences(*aligned(values, baseline))
    return dict(zip(baseline, differences.tolist(), strict=True))


def aligned(values: Mapping[str, float], baseline: Mapping[str, float]) -> tuple[list[float], list[float]]:
    """Both sides as lists in the order of the baseline's queries, as paired tests want them.

    Args:
        values: Query id -> a system's value.
        baseline: Query id -> the baseline's value.

    Raises:
        UsageError: They are not of the same queries.

    Example:
        >>> aligned({"q2": 0.25, "q1": 0.75}, {"q1": 0.5, "q2": 0.0})
        ([0.75, 0.25], [0.5, 0.0])
    """
    _same_queries("the system", values, baseline)
    return [values[query] for query in baseline], list(baseline.values())


def helped(changes: Mapping[str, float], most: int | None = None) -> list[Change]:
    """Queries that a system is better on, largest gain first, equal gains by query id.

    Args:
        changes: Query id -> difference, of `deltas`.
        most: How many to return; by default all.

    Example:
        >>> helped({"q1": 0.25, "q2": -0.25, "q3": 0.5}, most=1)
        [Change(query='q3', delta=0.5)]
    """
    found = [Change(query, delta) for query, delta in changes.items() if delta > TIE]
    return sorted(found, key=lambda change: (-change.delta, change.query))[:most]


def hurt(changes: Mapping[str, float], most: int | None = None) -> list[Change]:
    """Queries that a system is worse on, largest loss first, equal losses by query id; see `helped`.

    Example:
        >>> hurt({"q1": 0.25, "q2": -0.25, "q3": 0.5})
        [Change(query='q2', delta=-0.25)]
    """
    found = [Change(query, delta) for query, delta in changes.items() if delta < -TIE]
    return sorted(found, key=lambda change: (change.delta, change.query))[:most]


def topic_difficulty(systems: Mapping[str, Mapping[str, float]]) -> list[Topic]:
    """The queries, hardest first: by mean over systems, then query id.

    Paper: Mizzaro and Robertson, "HITS hits TREC: exploring IR evaluation results with network analysis", SIGIR 2007.

    Args:
        systems: System -> query id -> value of one measure.

    Raises:
        UsageError: The systems have no value for the same queries, or a value is not a finite number.

    Example:
        >>> topics = topic_difficulty({"a": {"q1": 0.5, "q2": 0.25}, "b": {"q1": 1.0, "q2": 0.25}})
        >>> [(topic.query, topic.mean) for topic in topics]
        [('q2', 0.25), ('q1', 0.75)]
    """
    if not systems:
        return []
    queries = list(next(iter(systems.values())))
    for name, values in systems.items():
        _same_queries(name, values, queries)
    table = np.stack([finite([values[query] for query in queries]) for values in systems.values()])
    spreads = table.std(axis=0, ddof=1) if len(table) > 1 else np.zeros(len(queries))
    columns = zip(
        queries,
        table.mean(axis=0).tolist(),
        spreads.tolist(),
        table.min(axis=0).tolist(),
        table.max(axis=0).tolist(),
        strict=True,
    )
    return sorted((Topic(*column) for column in columns), key=lambda topic: (topic.mean, topic.query))


def _same_queries(name: str, values: Mapping[str, float], queries: Mapping[str, float] | Sequence[str]) -> None:
    """Refuse a system that has a query too few or too many."""
    odd = sorted(set(values) ^ set(queries))
    if odd:
        side = "has a value for a query that the others lack" if odd[0] in values else "has no value for a query"
        raise UsageError(
            f"{name} {side}", stage="compare", value=odd[0], fix="measure all systems against the same judgements"
        )
