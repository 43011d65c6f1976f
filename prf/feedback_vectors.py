"""The vectors of feedback documents, read from an index for many queries at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankloom.prf.mixture import Mixture
from rankloom.ranking import Ranking
from rankloom.sources import VectorSource

Means = NDArray[np.float64]


class FeedbackVectors(NamedTuple):
    """Means of the vectors of feedback documents. A document that the index does not hold is in none of them.

    Args:
        best: Mean of each query's best documents, float64 of shape (queries, dimensions); zeros where there are none.
        last: The same of its last documents.
        counts: How many of the best were read; int64 of shape (queries,).
        unread: Number of a query and id of a document that the index does not hold, in the order of the ranking.
    """

    best: Means
    last: Means
    counts: NDArray[np.int64]
    unread: list[tuple[int, str]]

    @classmethod
    def read(cls, ranking: Ranking, mixture: Mixture, source: VectorSource) -> FeedbackVectors:
        """Read the best `docs` and the last `negatives` documents of each query; a document is never both.

        Args:
            ranking: Where the documents stand.
            mixture: How many are read.
            source: The index; each document is asked for once, all of them together.
        """
        ranks, counts = ranking.ranks(), ranking.counts()
        best = ranks <= mixture.docs
        chosen = best | (ranks > np.repeat(counts, counts) - mixture.negatives)
        codes, numbers, best = ranking.codes[chosen], ranking.query_numbers()[chosen], best[chosen]
        distinct, places = np.unique(codes, return_inverse=True)
        stored, held = source.document_vectors(ranking.ids.take(distinct))
        known = held[places]
        means, read = zip(
            *(
                _means(stored[places[group]], np.bincount(numbers[group], minlength=len(ranking)))
                for group in (best & known, ~best & known)
            ),
            strict=True,
        )
        missing = np.flatnonzero(~known)
        unread = list(zip(numbers[missing].tolist(), ranking.ids.take(codes[missing]), strict=True))
        return cls(means[0], means[1], read[0], unread)


def _means(rows: NDArray[np.float32], counts: NDArray[np.int64]) -> tuple[Means, NDArray[np.int64]]:
    """The mean of each query's rows, which stand one query below the other, and how many there are of each."""
    sums = np.zeros((len(counts), rows.shape[1]))
    some = counts > 0
    if some.any():
        starts = np.cumsum(counts) - counts
        sums[some] = np.add.reduceat(rows.astype(np.float64), starts[some], axis=0)
    return sums / np.maximum(counts, 1)[:, None], counts
