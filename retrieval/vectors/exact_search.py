"""Exact search: a scan that bounds every inner product, and float64 scores for the few rows that may be among the best.

The scan multiplies int8 codes, a quarter of the vectors' bytes, or the float32 vectors themselves where they are few.
It is not an approximation: a row is left out only when its upper bound is below k lower bounds (`quantised.py`), and
what is left is scored by the stored vectors. Codes and vectors are read in blocks, in order, so both may be mapped
files that are larger than memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from rankloom.retrieval.vectors.candidates import Candidates
from rankloom.retrieval.vectors.crew import Crew, alone, threads
from rankloom.retrieval.vectors.int8_product import int8_product
from rankloom.retrieval.vectors.quantised import Quantised, quantised, query_measures, unquantised
from rankloom.retrieval.vectors.row_search import Found
from rankloom.retrieval.vectors.vector_parts import VectorParts

Way = Literal["exact_int8", "exact_float32"]
#: Numbers above which int8 codes are scanned rather than float32 vectors: 4 MiB of vectors, which caches hold.
SMALL = 1 << 20
BLOCK = 4096  # rows multiplied at a time, so that products are looked at while they are in the processor's cache
BATCH = 64  # queries multiplied at a time
_BY_HAND = 4  # queries up to which the compiled product is faster than a matrix product
_FEW = 8  # blocks taken together where there are so few queries, so that threads seldom wait for each other
_CODES, _MEASURES = "codes.npy", "measures.npy"


class ExactSearch:
    """All rows compared with every query.

    Args:
        kind: What is scanned, int8 codes or the float32 vectors.
        vectors: The rows.
        parts: What is scanned for each part of the vectors; None where that is made when first needed.

    Example:
        >>> search = ExactSearch.build("exact_int8", VectorParts([np.eye(3, dtype=np.float32)]))
        >>> scores, rows = search.search(np.array([[0, 2, 1]], dtype=np.float32), 2)
        >>> rows.tolist(), scores.tolist()
        ([[1, 2]], [[2.0, 1.0]])
    """

    exact = True

    def __init__(self, kind: Way, vectors: VectorParts, parts: Sequence[Quantised | None]) -> None:
        self.kind = kind
        self.vectors = vectors
        self._parts = list(parts)

    @classmethod
    def build(cls, kind: Way, vectors: VectorParts) -> Self:
        """Measure all rows, and quantise them for `exact_int8`, when first searched or written."""
        return cls(kind, vectors, [None] * len(vectors.parts))

    @classmethod
    def read(cls, kind: Way, folder: Path, vectors: VectorParts) -> Self:
        """Open what `write` has written; files are mapped.

        Raises:
            OSError: A file is missing.
            ValueError: A file is damaged, or of other vectors.
        """
        measures = np.load(folder / _MEASURES, mmap_mode="r", allow_pickle=False)
        if measures.shape != (3, len(vectors)) or measures.dtype != np.float32:
            raise ValueError(f"{_MEASURES} is of other vectors")
        ends = np.cumsum([len(part) for part in vectors.parts])
        scanned: Sequence[NDArray[Any]] = vectors.parts
        if kind == "exact_int8":
            codes = np.load(folder / _CODES, mmap_mode="r", allow_pickle=False)
            if codes.shape != (len(vectors), vectors.dimensions) or codes.dtype != np.int8:
                raise ValueError(f"{_CODES} is of other vectors")
            scanned = np.split(codes, ends[:-1])
        return cls(kind, vectors, list(map(Quantised, scanned, np.split(measures, ends[:-1], axis=1))))

    def write(self, folder: Path) -> None:
        """Write what is scanned, unless it is the vectors themselves; a block in memory at a time."""
        rows, dimensions = len(self), self.vectors.dimensions
        create = np.lib.format.open_memmap
        measures = create(folder / _MEASURES, mode="w+", dtype=np.float32, shape=(3, rows))
        codes = None
        if self.kind == "exact_int8":
            codes = create(folder / _CODES, mode="w+", dtype=np.int8, shape=(rows, dimensions))
        first = 0
        for part, vectors in zip(self._parts, self.vectors.parts, strict=True):
            for start in range(0, len(vectors), BLOCK):
                rows_here = slice(start, start + BLOCK)
                block = _scanned(self.kind, vectors[rows_here]) if part is None else part.rows(rows_here)
                place = slice(first + start, first + start + len(block.codes))
                measures[:, place] = block.measures
                if codes is not None:
                    codes[place] = block.codes
            first += len(vectors)
        for file in (measures, codes):
            if file is not None:
                file.flush()

    def add(self, vectors: NDArray[np.float32]) -> None:
        """Take in further rows; copies of this search made by `copy.copy` do not see them."""
        self.vectors = VectorParts([*self.vectors.parts, vectors])
        self._parts = [*self._parts, None]

    def refilled(self, vectors: VectorParts) -> Self:
        """A search of other rows; there is nothing to learn."""
        return type(self).build(self.kind, vectors)

    def settings(self) -> dict[str, Any]:
        """Nothing: it has none."""
        return {}

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.vectors)

    def __repr__(self) -> str:
        """Its kind and size."""
        return f"<ExactSearch of {len(self)} rows by {self.kind}>"

    @property
    def nbytes(self) -> int:
        """Bytes that are scanned."""
        scale = 1 if self.kind == "exact_int8" else 4
        return len(self) * (scale * self.vectors.dimensions + 12)

    # --- searching -------------------------------------------------------------------------------------------

    def search(
        self,
        queries: NDArray[np.float32],
        depth: int,
        *,
        live: NDArray[np.bool_] | None = None,
        effort: Mapping[str, int] | None = None,  # noqa: ARG002 - there is nothing to spare
    ) -> Found:
        """The best rows of each query; see `RowSearch.search`."""
        labels = np.arange(len(self), dtype=np.int32)
        return self.best(queries, depth, labels if live is None else np.where(live, labels, np.int32(-1)))

    def best(self, queries: NDArray[np.float32], depth: int, labels: NDArray[np.int32]) -> Found:
        """The best rows of each query by score, and by label where scores are equal.

        Args:
            queries: float32 of shape (queries, dimensions).
            depth: How many rows for each.
            labels: The label of each row, int32 of shape (rows,); rows below 0 are not found.

        Returns:
            Scores, float32, and labels, int64, both of shape (queries, depth); -inf and -1 where there are no more.
        """
        scores = np.full((len(queries), depth), -np.inf, dtype=np.float32)
        found = np.full((len(queries), depth), -1, dtype=np.int64)
        self._measure()
        together = threads()
        size = min(BATCH, -(-len(queries) // together))
        if self.kind == "exact_float32" or size <= _BY_HAND:  # too few to share out: threads share the rows
            size, together = BATCH, 1
        else:
            int8_product()  # imports torch, of whose threads `alone` must know
        parts = [slice(start, start + size) for start in range(0, len(queries), size)]

        def work(part: slice) -> None:
            asked = np.ascontiguousarray(queries[part], dtype=np.float32)
            with Crew(threads() if together == 1 else 1) as crew:
                candidates = self._scan(asked, min(depth, len(self)), labels, crew)
                candidates.best(self.vectors, asked.astype(np.float64), labels, scores[part], found[part])

        if together == 1 or len(parts) == 1:
            for part in parts:
                work(part)
        else:
            # each thread multiplies alone: those of a matrix product go on spinning for a while when they are done,
            # on processors that others could use
            with ThreadPoolExecutor(min(together, len(parts)), initializer=alone) as pool:
                list(pool.map(work, parts))
        return scores, found

    def _measure(self) -> None:
        """Make what is scanned of parts that have not been yet."""
        for number, vectors in enumerate(self.vectors.parts):
            if self._parts[number] is None:
                self._parts[number] = _scanned(self.kind, vectors)

    def _scan(self, queries: NDArray[np.float32], depth: int, labels: NDArray[np.int32], crew: Crew) -> Candidates:
        """The rows that may be among the best of some queries."""
        asked = _Queries.of(queries, self.kind)
        size = BLOCK if len(queries) > _BY_HAND else _FEW * BLOCK
        candidates = Candidates(len(queries), depth, size, crew)
        for first, block in self._blocks(size):
            products = _products(asked, block, crew)
            candidates.take(products, first, block.measures, labels[first : first + len(block.codes)], asked.measures)
        return candidates

    def _blocks(self, size: int) -> Iterator[tuple[int, Quantised]]:
        """What is scanned, in blocks: the number of the first row, codes and measures."""
        first = 0
        for part in self._parts:
            assert part is not None  # noqa: S101 - `_measure` has been called
            for start in range(0, len(part.codes), size):
                yield first + start, part.rows(slice(start, start + size))
            first += len(part.codes)


class _Queries(NamedTuple):
    """Queries as a scan multiplies them."""

    codes: NDArray[np.int8] | NDArray[np.float32]
    measures: NDArray[np.float32]

    @classmethod
    def of(cls, queries: NDArray[np.float32], kind: Way) -> _Queries:
        """Brought to length 1, so that no product overflows, and quantised where rows are."""
        lengths = np.sqrt(np.einsum("ij,ij->i", queries, queries, dtype=np.float64))
        units = (queries / np.where(lengths > 0, lengths, 1)[:, None]).astype(np.float32)
        if kind == "exact_float32":
            return cls(units, query_measures(units, units, np.ones(len(units), dtype=np.float32)))
        codes, measures = quantised(units)
        return cls(np.asarray(codes, dtype=np.int8), query_measures(units, codes, measures[0]))


def auto_kind(rows: int, dimensions: int) -> Way:
    """What is scanned where the user leaves it open: float32 vectors where they are few, otherwise int8 codes."""
    return "exact_float32" if rows * dimensions <= SMALL else "exact_int8"


def _scanned(kind: Way, vectors: NDArray[np.float32]) -> Quantised:
    """What a kind scans of some rows."""
    return quantised(vectors) if kind == "exact_int8" else unquantised(vectors)


def _products(asked: _Queries, block: Quantised, crew: Crew) -> NDArray[Any]:
    """All inner products of queries with a block: int32 or float32 of shape (queries, rows)."""
    if block.codes.dtype == np.float32:
        return np.asarray(asked.codes @ block.codes.T)
    products = np.empty((len(asked.codes), len(block.codes)), dtype=np.int32)
    matrix_product = int8_product() if len(asked.codes) > _BY_HAND else None
    if matrix_product is not None:
        matrix_product(asked.codes, block.codes, products)
    else:
        from rankloom.retrieval.vectors.scan_kernel import whole_products

        narrow = asked.codes.astype(np.int16)
        crew.spread(len(block.codes), lambda begin, end: whole_products(block.codes, narrow, products, begin, end))
    return products
