"""The rows that may still be among the best of each query of a batch, while blocks of rows go by."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankloom.retrieval.vectors.crew import Crew
from rankloom.retrieval.vectors.vector_parts import VectorParts

_MOST = 1 << 16  # candidates of a query before all its rows are scored instead, beyond what its depth asks for
_ALL = np.float32(np.inf)  # the threshold of a query that takes in nothing more


_Buffers = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]


class Candidates:
    """Buffers of candidates; a query whose candidates are too many to keep is marked, and scored against all rows.

    That happens where very many rows are closer together than the scan can tell apart: copies of one document, or
    a query of zeros.

    Args:
        queries: How many queries there are.
        depth: How many rows each asks for.
        block: How many rows are taken in at a time, at most.
        crew: Who does the work.
    """

    def __init__(self, queries: int, depth: int, block: int, crew: Crew) -> None:
        self._depth, self._crew = depth, crew
        self._capacity = block + 2 * depth
        self._most = block + max(_MOST, 8 * depth)
        self._rows = np.empty((queries, self._capacity), dtype=np.int32)
        self._lowers = np.empty((queries, self._capacity), dtype=np.float32)
        self._uppers = np.empty_like(self._lowers)
        self._sizes, self._tightened = np.zeros(queries, dtype=np.int64), np.zeros(queries, dtype=np.int64)
        self._thresholds = np.full(queries, -np.inf, dtype=np.float32)
        self._crowded = np.zeros(queries, dtype=np.bool_)

    def take(
        self,
        products: NDArray[Any],
        first: int,
        measures: NDArray[np.float32],
        labels: NDArray[np.int32],
        query_measures: NDArray[np.float32],
    ) -> None:
        """Take in a block of rows; see `scan_kernel.collect`."""
        from rankloom.retrieval.vectors.scan_kernel import collect

        self._make_room(products.shape[1])

        def work(begin: int, end: int) -> None:
            block = (products, first, measures, labels, query_measures, self._depth)
            collect(*block, *self._buffers(), begin, end)

        self._crew.spread(len(self._sizes), work)

    def best(
        self,
        vectors: VectorParts,
        queries: NDArray[np.float64],
        labels: NDArray[np.int32],
        scores: NDArray[np.float32],
        found: NDArray[np.int64],
    ) -> None:
        """Score what is left, and put the best of each query into `scores` and `found`."""
        from rankloom.retrieval.vectors.scan_kernel import best_labels, score_rows

        self._tighten()
        exact = np.empty((len(queries), int(self._sizes.max(initial=0))), dtype=np.float32)

        def work(begin: int, end: int) -> None:
            first = 0
            for part in vectors.parts:
                score_rows(part, first, self._rows, self._sizes, queries, exact, begin, end)
                first += len(part)
            best_labels(self._rows, exact, self._sizes, labels, scores, found, begin, end)

        self._crew.spread(len(queries), work)
        for number in np.flatnonzero(self._crowded).tolist():
            self._best_of_all(vectors, queries[number], labels, scores[number], found[number])

    def _best_of_all(
        self,
        vectors: VectorParts,
        query: NDArray[np.float64],
        labels: NDArray[np.int32],
        scores: NDArray[np.float32],
        found: NDArray[np.int64],
    ) -> None:
        """Score every row for a query."""
        from rankloom.retrieval.vectors.scan_kernel import best_keys, unpacked

        keys, size, first = np.empty(2 * self._depth + 64, dtype=np.int64), 0, 0
        for part in vectors.parts:
            size = best_keys(part, labels[first : first + len(part)], query, keys, size, self._depth)
            first += len(part)
        unpacked(keys, size, scores, found)

    def _make_room(self, rows: int) -> None:
        """See that a block fits: drop what can go, enlarge the buffers, or give up on queries with too many."""
        if int(self._sizes.max(initial=0)) + rows <= self._capacity:
            return
        self._tighten()
        needed = int(self._sizes.max(initial=0)) + rows
        if needed > self._most:
            crowded = self._sizes + rows > self._most
            self._crowded |= crowded
            self._sizes[crowded], self._tightened[crowded], self._thresholds[crowded] = 0, 0, _ALL
            needed = int(self._sizes.max(initial=0)) + rows
        if needed > self._capacity:
            more = max(needed, 2 * self._capacity) - self._capacity
            wider = ((0, 0), (0, more))
            self._rows = np.pad(self._rows, wider)
            self._lowers, self._uppers = np.pad(self._lowers, wider), np.pad(self._uppers, wider)
            self._capacity += more

    def _tighten(self) -> None:
        """Drop what can no longer be among the best."""
        from rankloom.retrieval.vectors.scan_kernel import tighten

        self._crew.spread(len(self._sizes), lambda begin, end: tighten(self._depth, *self._buffers(), begin, end))

    def _buffers(self) -> _Buffers:
        """What the kernels work on, in their order."""
        return self._rows, self._lowers, self._uppers, self._sizes, self._tightened, self._thresholds
