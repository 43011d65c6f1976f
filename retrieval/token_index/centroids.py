"""Centroids of token vectors: k-means over a sample of them, and which centroid a vector is nearest to.

Numbers are those of Santhanam et al.: ColBERTv2, NAACL 2022 (arXiv:2112.01488), and PLAID, CIKM 2022
(arXiv:2205.09707), as their code has them; only the sample is smaller. The same rows and seed give the same centroids
on the same machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import whole
from rankloom.errors import StageError, UsageError
from rankloom.extras import require
from rankloom.progress import SILENT, Progress
from rankloom.retrieval.token_index.storage import Matrix, Rows, shown
from rankloom.retrieval.vectors.faiss_search import one_thread
from rankloom.retrieval.vectors.quantised import checked_lengths

SEED = 1234
POINTS = 64  # rows learned from for each centroid
_ROUNDS = 4
_HELD_OUT, _MOST_HELD_OUT = 0.05, 50_000
_UNIT = 0.01  # how far the length of a vector may be from 1 after it has been rounded to float16 or int8
_MANY, _MANY_PAIRS = 1 << 16, 1 << 22  # rows, and rows times centroids, from which on several threads are faster


class Samples(NamedTuple):
    """Vectors drawn from all, and what has been seen of all.

    Args:
        learned: What centroids are learned from, float32 of shape (rows, dimensions).
        held_out: Others, likewise.
        normalized: Whether all vectors are of length 1, not only those that were drawn.
    """

    learned: Matrix
    held_out: Matrix
    normalized: bool


@dataclass(frozen=True, slots=True, eq=False)
class Centroids:
    """Points that stand for the vectors around them.

    Args:
        matrix: float32 of shape (centroids, dimensions).
        normalized: Whether they, and the vectors they were learned from, are of length 1.
    """

    matrix: Matrix
    normalized: bool

    @classmethod
    def learned(
        cls,
        vectors: Matrix,
        count: int,
        *,
        normalized: bool,
        seed: int = SEED,
        stage: str = "multi_vector",
        progress: Progress = SILENT,
    ) -> Self:
        """The centres that k-means finds.

        It multiplies every vector with every centre in each of four rounds: 1e12 products of vectors for the 65,536
        centroids of 40 million vectors, an hour or so on two processors. To find the nearest of them for all vectors
        takes two and a half times as long.

        Args:
            vectors: What to learn from, float32 of shape (rows, dimensions), no fewer rows than `count`.
            count: How many centres.
            normalized: Whether centres shall be of length 1, as all vectors are.
            seed: Of the first centres.
            stage: Who asks, for errors.
            progress: What is shown of it.

        Raises:
            MissingExtraError: FAISS is not installed.
            StageError: FAISS failed.
        """
        if not count:
            return cls(np.zeros((0, vectors.shape[1]), dtype=np.float32), normalized)
        faiss = require("faiss", extra="dense", stage=stage)
        # from all it is given: `samples` has chosen how many
        means = faiss.Kmeans(
            vectors.shape[1], count, niter=_ROUNDS, seed=seed, spherical=normalized,
            min_points_per_centroid=1, max_points_per_centroid=2**31 - 1,
        )  # fmt: skip
        try:
            with one_thread(len(vectors) < _MANY), progress.task(f"{stage} centroids", count) as advance:
                means.train(np.ascontiguousarray(vectors, dtype=np.float32))
                advance(count)
        except RuntimeError as error:
            raise StageError(f"FAISS can not find centroids: {error}", stage=stage, value=count) from error
        return cls(means.centroids, normalized)

    def __len__(self) -> int:
        """How many there are."""
        return len(self.matrix)

    def nearest(self, vectors: Matrix) -> NDArray[np.int64]:
        """The centroid nearest to each vector by Euclidean distance, int64 of shape (rows,)."""
        if not len(vectors):
            return np.zeros(0, dtype=np.int64)
        faiss = require("faiss", extra="dense", stage="multi_vector")
        with one_thread(len(vectors) * len(self) < _MANY_PAIRS):
            found = faiss.knn(np.ascontiguousarray(vectors), self.matrix, 1, metric=faiss.METRIC_L2)[1]
        return np.asarray(found[:, 0])


def number_of_centroids(rows: int, asked: int | None = None, *, stage: str = "multi_vector") -> int:
    """How many centroids there are for so many vectors.

    Args:
        rows: How many vectors.
        asked: What the user wants; None: the power of two at or below 16 times the root of the rows, but not more than
            there are rows.
        stage: Who asks, for errors.

    Raises:
        UsageError: More are asked for than there are rows, or fewer than one.

    Example:
        >>> number_of_centroids(2_000_000), number_of_centroids(100), number_of_centroids(0)
        (16384, 100, 0)
    """
    if asked is None:
        return min(rows, 1 << int(math.log2(16 * math.sqrt(rows)))) if rows else 0
    if whole(asked, least=1, stage=stage, parameter="centroids") > rows:
        raise UsageError(
            f"{rows} vectors are too few to find that many centroids",
            stage=stage,
            value=f"centroids {asked}",
            accepted=f"at most {rows}",
            fix="leave centroids out",
        )
    return asked


def samples(rows: Rows, count: int, *, seed: int = SEED, progress: Progress = SILENT) -> Samples:
    """Vectors to learn `count` centroids from, and others that were held out, to see how far vectors are from them.

    `POINTS` rows for each centroid, one of each of as many stretches of equal length; one in twenty of them is held
    out, at most 50,000. Where too few would be left to learn from, the same vectors serve for both. Every row is looked
    at for its length: one of another length that was not drawn would be taken for one of length 1 otherwise.

    Raises:
        DataError: A number is not finite, or a row is longer than 1e15.
    """
    drawn = min(len(rows), POINTS * count)
    held = min(int(_HELD_OUT * drawn), _MOST_HELD_OUT)
    rng = np.random.default_rng(seed)
    edges = np.linspace(0, len(rows), drawn + 1).astype(np.int64)
    numbers = rng.integers(edges[:-1], edges[1:])
    if held == 0 or drawn - held < count:
        taken, normalized = _taken(rows, numbers, np.arange(drawn), progress)
        return Samples(taken, taken, normalized)
    taken, normalized = _taken(rows, numbers, np.argsort(rng.permutation(drawn)), progress)
    return Samples(taken[held:], taken[:held], normalized)


def _taken(
    rows: Rows, numbers: NDArray[np.int64], places: NDArray[np.int64], progress: Progress
) -> tuple[Matrix, bool]:
    """The rows of ascending numbers, read through in order; and whether all rows, but for rounding, are of length 1.

    Args:
        rows: All of them.
        numbers: Which are taken.
        places: Where each is put, so that none has to be moved, which would take the memory twice.
        progress: What is shown of it.

    Raises:
        DataError: A number among all rows is not finite, or a row is longer than 1e15.
    """
    taken, normalized = np.empty((len(numbers), rows.dimensions), dtype=np.float32), True
    for first, block in shown(rows, progress, "sample"):
        lengths = checked_lengths(block, stage="multi_vector")
        normalized = normalized and bool((np.abs(lengths - 1) <= _UNIT).all())
        part = slice(*np.searchsorted(numbers, (first, first + len(block))).tolist())
        taken[places[part]] = block[numbers[part] - first]
    return taken, normalized
