"""Rows of a matrix that stays on disk: read where they lie, never mapped, so that they take no memory of the process.

A mapped file grows into memory as it is read, whole pages and their neighbours at a time; what `pread` has read is
the system's file cache, which any other use of memory pushes out.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

_FLOAT = np.dtype("<f4")
#: Rows are asked for before they are read, all at once: a disk serves many requests in the time of one, and the file
#: cache is told in vain at the price of the read itself. (200 rows of 1.5 kB not yet in the cache: 3 ms in place of 28;
#: through a memory map, 246.)
_AHEAD = hasattr(os, "posix_fadvise")


class RowReader:
    """Reads rows of a float32 matrix in a `.npy` file by their numbers.

    Several threads may read at once. The file is held open until `close`, or until the object goes.

    Args:
        path: A `.npy` file of float32, two-dimensional, in C order.

    Attributes:
        shape: Rows and dimensions.

    Raises:
        OSError: The file can not be read, or is shorter than its header says.
        ValueError: It holds something else.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "rows.npy"
        >>> np.save(path, np.arange(6, dtype=np.float32).reshape(3, 2))
        >>> RowReader(path).take(np.array([2, 0])).tolist()
        [[4.0, 5.0], [0.0, 1.0]]
    """

    def __init__(self, path: str | Path) -> None:
        self._descriptor = -1
        self.path = Path(path)
        self.shape, self._start = _header(self.path)
        self._width = self.shape[1] * _FLOAT.itemsize
        if self.path.stat().st_size < self._start + self.shape[0] * self._width:
            raise OSError(f"{self.path.name} is shorter than its header says")
        self._descriptor = os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
        if _AHEAD:  # rows lie far apart: reading ahead would read what nobody asked for
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_RANDOM)

    def __len__(self) -> int:
        """How many rows there are."""
        return self.shape[0]

    def take(self, rows: NDArray[np.int64] | NDArray[np.int32]) -> NDArray[np.float32]:
        """Copies of some rows, float32 of shape (len(rows), dimensions), in the order asked.

        They are read in the order they lie in, each once, and neighbours together.

        Raises:
            IndexError: There is no such row.
            OSError: The file can not be read.
        """
        unique, places = np.unique(rows, return_inverse=True)
        if not len(unique):
            return np.empty((0, self.shape[1]), dtype=_FLOAT)
        if not 0 <= unique[0] <= unique[-1] < len(self):
            raise IndexError(f"rows must be from 0 to {len(self) - 1}")
        found = np.empty((len(unique), self.shape[1]), dtype=_FLOAT)
        self._fill(found.data.cast("B"), _stretches(unique))
        return found[places.reshape(-1)]

    def _fill(self, memory: memoryview, stretches: list[tuple[int, int]]) -> None:
        """Read stretches of rows, given by first row and length, one behind the other."""
        if _AHEAD and len(stretches) > 1:
            for first, length in stretches:
                os.posix_fadvise(
                    self._descriptor, self._start + first * self._width, length * self._width, os.POSIX_FADV_WILLNEED
                )
        filled = 0
        for first, length in stretches:
            offset, end = self._start + first * self._width, filled + length * self._width
            while filled < end:
                count = os.preadv(self._descriptor, [memory[filled:end]], offset)
                if not count:
                    raise OSError(f"{self.path.name} has become shorter")
                filled, offset = filled + count, offset + count

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        """The reader."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def __del__(self) -> None:
        """Close the file."""
        self.close()


def _stretches(rows: NDArray[Any]) -> list[tuple[int, int]]:
    """First row and length of each run of consecutive numbers in an ascending list of them, not empty."""
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    starts = np.concatenate([[0], breaks])
    lengths = np.diff(np.append(starts, len(rows)))
    return list(zip(rows[starts].tolist(), lengths.tolist(), strict=True))


def _header(path: Path) -> tuple[tuple[int, int], int]:
    """Shape of the matrix in a file, and where its numbers start."""
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
        start = file.tell()
    if len(shape) != 2 or fortran or dtype != _FLOAT:
        raise ValueError(f"{path.name} holds no matrix of float32 in C order")
    return (shape[0], shape[1]), start
