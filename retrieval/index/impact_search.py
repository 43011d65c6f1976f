"""Searching the impacts of all segments of a commit."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankloom.retrieval.index.batches import Hits, hits_of, in_stretches, no_hits
from rankloom.retrieval.index.impact_columns import BLOCK_SHIFT
from rankloom.retrieval.index.impact_segment import ImpactSegment
from rankloom.retrieval.index.queries import HEAVIEST, WeightedTerms, check_weights

if TYPE_CHECKING:
    from rankloom.retrieval.index.score_at_a_time_kernel import Scratch

_room = threading.local()  # what a thread's next search can use again
_MOST_TERMS = 1 << 13  # of a query whose contributions two bytes can add up, each of them rounded up


class SearchedImpacts(NamedTuple):
    """A segment, and what its documents are called in results (-1: deleted; empty: by number)."""

    segment: ImpactSegment
    codes: NDArray[np.int32]


def impact_queries(queries: Sequence[Mapping[str, float]]) -> WeightedTerms:
    """Queries as columns, terms in any order.

    Raises:
        DataError: A weight is NaN, infinite, or beyond what float32 scores can hold.
    """
    with np.errstate(over="ignore"):  # refused below
        weights = np.array([weight for query in queries for weight in query.values()], dtype=np.float32)
    if not (np.abs(weights) <= HEAVIEST).all():
        for query in queries:
            check_weights(query, stage="index")
    offsets = np.cumsum([0, *map(len, queries)], dtype=np.int64)
    return WeightedTerms(offsets, [word for query in queries for word in query], weights, np.zeros_like(weights))


def search_impacts(
    segments: Sequence[SearchedImpacts], queries: WeightedTerms, k: int, *, reach: float, threads: int
) -> Hits:
    """The best k documents of every query; as `search_segments`."""
    k = min(k, max(1, sum(len(one.segment) for one in segments)))

    def found(stretch: tuple[int, int]) -> Hits:
        return _search_stretch(segments, queries, stretch, k, reach)

    return in_stretches(found, len(queries.offsets) - 1, threads)


def _search_stretch(
    segments: Sequence[SearchedImpacts], queries: WeightedTerms, stretch: tuple[int, int], k: int, reach: float
) -> Hits:
    """The best k documents of the queries from one to before another."""
    from rankloom.retrieval.index import score_at_a_time_kernel as kernel
    from rankloom.retrieval.index.compiled import Compiling

    first, last = stretch
    begin, end = queries.offsets[[first, last]].tolist()
    offsets = queries.offsets[first : last + 1] - begin
    many = int(np.diff(offsets).max(initial=0)) > _MOST_TERMS
    keys, sizes, worsts = no_hits(last - first, k)
    for segment, codes in segments:
        if not len(segment):
            continue
        scratch = _scratch(len(segment.vocabulary), many=many)
        numbers = segment.vocabulary.numbers(queries.words[begin:end])
        numbers[queries.weights[begin:end] == 0.0] = -1
        asked = kernel.Queries(offsets, numbers, queries.weights[begin:end])
        with Compiling("searching", kernel.search):
            kernel.search(segment.columns, asked, codes, reach, k, keys, sizes, worsts, scratch)
    return hits_of(keys, sizes, k)


def _scratch(terms: int, *, many: bool) -> Scratch:
    """The thread's memory for a search, which every search leaves as it was; more of it where that is too little."""
    from rankloom.retrieval.index.score_at_a_time_kernel import Scratch

    held: Scratch | None = getattr(_room, "scratch", None)
    kind = np.uint32 if many else np.uint16
    if held is None or held.sums.dtype != kind or len(held.weights) < terms:
        held = _room.scratch = Scratch(
            np.zeros(1 << BLOCK_SHIFT, dtype=kind),
            np.empty(1 << BLOCK_SHIFT, dtype=np.int32),
            np.zeros(1 << BLOCK_SHIFT, dtype=np.uint8),
            np.zeros(terms, dtype=np.float32),
        )
    return held


def score_documents(
    segment: ImpactSegment, words: list[str], weights: NDArray[np.float32], documents: NDArray[np.int32]
) -> NDArray[np.float64]:
    """The scores of some documents of a segment, 0 for those that hold no term; float64 of shape (documents,)."""
    from rankloom.retrieval.index import score_at_a_time_kernel as kernel

    numbers = segment.vocabulary.numbers(words)
    known = numbers >= 0
    by_term = np.zeros(len(segment.vocabulary), dtype=np.float32)
    by_term[numbers[known]] = weights[known]
    scores = np.empty(len(documents), dtype=np.float64)
    kernel.score_documents(segment.columns, by_term, documents, scores)
    return scores
