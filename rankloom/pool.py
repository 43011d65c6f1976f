"""The pool of several rankings: every document that any of them holds, with its scores and ranks side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rankloom.ids import DocIds
from rankloom.order import Codes, Offsets
from rankloom.ranking import Ranking

Norm = Literal["none", "minmax", "zscore", "centred"]
NORMS: tuple[str, ...] = get_args(Norm)
Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pool:
    """The union of several rankings of the same queries.

    Args:
        ids: Table of document ids that holds all of them.
        offsets: Where each query's documents start; int64 of shape (queries + 1,).
        codes: Documents of each query in code order; int32 of shape (documents,).
        rows: For each ranking, the row of each of its hits; int64 of shape (hits,).
        rankings: The rankings, as given.
    """

    ids: DocIds
    offsets: Offsets
    codes: Codes
    rows: tuple[NDArray[np.int64], ...]
    rankings: tuple[Ranking, ...]

    @classmethod
    def of(cls, rankings: Sequence[Ranking]) -> Pool:
        """Pool rankings that have the same queries in the same order."""
        rankings = Ranking.sharing_ids(rankings)
        ids = rankings[0].ids
        width = max(1, len(ids))
        keys = [ranking.query_numbers() * width + ranking.codes for ranking in rankings]
        union, inverse = np.unique(np.concatenate(keys), return_inverse=True)
        queries = np.arange(len(rankings[0]) + 1)
        ends = np.cumsum([len(key) for key in keys])[:-1]
        return cls(
            ids,
            np.searchsorted(union, queries * width).astype(np.int64),
            (union % width).astype(np.int32),
            tuple(np.split(inverse, ends)),
            tuple(rankings),
        )

    def scores(self, norm: Norm = "none") -> Matrix:
        """Scores, float64 of shape (documents, rankings); NaN where a ranking does not hold the document."""
        return self._spread([normalise(ranking, norm) for ranking in self.rankings])

    def ranks(self) -> Matrix:
        """Ranks from 1, float64 of shape (documents, rankings); NaN where a ranking does not hold the document."""
        return self._spread([ranking.ranks() for ranking in self.rankings])

    def sizes(self) -> Matrix:
        """For each document, how many hits each ranking has for its query; float64 (documents, rankings)."""
        counts = np.stack([ranking.counts() for ranking in self.rankings], axis=1).astype(np.float64)
        return np.repeat(counts, np.diff(self.offsets), axis=0)

    def minima(self, norm: Norm = "none") -> Matrix:
        """For each document, the lowest score of each ranking for its query, 0 for an empty one."""
        lows = np.stack([_lowest(ranking, norm) for ranking in self.rankings], axis=1)
        return np.repeat(lows, np.diff(self.offsets), axis=0)

    def _spread(self, columns: Sequence[NDArray[np.generic]]) -> Matrix:
        """Columns over hits, as a matrix over the pool."""
        matrix = np.full((len(columns), len(self.codes)), np.nan)
        for values, rows, column in zip(matrix, self.rows, columns, strict=True):
            values[rows] = column
        return matrix.T


def normalise(ranking: Ranking, norm: Norm) -> NDArray[np.float64]:
    """Scores brought to a common scale, query by query; float64 of shape (hits,).

    Args:
        ranking: The scores to bring to scale.
        norm: `none`: as they are. `minmax`: (s - min) / (max - min), and 1 for every hit of a constant list.
            `zscore`: (s - mean) / standard deviation (of the list itself), and 0 in a constant list.
            `centred`: (s - (min + max) / 2) / (max - min), from -0.5 to 0.5, and 0 in a constant list.
    """
    scores = ranking.scores.astype(np.float64)
    if norm == "none" or not len(scores):
        return scores
    counts = ranking.counts()
    filled = counts > 0
    starts, sizes = ranking.offsets[:-1][filled], counts[filled]
    high, low = np.maximum.reduceat(scores, starts), np.minimum.reduceat(scores, starts)
    constant = np.repeat(high == low, sizes)
    if norm == "zscore":
        mean = np.add.reduceat(scores, starts) / sizes
        centred = scores - np.repeat(mean, sizes)
        spread = np.sqrt(np.add.reduceat(centred**2, starts) / sizes)
        return np.where(constant, 0.0, centred / np.repeat(np.where(spread > 0, spread, 1.0), sizes))
    middle, when_constant = (low, 1.0) if norm == "minmax" else ((low + high) / 2, 0.0)
    width = np.where(high > low, high - low, 1.0)
    return np.where(constant, when_constant, (scores - np.repeat(middle, sizes)) / np.repeat(width, sizes))


def _lowest(ranking: Ranking, norm: Norm) -> NDArray[np.float64]:
    """The lowest normalised score of each query, 0 where it has no hits; float64 of shape (queries,)."""
    scores = normalise(ranking, norm)
    lows = np.zeros(len(ranking))
    filled = ranking.counts() > 0
    if filled.any():
        lows[filled] = np.minimum.reduceat(scores, ranking.offsets[:-1][filled])
    return lows
