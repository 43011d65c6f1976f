"""Vectors as a few matrices one below the other, memory-mapped or in memory, read as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]


class VectorParts:
    """The rows of several float32 matrices, numbered through.

    Args:
        parts: Matrices of shape (rows, dimensions), contiguous; at least one.

    Example:
        >>> held = VectorParts([np.eye(2, dtype=np.float32), np.ones((1, 2), dtype=np.float32)])
        >>> len(held), held.dimensions, held.take(np.array([2, 0])).tolist()
        (3, 2, [[1.0, 1.0], [1.0, 0.0]])
    """

    def __init__(self, parts: Sequence[Matrix]) -> None:
        self.parts = list(parts)
        self._ends = np.cumsum([len(part) for part in self.parts])

    def __len__(self) -> int:
        """How many rows there are."""
        return int(self._ends[-1])

    @property
    def dimensions(self) -> int:
        """Numbers in each row."""
        return int(self.parts[0].shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes of all rows, mapped or in memory."""
        return 4 * len(self) * self.dimensions

    def take(self, rows: NDArray[np.int64] | NDArray[np.int32]) -> Matrix:
        """Copies of some rows, float32 of shape (len(rows), dimensions), in the order asked."""
        if len(self.parts) == 1:
            found: Matrix = self.parts[0][rows]
            return np.asarray(found)
        out = np.empty((len(rows), self.dimensions), dtype=np.float32)
        places = np.searchsorted(self._ends, rows, side="right")
        for number in np.unique(places).tolist():
            chosen = places == number
            start = int(self._ends[number]) - len(self.parts[number])
            out[chosen] = self.parts[number][rows[chosen] - start]
        return out

    def blocks(self, size: int) -> Iterator[tuple[int, Matrix]]:
        """Stretches of at most `size` consecutive rows, in order: the number of the first row, and a view of them."""
        first = 0
        for part in self.parts:
            for start in range(0, len(part), size):
                yield first + start, part[start : start + size]
            first += len(part)
