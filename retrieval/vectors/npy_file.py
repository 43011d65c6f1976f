"""Matrices in NumPy's own file format, written row by row."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import DataError

_STAGE = "dense"


class MatrixFile:
    """A float32 matrix that grows in a `.npy` file; nothing but the rows at hand is in memory.

    Args:
        path: The file, which is replaced.
        dimensions: Numbers in each row.
    """

    def __init__(self, path: Path, dimensions: int) -> None:
        self.dimensions, self.rows = dimensions, 0
        self._file = path.open("wb")
        self._write_header()

    def append(self, rows: NDArray[np.float32]) -> None:
        """Write rows below those that are there; float32 of shape (rows, dimensions).

        Raises:
            DataError: They are of other dimensions, which the file would take for more or fewer rows.
        """
        check_width(rows, self.dimensions)
        np.ascontiguousarray(rows, dtype="<f4").tofile(self._file)
        self.rows += len(rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Say how many rows there are, and close."""
        self._file.seek(0)
        self._write_header()
        self._file.close()

    def _write_header(self) -> None:
        """What NumPy reads first; it leaves room for any number of rows, so that it is as long at the end."""
        header = {"descr": "<f4", "fortran_order": False, "shape": (self.rows, self.dimensions)}
        np.lib.format.write_array_header_1_0(self._file, header)


def check_width(rows: NDArray[np.float32], dimensions: int) -> None:
    """Refuse rows that are not of the dimensions of those they come to.

    Raises:
        DataError: They are not.
    """
    if rows.ndim != 2 or rows.shape[1] != dimensions:
        raise DataError(
            "these vectors can not stand in one matrix with those before them",
            stage=_STAGE,
            value=f"vectors of shape {rows.shape}",
            accepted=f"float32 of shape (rows, {dimensions})",
            fix="encode all documents by one model with one number of dimensions",
        )


def mapped(path: Path) -> NDArray[Any]:
    """A matrix of a file, memory-mapped; an empty one is read.

    Raises:
        OSError: There is no such file.
        ValueError: It is damaged.
    """
    try:
        matrix: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except EOFError as error:
        raise ValueError(str(error)) from error
    return matrix
