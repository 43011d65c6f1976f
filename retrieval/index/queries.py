"""Weighted terms as the kernels take them, and searching over all segments of a commit."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import DataError
from rankloom.retrieval.index.batches import Hits, hits_of, in_stretches, no_hits
from rankloom.retrieval.index.columns import STRETCH_SHIFT
from rankloom.retrieval.index.segment import Segment

#: The largest weight of a query term. Times any value of 31 bits, summed over 10,000 terms, it is a float32 number.
HEAVIEST = 1e24
_room = threading.local()  # what a thread's next search can use again: new memory costs a tenth of a short query


class WeightedTerms(NamedTuple):
    """A batch of queries, terms heaviest first.

    Args:
        offsets: Where the terms of each query start, int64 of shape (queries + 1,).
        words: The terms of all queries.
        weights: What each term's part of a score is multiplied by, float32.
        bonuses: What a document gets for holding the term at all, float32.
    """

    offsets: NDArray[np.int64]
    words: list[str]
    weights: NDArray[np.float32]
    bonuses: NDArray[np.float32]


class Searched(NamedTuple):
    """A segment, what its documents are called in results (-1: deleted; empty: by number), and how it is scored."""

    segment: Segment
    codes: NDArray[np.int32]
    scoring: Any


def check_weights(query: Mapping[str, float | np.float32], *, stage: str) -> None:
    """Refuse weights that are NaN, infinite, or so large that a float32 score could become infinite.

    Raises:
        DataError: Names the stage and the term.
    """
    for word, weight in query.items():
        if not abs(float(weight)) <= HEAVIEST:
            raise DataError(
                "the weight of a query term is too large for a score, or not a number",
                stage=stage,
                value={word: float(weight)},
                accepted=f"{-HEAVIEST:g} to {HEAVIEST:g}",
            )


def in_order(query: Mapping[str, tuple[np.float32, np.float32]]) -> list[tuple[str, tuple[np.float32, np.float32]]]:
    """The terms of a query, each with its weight and bonus, in the order in which their parts are added up.

    The heaviest come first, which prunes most, then by name.
    """
    return sorted(query.items(), key=lambda item: (-abs(item[1][0]), item[0]))


def weighted_terms(queries: Sequence[Mapping[str, tuple[np.float32, np.float32]]]) -> WeightedTerms:
    """Queries as columns, from the weight and bonus of each term."""
    words: list[str] = []
    weights: list[tuple[np.float32, np.float32]] = []
    offsets = [0]
    for query in queries:
        for word, both in in_order(query):
            words.append(word)
            weights.append(both)
        offsets.append(len(words))
    columns = np.array(weights, dtype=np.float32).reshape(-1, 2)
    return WeightedTerms(np.array(offsets, dtype=np.int64), words, columns[:, 0].copy(), columns[:, 1].copy())


def search_segments(segments: Sequence[Searched], queries: WeightedTerms, k: int, *, threads: int = 1) -> Hits:
    """The best k documents of every query.

    Args:
        segments: Where to look.
        queries: What for.
        k: How many hits a query gets at most.
        threads: How many threads share the queries.
    """
    k = min(k, max(1, sum(len(one.segment) for one in segments)))

    def found(stretch: tuple[int, int]) -> Hits:
        return _search_stretch(segments, queries, stretch, k)

    return in_stretches(found, len(queries.offsets) - 1, threads)


def _search_stretch(segments: Sequence[Searched], queries: WeightedTerms, stretch: tuple[int, int], k: int) -> Hits:
    """The best k documents of the queries from one to before another."""
    from rankloom.retrieval.index import search_kernel as kernel
    from rankloom.retrieval.index.compiled import Compiling

    first, last = stretch
    begin, end = int(queries.offsets[first]), int(queries.offsets[last])
    keys, sizes, worsts = no_hits(last - first, k)
    offsets = queries.offsets[first : last + 1] - begin
    for segment, codes, scoring in segments:
        if len(segment):
            terms = segment.vocabulary.numbers(queries.words[begin:end])
            asked = kernel.Queries(offsets, terms, queries.weights[begin:end], queries.bonuses[begin:end])
            with Compiling("searching", kernel.search):
                kernel.search(segment.columns, scoring, asked, codes, k, _sums(), keys, sizes, worsts)
    return hits_of(keys, sizes, k)


def _sums() -> NDArray[np.float64]:
    """The thread's room for sums, which every search leaves as it was."""
    if not hasattr(_room, "sums"):
        _room.sums = np.full(1 << STRETCH_SHIFT, -0.0)
    sums: NDArray[np.float64] = _room.sums
    return sums
