"""Vectors as a few matrices one below the other, memory-mapped or in memory, read as one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rankloom.retrieval.vectors.npy_file import check_width
from rankloom.retrieval.vectors.row_reader import RowReader

Matrix = NDArray[np.float32]
Rows = NDArray[np.int64] | NDArray[np.int32]


class VectorParts:
    """The rows of several float32 matrices, numbered through.

    Args:
        parts: Matrices of shape (rows, dimensions), contiguous; at least one.
        readers: What `take` reads the rows of each part with, in place of the part: rows that are mapped come into
            memory as they are read, rows that a reader reads do not.

    Raises:
        DataError: The parts are of different dimensions.

    Example:
        >>> held = VectorParts([np.eye(2, dtype=np.float32), np.ones((1, 2), dtype=np.float32)])
        >>> len(held), held.dimensions, held.take(np.array([2, 0])).tolist()
        (3, 2, [[1.0, 1.0], [1.0, 0.0]])
    """

    def __init__(self, parts: Sequence[Matrix], *, readers: Sequence[RowReader] = ()) -> None:
        self.parts = list(parts)
        for part in self.parts:
            check_width(part, self.parts[0].shape[-1])
        self._sources: list[RowReader | Matrix] = [*readers] or [*self.parts]
        self._ends = np.cumsum([len(part) for part in self.parts])

    def __len__(self) -> int:
        """How many rows there are."""
        return int(self._ends[-1])

    @classmethod
    def on_disk(cls, paths: Sequence[Path]) -> Self:
        """The matrices of `.npy` files, mapped to be read through, while single rows are read where they lie.

        Where the system can not read so (Windows), single rows are read from the map.

        Raises:
            OSError: A file can not be read, or is shorter than its header says.
            ValueError: It holds no matrix of float32 in C order.
        """
        readers = [RowReader(path) for path in paths] if hasattr(os, "preadv") else []
        return cls([np.load(path, mmap_mode="r", allow_pickle=False) for path in paths], readers=readers)

    @property
    def dimensions(self) -> int:
        """Numbers in each row."""
        return int(self.parts[0].shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes of all rows, mapped or in memory."""
        return 4 * len(self) * self.dimensions

    def take(self, rows: Rows) -> Matrix:
        """Copies of some rows, float32 of shape (len(rows), dimensions), in the order asked."""
        if len(self.parts) == 1:
            return _rows(self._sources[0], rows)
        out = np.empty((len(rows), self.dimensions), dtype=np.float32)
        places = np.searchsorted(self._ends, rows, side="right")
        for number in np.unique(places).tolist():
            chosen = places == number
            start = int(self._ends[number]) - len(self.parts[number])
            out[chosen] = _rows(self._sources[number], rows[chosen] - start)
        return out

    def blocks(self, size: int) -> Iterator[tuple[int, Matrix]]:
        """Stretches of at most `size` consecutive rows, in order: the number of the first row, and a view of them."""
        first = 0
        for part in self.parts:
            for start in range(0, len(part), size):
                yield first + start, part[start : start + size]
            first += len(part)


def _rows(source: RowReader | Matrix, rows: Rows) -> Matrix:
    """Copies of some rows of a part."""
    return source.take(rows) if isinstance(source, RowReader) else np.asarray(source[rows])
