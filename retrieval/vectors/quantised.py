"""Vectors as small whole numbers, with what is lost: enough to bound every inner product from both sides.

A row x is kept as codes c, int8, and a scale s, so that x is about s * c. For a query q kept likewise as s' * c',

    |q.x - s' s (c'.c)|  <=  |q - s'c'| |x|  +  |s'c'| |x - s c|,

by the inequality of Cauchy and Schwarz. The lengths on the right are measured, not estimated.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import DataError

LONGEST = 1e15  # squares of such lengths are far from float32's largest number
_LEVELS = 127
_ROUNDING = np.float64(3e-6)  # of all that the scan computes in float32, relative to |q| |x|; more than 20 roundings
_SMALLEST = np.float64(2e-38)  # what numbers below float32's normal ones can be off
_HALF_STEP = 2.0**-24  # half the distance from 1 to the next float32
_BLOCK = 8192


class Quantised(NamedTuple):
    """Rows that are scanned, and what a scan has to know of each.

    Args:
        codes: What is multiplied, int8 or float32 of shape (rows, dimensions).
        measures: Scale, length and error of each row, float32 of shape (3, rows); the last two are rounded up.
    """

    codes: NDArray[np.int8] | NDArray[np.float32]
    measures: NDArray[np.float32]

    def rows(self, rows: slice) -> Quantised:
        """Some consecutive rows."""
        return Quantised(self.codes[rows], np.ascontiguousarray(self.measures[:, rows]))


def quantised(vectors: NDArray[np.float32], *, stage: str = "dense") -> Quantised:
    """Rows as int8 codes, 127 for the largest number of each.

    Args:
        vectors: float32 of shape (rows, dimensions).
        stage: Name for errors.

    Raises:
        DataError: A number is not finite, or a row is longer than 1e15.

    Example:
        >>> quantised(np.array([[0.5, -1.0]], dtype=np.float32)).codes.tolist()
        [[64, -127]]
    """
    codes = np.empty(vectors.shape, dtype=np.int8)
    measures = np.empty((3, len(vectors)), dtype=np.float32)
    for start in range(0, len(vectors), _BLOCK):
        part = slice(start, start + _BLOCK)
        block = np.asarray(vectors[part])
        lengths = checked_lengths(block, stage=stage)
        peaks = np.abs(block).max(axis=1, initial=0)
        scales = np.maximum(peaks / np.float32(_LEVELS), np.float32(_SMALLEST))
        codes[part] = np.clip(np.rint(block / scales[:, None]), -_LEVELS, _LEVELS)
        lost = block.astype(np.float64)
        lost -= codes[part] * scales[:, None].astype(np.float64)
        errors = np.sqrt(np.einsum("ij,ij->i", lost, lost))
        measures[:, part] = _measures(scales, lengths, errors)
    return Quantised(codes, measures)


def kept_codes(codes: NDArray[np.int8], scales: NDArray[np.float32]) -> Quantised:
    """Rows that are kept as codes and nothing else: code times scale, rounded to float32, is the row.

    Args:
        codes: int8 of shape (rows, dimensions).
        scales: float32 of shape (rows,).
    """
    wide = codes.astype(np.float64)
    lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide)) * scales
    return Quantised(codes, _measures(scales, lengths, _HALF_STEP * lengths))


def unquantised(vectors: NDArray[np.float32], *, stage: str = "dense") -> Quantised:
    """Rows as they are: the error is that of a float32 product, d * u * |q| * |x| in any order (Higham, 3.1).

    Args:
        vectors: float32 of shape (rows, dimensions).
        stage: Name for errors.

    Raises:
        DataError: A number is not finite, or a row is longer than 1e15.
    """
    measures = np.empty((3, len(vectors)), dtype=np.float32)
    for start in range(0, len(vectors), _BLOCK):
        lengths = checked_lengths(vectors[start : start + _BLOCK], stage=stage)
        errors = 2 * vectors.shape[1] * _HALF_STEP * lengths
        measures[:, start : start + _BLOCK] = _measures(np.ones_like(lengths), lengths, errors)
    return Quantised(vectors, measures)


def checked_lengths(vectors: NDArray[np.float32], *, stage: str = "dense") -> NDArray[np.float64]:
    """The length of each row.

    Raises:
        DataError: A number is not finite, or a row is longer than 1e15.
    """
    wide = vectors.astype(np.float64)
    lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    bad = np.flatnonzero(~(lengths <= LONGEST))
    if len(bad):
        raise DataError(
            "a vector holds a number that is not finite, or is longer than can be searched",
            stage=stage,
            value=f"row {int(bad[0])} of length {lengths[bad[0]]:g}",
            accepted=f"finite numbers, and lengths up to {LONGEST:g}",
        )
    return np.asarray(lengths)


def query_measures(
    queries: NDArray[np.float32],
    codes: NDArray[np.int8] | NDArray[np.float32] | NDArray[np.float64],
    scales: NDArray[np.float32],
) -> NDArray[np.float32]:
    """What a scan has to know of queries: scale, error and length, float32 of shape (queries, 3).

    Args:
        queries: Queries of length 1 or 0, float32 of shape (queries, dimensions).
        codes: What rows are multiplied with, of the same shape.
        scales: What the products are to be multiplied with, float32 of shape (queries,).
    """
    kept = codes * scales[:, None].astype(np.float64)
    lost = queries.astype(np.float64) - kept
    error = np.sqrt(np.einsum("ij,ij->i", lost, lost))
    length = np.sqrt(np.maximum(np.einsum("ij,ij->i", kept, kept), 0)) + error
    return np.stack([scales, _up(error), _up(length)], axis=1)


def _measures(
    scales: NDArray[np.float32] | NDArray[np.float64], lengths: NDArray[np.float64], errors: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Scale, length and error of rows; the error takes in what the scan rounds."""
    return np.stack([scales.astype(np.float32), _up(lengths), _up(errors + _ROUNDING * lengths + _SMALLEST)])


def _up(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """As float32, not less than before."""
    return (values * (1 + 1e-6)).astype(np.float32)
