"""Residual storage: the number of the nearest centroid, and 1, 2 or 4 bits for each number of what is left.

Santhanam et al.: ColBERTv2, NAACL 2022 (arXiv:2112.01488). Levels are quantiles of what is left of vectors that the
centroids were not learned from, the same for all dimensions.
"""

from __future__ import annotations

from numbers import Integral
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import UsageError
from rankloom.progress import SILENT, Progress
from rankloom.retrieval.token_index.centroids import SEED, Centroids, number_of_centroids, samples
from rankloom.retrieval.token_index.storage import (
    Matrix,
    Rows,
    TokenStorage,
    check_codes,
    chosen,
    new_array,
    no_settings,
    read_array,
    read_only,
    shown,
)

BITS = (1, 2, 4)
_STAGE = "multi_vector"
_CENTROIDS, _CODES, _RESIDUALS, _LEVELS = "centroids.npy", "codes.npy", "residuals.npy", "levels.npy"


class ResidualStorage(TokenStorage):
    """A centroid and a coarse residual for each vector. Use `build` or `read`, not the constructor.

    128 numbers take 18, 34 or 66 bytes by 1, 2 or 4 bits (two more where there are over 65,536 centroids), and the
    centroids four for each number. Where all vectors are of length 1, they are brought back to
    it; where one is not, none is.

    Args:
        centroids: What codes stand for.
        codes: The centroid of each row, uint16 or int32 of shape (rows,).
        residuals: Packed levels, uint8 of shape (rows, bytes of a row).
        levels: What each level adds, ascending, float32 of shape (2 ** bits,).

    Example:
        >>> from rankloom.retrieval.vectors.vector_parts import VectorParts
        >>> rows = VectorParts([np.random.default_rng(0).standard_normal((4000, 16), dtype=np.float32)])
        >>> [round(ResidualStorage.build(rows, bits=bits).nbytes / len(rows)) for bits in BITS]
        [12, 14, 18]
    """

    kind = "residual"

    def __init__(
        self, centroids: Centroids, codes: NDArray[Any], residuals: NDArray[np.uint8], levels: NDArray[np.float32]
    ) -> None:
        self.centroids, self.codes, self.residuals, self.levels = centroids, codes, residuals, levels
        self.bits = len(levels).bit_length() - 1

    @classmethod
    def build(
        cls,
        rows: Rows,
        *,
        folder: Path | None = None,
        progress: Progress = SILENT,
        bits: int = 2,
        centroids: int | None = None,
        seed: int = SEED,
        **settings: Any,
    ) -> Self:
        """Learn centroids and levels from a sample, then encode every row; see `TokenStorage.build`.

        Args:
            rows: The vectors, which are read through twice.
            folder: As for every storage.
            progress: What is shown of it.
            bits: Of each number of a residual: 1, 2 or 4.
            centroids: How many; see `number_of_centroids`.
            seed: Of the sample and of k-means.
            settings: There are no others.

        Raises:
            UsageError: A setting is out of range.
            DataError: A number is not finite.
            MissingExtraError: FAISS is not installed.
        """
        from rankloom.retrieval.token_index.residual_kernel import packed_residuals

        no_settings(settings)
        check_bits(bits)
        count = number_of_centroids(len(rows), centroids, stage=_STAGE)
        learned, held_out, normalized = samples(rows, count, seed=seed, progress=progress)
        centres = Centroids.learned(learned, count, normalized=normalized, seed=seed, stage=_STAGE, progress=progress)
        cutoffs, levels = _quantiles(held_out - centres.matrix[centres.nearest(held_out)], bits)
        codes = new_array(folder, _CODES, (len(rows),), code_type(count))
        width = -(-rows.dimensions * bits // 8)
        residuals = new_array(folder, _RESIDUALS, (len(rows), width), np.uint8)
        for first, block in shown(rows, progress, "nearest centroids"):
            part = slice(first, first + len(block))
            codes[part] = nearest = centres.nearest(block)
            packed_residuals(block, centres.matrix, nearest, cutoffs, bits, residuals[part])
        if folder is None:
            return cls(centres, codes, residuals, levels)
        np.save(folder / _CENTROIDS, centres.matrix)
        np.save(folder / _LEVELS, levels)
        return cls.read(folder, {"normalized": centres.normalized})

    @classmethod
    def read(cls, folder: Path, settings: dict[str, Any]) -> Self:
        """Map the files; see `TokenStorage.read`. Centroids and levels are read into memory."""
        matrix = np.array(read_array(folder / _CENTROIDS, np.float32, 2))
        codes = read_array(folder / _CODES, code_type(len(matrix)), 1)
        residuals = read_array(folder / _RESIDUALS, np.uint8, 2)
        levels = np.array(read_array(folder / _LEVELS, np.float32, 1))
        bits = len(levels).bit_length() - 1
        if bits not in BITS or residuals.shape != (len(codes), -(-matrix.shape[1] * bits // 8)):
            raise ValueError(f"{_RESIDUALS} is of other vectors than {_CODES} or {_CENTROIDS}")
        return cls(Centroids(matrix, bool(settings["normalized"])), codes, residuals, levels)

    def settings(self) -> dict[str, Any]:
        """Bits of a number, how many centroids there are, and whether vectors are of length 1."""
        return {"bits": self.bits, "centroids": len(self.centroids), "normalized": self.centroids.normalized}

    def __len__(self) -> int:
        """How many vectors there are."""
        return len(self.codes)

    @property
    def dimensions(self) -> int:
        """Numbers in each vector."""
        return int(self.centroids.matrix.shape[1])

    @property
    def nbytes(self) -> int:
        """Of codes, residuals, centroids and levels."""
        return self.codes.nbytes + self.residuals.nbytes + self.centroids.matrix.nbytes + self.levels.nbytes

    def decoded(self, rows: slice | NDArray[np.int64]) -> Matrix:
        """Some vectors as float32: centroid and residual, brought to length 1 where the vectors were."""
        from rankloom.retrieval.token_index.residual_kernel import decoded_rows

        codes, residuals = read_only(self.codes_of(rows)), read_only(chosen(self.residuals, rows))
        vectors = np.empty((len(codes), self.dimensions), dtype=np.float32)
        centroids = self.centroids
        decoded_rows(codes, residuals, centroids.matrix, self.levels, self.bits, centroids.normalized, vectors)
        return vectors

    def codes_of(self, rows: slice | NDArray[np.int64]) -> NDArray[Any]:
        """The centroids of some vectors.

        Raises:
            DamagedIndexError: There is no such centroid; see `check_codes`.
        """
        codes = chosen(self.codes, rows)
        check_codes(codes, len(self.centroids), _CODES)
        return codes


def code_type(centroids: int) -> type[np.uint16] | type[np.int32]:
    """The type of numbers of so many centroids."""
    return np.uint16 if centroids <= 1 << 16 else np.int32


def check_bits(bits: int) -> None:
    """Refuse a number of bits that there are no residuals of.

    Raises:
        UsageError: It is not among `BITS`, or no whole number: bytes can not be shifted by 2.0.
    """
    if not isinstance(bits, Integral) or isinstance(bits, bool) or bits not in BITS:
        raise UsageError("unknown number of bits", stage=_STAGE, value=bits, accepted=", ".join(map(str, BITS)))


def _quantiles(residuals: Matrix, bits: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Between which numbers the levels change, and what each of them stands for: the middle of its share by count."""
    levels = 1 << bits
    places = np.arange(2 * levels + 1)[1:-1] / (2 * levels)
    found = np.quantile(residuals, places) if residuals.size else np.zeros(len(places))
    return cast("tuple[Any, Any]", (found[1::2].astype(np.float32), found[::2].astype(np.float32)))
