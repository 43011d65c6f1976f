"""Columns of numbers and tables of strings as files: written a piece at a time, read by mapping them into memory."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

_ORDER = "<"  # little-endian, on every machine


class ColumnWriters:
    """Files of plain numbers in a folder, one for each column, which grow by appending.

    Args:
        folder: Where the files shall be.
        types: The type of each column by its name, which is also the name of its file.
    """

    def __init__(self, folder: Path, types: dict[str, str]) -> None:
        self._types = types
        self._files = {name: (folder / name).open("wb") for name in types}

    def append(self, name: str, values: NDArray[Any]) -> None:
        """Add values to the end of a column."""
        self._files[name].write(np.ascontiguousarray(values, dtype=_ORDER + self._types[name]).data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files.values():
            file.close()


def read_column(path: Path, type: str, size: int) -> NDArray[Any]:
    """A column, memory-mapped and not to be written.

    Raises:
        ValueError: It does not hold so many values.
    """
    dtype = np.dtype(_ORDER + type)
    if path.stat().st_size != size * dtype.itemsize:
        raise ValueError(f"the column {path.name} is not as long as the manifest says")
    # an empty file can not be mapped; plain arrays, since slices of `np.memmap` cost more
    column = np.asarray(np.memmap(path, dtype, mode="r")) if size else np.zeros(0, dtype=dtype)
    column.setflags(write=False)
    return column


def write_strings(path: Path, array: pa.LargeStringArray) -> None:
    """Write strings as an Arrow file of one batch."""
    import pyarrow as pa

    batch = pa.record_batch([array], names=["value"])
    with pa.ipc.new_file(path, batch.schema) as file:
        file.write_batch(batch)


def read_strings(path: Path, size: int) -> pa.LargeStringArray:
    """Strings of an Arrow file, memory-mapped.

    Raises:
        ValueError: There are not so many.
        OSError: The file can not be read.
    """
    import pyarrow as pa

    array = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0).column("value")
    if len(array) != size:
        raise ValueError(f"the table {path.name} is not as long as the manifest says")
    return array
