"""Rankings of several new queries as one ranking of the query that they were made from (Li et al., TOIS 2023)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import UsageError
from rankloom.order import strictly_decreasing
from rankloom.ranking import Ranking, ScoreKind

Aggregation = Literal["average", "max", "borda"]
AGGREGATIONS: tuple[str, ...] = get_args(Aggregation)
Missing = Literal["minimum", "zero"]
MISSING: tuple[str, ...] = get_args(Missing)
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Votes:
    """What the new queries have to say of each document; only hits that their last reranker has scored count.

    Args:
        documents: How many documents there are, over all original queries.
        numbers: The original query of each; int64 of shape (documents,).
        places: For each hit that counts, its document; int64 of shape (hits,).
        voters: Its new query; likewise.
        ranks: Its rank there, from 1; likewise.
        scores: Its score there; float64 of shape (hits,).
        sizes: How many hits of each new query count; int64 of shape (new queries,).
        owners: The original query of each new one; likewise.
    """

    documents: int
    numbers: Integers
    places: Integers
    voters: Integers
    ranks: Integers
    scores: Floats
    sizes: Integers
    owners: Integers


def aggregate(
    found: Ranking, owners: Integers, queries: int, *, method: Aggregation, missing: Missing, stage: str
) -> Ranking:
    """Make one ranking of those of several new queries.

    Args:
        found: What the new queries have found.
        owners: The original query of each, by place; int64 of shape (new queries,).
        queries: How many original queries there are.
        method: `average`: the mean score over the new queries. `max`: the highest score. `borda`: the sum of
            (n - r + 1) / n over the new queries that found the document, n being how many hits they have and r its
            rank among them.
        missing: For `average`: what a document scores for a new query that has not found it: that list's `minimum`
            (0 for an empty one), or `zero`.
        stage: Who asks, for errors.

    Returns:
        Every document that any new query has found. Those that none of their rerankers looked at stand below the
        others, by their best rank anywhere, each the smallest possible step of float32 below the one before it.

    Raises:
        UsageError: Scores that only stand for ranks would be averaged or compared.
    """
    if found.kind is ScoreKind.RANK and method != "borda" and len(found.codes):
        raise UsageError(
            "these scores only stand for ranks, and can not be averaged or compared",
            stage=stage,
            value=method,
            fix="pass aggregation='borda'",
        )
    width = max(1, len(found.ids))
    rows = found.query_numbers()
    pooled, places = np.unique(owners[rows] * width + found.codes, return_inverse=True)
    sizes = found.counts() if found.scored is None else found.scored
    counts = found.ranks() <= np.repeat(sizes, found.counts())
    votes = Votes(
        len(pooled),
        pooled // width,
        places[counts],
        rows[counts],
        found.ranks()[counts],
        found.scores[counts].astype(np.float64),
        sizes,
        owners,
    )
    scores = _METHODS[method](votes, missing).astype(np.float32)
    best = np.full(len(pooled), np.inf)
    np.minimum.at(best, places, found.ranks())
    kind = ScoreKind.RANK if method == "borda" else found.kind
    voted = np.bincount(votes.places, minlength=len(pooled)) > 0
    codes = (pooled % width).astype(np.int32)

    def part(mask: NDArray[np.bool_], values: NDArray[np.float32]) -> Ranking:
        offsets = np.searchsorted(votes.numbers[mask], np.arange(queries + 1))
        return Ranking.build(found.ids, offsets, codes[mask], values[mask], stage=stage, kind=kind)

    head = part(voted, scores)
    return head if voted.all() else _with_tail(head, part(~voted, -best.astype(np.float32)))


def _average(votes: Votes, missing: Missing) -> Floats:
    """The mean score over the new queries."""
    lows = np.zeros(len(votes.sizes))
    if missing == "minimum":
        lows[votes.sizes > 0] = np.inf
        np.minimum.at(lows, votes.voters, votes.scores)
    above = np.bincount(votes.places, votes.scores - lows[votes.voters], minlength=votes.documents)
    queries = int(votes.owners.max(initial=-1)) + 1
    base = np.bincount(votes.owners, lows, minlength=queries)
    voters = np.bincount(votes.owners, minlength=queries)
    mean: Floats = (above + base[votes.numbers]) / voters[votes.numbers]
    return mean


def _max(votes: Votes, missing: Missing) -> Floats:  # noqa: ARG001  # a list without the document has no say
    """The highest score."""
    scores = np.full(votes.documents, -np.inf)
    np.maximum.at(scores, votes.places, votes.scores)
    return scores


def _borda(votes: Votes, missing: Missing) -> Floats:  # noqa: ARG001  # likewise
    """The sum of the votes."""
    sizes = votes.sizes[votes.voters]
    earned = (sizes - votes.ranks + 1) / sizes
    return np.bincount(votes.places, earned, minlength=votes.documents).astype(np.float64)


_METHODS: dict[Aggregation, Callable[[Votes, Missing], Floats]] = {"average": _average, "max": _max, "borda": _borda}


def _with_tail(head: Ranking, tail: Ranking) -> Ranking:
    """Two rankings of the same queries, the second below the first."""
    codes, scores = [], []
    for number in range(len(head)):
        start, end = head.bounds(number)
        first, last = tail.bounds(number)
        codes += [head.codes[start:end], tail.codes[first:last]]
        above = head.scores[start:end][-1:]
        chain = np.append(above, np.full(last - first, above[0] if len(above) else 0.0)).astype(np.float32)
        falling = strictly_decreasing(np.array([0, len(chain)]), chain)
        scores += [head.scores[start:end], falling[len(above) :]]
    return Ranking(
        head.ids,
        head.offsets + tail.offsets,
        np.concatenate(codes),
        np.concatenate(scores),
        head.kind,
        head.counts(),
    )
