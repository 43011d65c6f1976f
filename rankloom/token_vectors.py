"""Vectors of the tokens of texts, one below the other, and the comparison of texts by them (MaxSim).

Khattab and Zaharia: ColBERT, SIGIR 2020 (arXiv:2004.12832).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rankloom.errors import UsageError

_PAIRS = 1 << 14  # pairs of vectors that are multiplied in float64 at a time: 16 MiB of 128 numbers each
#: A product in float32, summed in any order, is off by no more than this for each number, of the product of lengths
#: (Higham: Accuracy and Stability of Numerical Algorithms, 3.1); a few roundings more are those of comparing, and the
#: lengths are rounded too. Numbers below the smallest that float32 has in full are off by less than `_SMALLEST`.
_ROUNDING, _ROUNDINGS, _SMALLEST = 2.0**-24 * 1.02, 8, 1e-35


@dataclass(frozen=True, slots=True, eq=False)
class TokenVectors:
    """The token vectors of some texts. Text number i has the rows `offsets[i]` to `offsets[i + 1]`; it may have none.

    Args:
        vectors: float32 of shape (rows, dimensions).
        offsets: int64 of shape (texts + 1,), from 0 to the number of rows, never falling.

    Raises:
        UsageError: The offsets do not divide the rows.

    Example:
        >>> eye = np.eye(3, dtype=np.float32)
        >>> some = TokenVectors.of([eye, eye[:0], eye[:2]], 3)
        >>> len(some), some.lengths.tolist(), some[2].shape
        (3, [3, 0, 2], (2, 3))
    """

    vectors: NDArray[np.float32]
    offsets: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Hold the offsets against the rows."""
        offsets = self.offsets
        if self.vectors.ndim != 2 or not len(offsets) or offsets[0] or offsets[-1] != len(self.vectors):
            raise UsageError(
                "offsets do not begin at the first row and end behind the last",
                stage="token_vectors",
                value=f"vectors of shape {self.vectors.shape}, offsets {offsets[:1]} to {offsets[-1:]}",
            )
        if (np.diff(offsets) < 0).any():
            raise UsageError("offsets fall", stage="token_vectors")

    @classmethod
    def of(cls, texts: Sequence[NDArray[np.float32]], dimensions: int) -> Self:
        """The vectors of texts, float32 of shape (tokens, dimensions) each; `dimensions` is for when there are none."""
        offsets = np.zeros(len(texts) + 1, dtype=np.int64)
        np.cumsum([len(one) for one in texts], out=offsets[1:])
        none = np.zeros((0, dimensions), dtype=np.float32)
        return cls(np.concatenate([none, *texts], dtype=np.float32), offsets)

    def __len__(self) -> int:
        """How many texts there are."""
        return len(self.offsets) - 1

    def __getitem__(self, place: int) -> NDArray[np.float32]:
        """The vectors of one text, float32 of shape (tokens, dimensions); no copy."""
        place = range(len(self))[place]
        return self.vectors[self.offsets[place] : self.offsets[place + 1]]

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """The vectors of each text."""
        return (self[place] for place in range(len(self)))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """How many vectors each text has, int64 of shape (texts,)."""
        return np.diff(self.offsets)

    @property
    def dimensions(self) -> int:
        """Numbers in each vector."""
        return int(self.vectors.shape[1])

    def take(self, places: ArrayLike) -> Self:
        """The vectors of some texts, in the order asked for; a text may be asked for repeatedly.

        Args:
            places: Numbers of texts; int64 of shape (texts asked for,).
        """
        chosen = np.asarray(places, dtype=np.int64)
        lengths = self.lengths[chosen]
        offsets = np.zeros(len(chosen) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        rows = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][chosen] - offsets[:-1], lengths)
        return type(self)(self.vectors[rows], offsets)


def maxsim(query: NDArray[np.float32], documents: TokenVectors) -> NDArray[np.float32]:
    """The sum, over a query's vectors, of the largest inner product with one of a document's.

    A score depends on nothing but the two texts' vectors, so that copies tie whatever else is scored with them:
    products and sums are in float64, rounded once. The last bits of a product in float32 depend on the shape of the
    matrices; it only tells which vectors may be the nearest.

    Args:
        query: float32 of shape (tokens, dimensions).
        documents: One without vectors scores 0.

    Returns:
        float32 of shape (documents,).

    Example:
        >>> eye = np.eye(3, dtype=np.float32)
        >>> maxsim(eye[:2], TokenVectors.of([eye, eye[:1], eye[:0]], 3)).tolist()
        [2.0, 1.0, 0.0]
    """
    scores = np.zeros(len(documents))
    some = np.flatnonzero(documents.lengths)
    if not len(some) or not len(query):
        return scores.astype(np.float32)
    starts = documents.offsets[some]  # documents without vectors take no rows, so these divide the rows as well
    vectors, rows = _near(query, documents.vectors, starts)
    products = np.empty(len(rows))
    for first in range(0, len(rows), _PAIRS):
        part = slice(first, first + _PAIRS)
        pairs = query[vectors[part]].astype(np.float64) * documents.vectors[rows[part]]
        products[part] = pairs.sum(axis=1)
    owners = np.searchsorted(starts, rows, side="right") - 1
    borders = np.flatnonzero(np.diff(vectors * len(some) + owners, prepend=-1))  # each query vector has one each
    for best in np.maximum.reduceat(products, borders).reshape(len(query), len(some)):
        scores[some] += best  # one by one: how NumPy sums depends on the shape
    return scores.astype(np.float32)


def _near(
    query: NDArray[np.float32], matrix: NDArray[np.float32], starts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which of each document's rows may be the nearest to each query vector: numbers of query vectors, and of rows."""
    with np.errstate(over="ignore", invalid="ignore"):  # of numbers so large that products overflow: see the last line
        products = query @ matrix.T
        longest = np.maximum.reduceat(np.sqrt(np.einsum("ij,ij->i", matrix, matrix)), starts)
        lengths = np.sqrt(np.einsum("ij,ij->i", query, query))
        off = (query.shape[1] + _ROUNDINGS) * _ROUNDING * np.outer(lengths, longest).astype(np.float64) + _SMALLEST
        least = np.maximum.reduceat(products, starts, axis=1) - 2 * off
        of_each_row = np.repeat(least, np.diff(starts, append=len(matrix)), axis=1)
        vectors, rows = np.nonzero(~(products < of_each_row))  # what has overflowed may be the nearest
    return np.asarray(vectors, dtype=np.int64), np.asarray(rows, dtype=np.int64)
