"""How the vectors of a token index are kept: what each costs in bytes, and what comes back.

What comes back, float32, is the truth of an index: exact scores are those of the vectors as they are stored.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rankloom.errors import DamagedIndexError, DataError
from rankloom.progress import SILENT, Progress
from rankloom.retrieval.vectors.npy_file import mapped
from rankloom.retrieval.vectors.quantised import quantised

Matrix = NDArray[np.float32]
_BLOCK = 1 << 13  # rows that are decoded or encoded at a time
_LOST = 0.01  # how far a vector of float16 may be from what it was, of its length
_STAGE = "multi_vector"


class Rows(Protocol):
    """Vectors that can be read through, again and again: a `VectorParts`, or any storage."""

    def __len__(self) -> int:
        """How many there are."""

    @property
    def dimensions(self) -> int:
        """Numbers in each."""

    def blocks(self, size: int) -> Iterator[tuple[int, Matrix]]:
        """Stretches of at most `size` rows in order: the first's number, and float32 of shape (rows, dimensions)."""


class TokenStorage(ABC):
    """Vectors of tokens, numbered through, in memory or memory-mapped. Nothing in it changes."""

    kind: ClassVar[str]

    @classmethod
    @abstractmethod
    def build(cls, rows: Rows, *, folder: Path | None = None, progress: Progress = SILENT, **settings: Any) -> Self:
        """Encode vectors, one block in memory at a time.

        Args:
            rows: The vectors.
            folder: Where the files go, an existing folder; None keeps all in memory.
            progress: What is shown of it.
            settings: Those of the kind, by name.

        Raises:
            DataError: A number is not finite, or is one that the kind can not hold.
        """

    @classmethod
    @abstractmethod
    def read(cls, folder: Path, settings: dict[str, Any]) -> Self:
        """Open what `build` has put into a folder; files are memory-mapped.

        Raises:
            OSError: A file is missing.
            ValueError: A file is damaged.
        """

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What `read` must know besides the files: JSON values by name."""

    @abstractmethod
    def __len__(self) -> int:
        """How many vectors there are."""

    @property
    @abstractmethod
    def dimensions(self) -> int:
        """Numbers in each vector."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes of all that is kept, mapped or in memory."""

    @abstractmethod
    def decoded(self, rows: slice | NDArray[np.int64]) -> Matrix:
        """Some vectors as float32 of shape (rows, dimensions); a fresh array."""

    def take(self, rows: NDArray[np.int64]) -> Matrix:
        """Copies of some vectors in the order asked, float32 of shape (len(rows), dimensions)."""
        return self.decoded(rows)

    def blocks(self, size: int = _BLOCK) -> Iterator[tuple[int, Matrix]]:
        """Stretches of at most `size` consecutive vectors in order: the number of the first, and copies of them."""
        for first in range(0, len(self), size):
            yield first, self.decoded(slice(first, first + size))

    def __repr__(self) -> str:
        """Its kind and size."""
        return f"<{type(self).__name__} of {len(self)} vectors in {self.nbytes} bytes>"


