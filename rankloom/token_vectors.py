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


def maxsim(query: NDArray[np.float32], documents: TokenVectors) -> NDArray[np.float64]:
    """The sum, over a query's vectors, of the largest inner product with one of a document's.

    Args:
        query: float32 of shape (tokens, dimensions).
        documents: One without vectors scores 0.

    Returns:
        float64 of shape (documents,).

    Example:
        >>> eye = np.eye(3, dtype=np.float32)
        >>> maxsim(eye[:2], TokenVectors.of([eye, eye[:1], eye[:0]], 3)).tolist()
        [2.0, 1.0, 0.0]
    """
    scores = np.zeros(len(documents))
    some = np.flatnonzero(documents.lengths)
    if len(some):  # documents without vectors take no rows, so that the others' beginnings divide the rows as well
        products = query @ documents.vectors.T
        best = np.maximum.reduceat(products, documents.offsets[some], axis=1)
        scores[some] = best.sum(axis=0, dtype=np.float64)
    return scores
