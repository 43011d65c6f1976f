"""Weighted terms as the kernels take them, and searching over all segments of a commit."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import DataError
from rankloom.retrieval.index.columns import STRETCH_SHIFT
from rankloom.retrieval.index.segment import Segment

_MOST_AT_ONCE = 64  # queries whose hits are in memory together
_NO_KEY = np.iinfo(np.int64).min
_room = threading.local()  # what a thread's next search can use again: new memory costs a tenth of a short query
_SPARE = 32  # hits kept beyond k before the best k are picked out; more for deeper rankings


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


class Hits(NamedTuple):
    """The best hits of a batch of queries, in order.

    Args:
        offsets: Where the hits of each query start, int64 of shape (queries + 1,).
        codes: Document codes, int32.
        scores: float32.
    """

    offsets: NDArray[np.int64]
    codes: NDArray[np.int32]
    scores: NDArray[np.float32]


class Searched(NamedTuple):
    """A segment, what its documents are called in results (-1: deleted; empty: by number), and how it is scored."""

    segment: Segment
    codes: NDArray[np.int32]
    scoring: Any


def check_finite(query: Mapping[str, float], *, stage: str) -> None:
    """Refuse weights that are NaN or infinite.

    Raises:
        DataError: Names the stage and the term.
    """
    for word, weight in query.items():
        if not math.isfinite(weight):
            raise DataError("the weight of a query term is not finite", stage=stage, value={word: weight})


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


def search_segments(
    segments: Sequence[Searched], queries: WeightedTerms, k: int, *, reach: float = 1.0, threads: int = 1
) -> Hits:
    """The best k documents of every query.

    Args:
        segments: Where to look.
        queries: What for.
        k: How many hits a query gets at most.
        reach: What bounds are multiplied by: 1 for exact results, less to leave out documents that hardly matter.
        threads: How many threads share the queries.
    """
    size = len(queries.offsets) - 1
    step = max(1, min(_MOST_AT_ONCE, -(-size // threads)))
    stretches = [(first, min(first + step, size)) for first in range(0, size, step)]
    k = min(k, max(1, sum(len(one.segment) for one in segments)))

    def found(stretch: tuple[int, int]) -> Hits:
        return _search_stretch(segments, queries, stretch, k, reach)

    if threads > 1 and len(stretches) > 1:
        with ThreadPoolExecutor(threads) as pool:
            parts = list(pool.map(found, stretches))
    else:
        parts = [found(stretch) for stretch in stretches]
    if len(parts) == 1:
        return parts[0]
    counts = np.concatenate([np.zeros(1, dtype=np.int64), *(np.diff(part.offsets) for part in parts)])
    return Hits(
        np.cumsum(counts),
        np.concatenate([np.zeros(0, dtype=np.int32), *(part.codes for part in parts)]),
        np.concatenate([np.zeros(0, dtype=np.float32), *(part.scores for part in parts)]),
    )


def _search_stretch(
    segments: Sequence[Searched], queries: WeightedTerms, stretch: tuple[int, int], k: int, reach: float
) -> Hits:
    """The best k documents of the queries from one to before another."""
    from rankloom.retrieval.index import search_kernel as kernel
    from rankloom.retrieval.index.compiled import Compiling

    first, last = stretch
    begin, end = int(queries.offsets[first]), int(queries.offsets[last])
    count = last - first
    keys = np.empty((count, k + max(_SPARE, k // 2)), dtype=np.int64)
    sizes = np.zeros(count, dtype=np.int64)
    worsts = np.full(count, _NO_KEY, dtype=np.int64)
    offsets = queries.offsets[first : last + 1] - begin
    compiled = getattr(kernel.search, "overloads", None)
    for segment, codes, scoring in segments:
        if len(segment):
            terms = segment.vocabulary.numbers(queries.words[begin:end])
            asked = kernel.Queries(offsets, terms, queries.weights[begin:end], queries.bonuses[begin:end])
            with nullcontext() if compiled else Compiling("searching", kernel.search):
                kernel.search(segment.columns, scoring, asked, codes, reach, k, _sums(), keys, sizes, worsts)
    return _in_order(keys, sizes, k)


def _sums() -> NDArray[np.float64]:
    """The thread's room for sums, which every search leaves as it was."""
    if not hasattr(_room, "sums"):
        _room.sums = np.full(1 << STRETCH_SHIFT, -0.0)
    sums: NDArray[np.float64] = _room.sums
    return sums


def _in_order(keys: NDArray[np.int64], sizes: NDArray[np.int64], k: int) -> Hits:
    """The best k of the keys of each query, in order and taken apart; see `search_kernel._key`."""
    best = [np.sort(row[:size])[::-1][:k] for row, size in zip(keys, sizes.tolist(), strict=True)]
    flat = best[0] if len(best) == 1 else np.concatenate(best)
    bits = (flat >> 32).astype(np.int32)
    if (bits < 0).any():
        bits = np.where(bits < 0, np.int32(-(2**31)) - bits, bits)
    scores, codes = bits.view(np.float32), (~flat).astype(np.int32)
    offsets = np.zeros(len(best) + 1, dtype=np.int64)
    offsets[1:] = np.cumsum([len(row) for row in best])
    return Hits(offsets, codes, scores)