class Float16Storage(TokenStorage):
    """Numbers of two bytes; 11 bits of each count.

    Example:
        >>> from rankloom.retrieval.vectors.vector_parts import VectorParts
        >>> kept = Float16Storage.build(VectorParts([np.array([[1.0, 0.1]], dtype=np.float32)]))
        >>> kept.nbytes, kept.take(np.array([0])).tolist()
        (4, [[1.0, 0.0999755859375]])
    """

    kind = "float16"
    _FILE = "vectors.npy"

    def __init__(self, values: NDArray[np.float16]) -> None:
        self.values = values

    @classmethod
    def build(cls, rows: Rows, *, folder: Path | None = None, progress: Progress = SILENT, **settings: Any) -> Self:
        """Round every number; see `TokenStorage.build`. There are no settings."""
        no_settings(settings)
        values = new_array(folder, cls._FILE, (len(rows), rows.dimensions), np.float16)
        for first, block in shown(rows, progress, "vectors"):
            with np.errstate(over="ignore"):  # looked at below
                part = block.astype(np.float16)
            bad = np.flatnonzero(~_holds(part, block))
            if len(bad):
                raise DataError(
                    "a vector holds a number that is not finite, or is too long or too short for float16",
                    stage=_STAGE,
                    value=f"row {first + int(bad[0])}",
                    accepted=f"finite numbers up to 65504, of which float16 loses at most {_LOST:.0%} of the length",
                    fix="take a model whose vectors are of length 1, or storage: int8",
                )
            values[first : first + len(part)] = part
        return cls(values) if folder is None else cls.read(folder, {})

    @classmethod
    def read(cls, folder: Path, settings: dict[str, Any]) -> Self:  # noqa: ARG003 - there are none
        """Map the file; see `TokenStorage.read`."""
        return cls(read_array(folder / cls._FILE, np.float16, 2))

    def settings(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def __len__(self) -> int:
        """How many vectors there are."""
        return len(self.values)

    @property
    def dimensions(self) -> int:
        """Numbers in each vector."""
        return int(self.values.shape[1])

    @property
    def nbytes(self) -> int:
        """Two for each number."""
        return self.values.nbytes

    def decoded(self, rows: slice | NDArray[np.int64]) -> Matrix:
        """Some vectors as float32."""
        from rankloom.retrieval.token_index.half_kernel import widened

        halves = chosen(self.values, rows)
        vectors = np.empty(halves.shape, dtype=np.float32)
        widened(read_only(halves.view(np.uint16)), vectors)
        return vectors


def _holds(halves: NDArray[np.float16], vectors: Matrix) -> NDArray[np.bool_]:
    """Whether each vector is finite in float16, and about what it was: numbers below 6e-8 are 0, others nearly so."""
    finite: NDArray[np.bool_] = np.asarray(np.isfinite(halves).all(axis=1))
    wide = np.where(finite[:, None], vectors, 0).astype(np.float64)
    lost = np.where(finite[:, None], halves, 0) - wide
    kept: NDArray[np.bool_] = np.einsum("ij,ij->i", lost, lost) <= _LOST**2 * np.einsum("ij,ij->i", wide, wide)
    return finite & kept


class Int8Storage(TokenStorage):
    """Whole numbers of one byte, and a scale for each vector: its largest number is 127 times that.

    Example:
        >>> from rankloom.retrieval.vectors.vector_parts import VectorParts
        >>> kept = Int8Storage.build(VectorParts([np.array([[0.5, -1.0]], dtype=np.float32)]))
        >>> kept.codes.tolist(), kept.nbytes
        ([[64, -127]], 6)
    """

    kind = "int8"
    _CODES, _SCALES = "codes.npy", "scales.npy"

    def __init__(self, codes: NDArray[np.int8], scales: NDArray[np.float32]) -> None:
        self.codes, self.scales = codes, scales

    @classmethod
    def build(cls, rows: Rows, *, folder: Path | None = None, progress: Progress = SILENT, **settings: Any) -> Self:
        """Round every number to a multiple of its vector's scale; see `TokenStorage.build`. There are no settings."""
        no_settings(settings)
        codes = new_array(folder, cls._CODES, (len(rows), rows.dimensions), np.int8)
        scales = new_array(folder, cls._SCALES, (len(rows),), np.float32)
        for first, block in shown(rows, progress, "vectors"):
            part = quantised(block, stage=_STAGE)
            codes[first : first + len(block)] = part.codes
            scales[first : first + len(block)] = part.measures[0]
        return cls(codes, scales) if folder is None else cls.read(folder, {})

    @classmethod
    def read(cls, folder: Path, settings: dict[str, Any]) -> Self:  # noqa: ARG003 - there are none
        """Map the files; see `TokenStorage.read`."""
        codes = read_array(folder / cls._CODES, np.int8, 2)
        scales = read_array(folder / cls._SCALES, np.float32, 1)
        if len(codes) != len(scales):
            raise ValueError(f"{cls._SCALES} is of other vectors than {cls._CODES}")
        return cls(codes, scales)

    def settings(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def __len__(self) -> int:
        """How many vectors there are."""
        return len(self.codes)

    @property
    def dimensions(self) -> int:
        """Numbers in each vector."""
        return int(self.codes.shape[1])

    @property
    def nbytes(self) -> int:
        """One for each number, four for each vector."""
        return self.codes.nbytes + self.scales.nbytes

    def decoded(self, rows: slice | NDArray[np.int64]) -> Matrix:
        """Some vectors as float32: codes times scale, rounded once."""
        decoded: Matrix = chosen(self.codes, rows) * chosen(self.scales, rows)[:, None]
        return decoded


def shown(rows: Rows, progress: Progress, what: str) -> Iterator[tuple[int, Matrix]]:
    """All vectors in blocks, as `Rows.blocks` gives them, and how far one has come."""
    with progress.task(f"{_STAGE} {what}", len(rows)) as advance:
        for first, block in rows.blocks(_BLOCK):
            yield first, block
            advance(len(block))


def chosen(array: NDArray[Any], rows: slice | NDArray[np.int64]) -> NDArray[Any]:
    """Some rows of an array: a view of consecutive ones, copies of others, made without holding Python's lock."""
    return array[rows] if isinstance(rows, slice) else array.take(rows, axis=0)


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """An array as kernels are shown it, from memory or mapped: they are compiled anew for one that can be written."""
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view


def new_array(folder: Path | None, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """An array to be filled: in memory, or a `.npy` file of a folder, mapped."""
    if folder is None:
        return np.empty(shape, dtype=dtype)
    return np.lib.format.open_memmap(folder / name, mode="w+", dtype=dtype, shape=shape)


def read_array(path: Path, dtype: DTypeLike, axes: int) -> NDArray[Any]:
    """An array of a `.npy` file, mapped.

    Raises:
        OSError: There is no such file.
        ValueError: It is damaged, or of another type or number of axes.
    """
    array = mapped(path)
    if array.dtype != dtype or array.ndim != axes:
        raise ValueError(f"{path.name} holds {array.dtype} of {array.ndim} axes")
    return array


def check_codes(codes: NDArray[Any], count: int, file: str) -> None:
    """Refuse numbers of things that there are not: a kernel would read or write elsewhere.

    They are looked at when they are used, not when an index is opened, which would read large files whole.

    Args:
        codes: Whole numbers.
        count: How many things there are.
        file: Where they come from, for the error.

    Raises:
        DamagedIndexError: One is below 0, or not below `count`.
    """
    if len(codes) and not 0 <= int(codes.min()) <= int(codes.max()) < count:
        raise DamagedIndexError(
            f"{file} is damaged",
            stage=_STAGE,
            value=f"numbers from {int(codes.min())} to {int(codes.max())}",
            accepted=f"0 to {count - 1}",
            fix="delete the index's folder and build it again",
        )


def no_settings(settings: dict[str, Any]) -> None:
    """Refuse settings, where a kind has none; who asks users has checked them."""
    if settings:
        raise TypeError(f"no such settings: {', '.join(settings)}")
