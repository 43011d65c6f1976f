"""Candidate search: documents near a query by their centroids are found first, then scored by their vectors.

Santhanam et al.: PLAID, CIKM 2022 (arXiv:2205.09707). For each query vector the nearest centroids are probed; documents
in their lists are compared with the query by centroids in place of vectors, at first only by those that matter to it;
and those that are left are scored exactly.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rankloom.order import Codes, Offsets, Scores, top_order
from rankloom.progress import SILENT, Progress
from rankloom.retrieval.token_index.centroids import SEED, Centroids, number_of_centroids, samples
from rankloom.retrieval.token_index.effort import ROUGH, Effort, effort
from rankloom.retrieval.token_index.inverted_lists import InvertedLists
from rankloom.retrieval.token_index.residual import ResidualStorage, code_type
from rankloom.retrieval.token_index.scoring import hits_of, score_documents
from rankloom.retrieval.token_index.storage import (
    Matrix,
    TokenStorage,
    check_codes,
    new_array,
    read_array,
    read_only,
    shown,
)
from rankloom.retrieval.vectors.best_documents import Hits, checked_queries
from rankloom.retrieval.vectors.crew import Crew, threads
from rankloom.retrieval.vectors.float_product import float_product
from rankloom.token_vectors import TokenVectors

_STAGE = "multi_vector"
_CENTROIDS, _CODES = "centroids.npy", "codes.npy"
_LANES = 16  # query vectors that one instruction takes


class CandidateSearch:
    """Search by centroids and the documents near them. Use `build` or `read`, not the constructor.

    Approximate: documents among the best can be missing, and fewer than asked for can come back. Scores are exact. A
    document without vectors is never found.

    Args:
        storage: The vectors, which exact scores are of.
        offsets: Where the rows of each document start, int64 of shape (documents + 1,).
        centroids: What is probed.
        codes: The centroid of each row.
        lists: Documents by centroid.

    Example:
        >>> from rankloom.retrieval.token_index.storage import Float16Storage
        >>> from rankloom.retrieval.vectors.vector_parts import VectorParts
        >>> eye = np.eye(4, dtype=np.float32)
        >>> search = CandidateSearch.build(Float16Storage.build(VectorParts([eye])), np.array([0, 2, 4]))
        >>> search.search(TokenVectors.of([eye[1:3], eye[3:]], 4), k=2, nprobe=1).codes.tolist()
        [0, 1, 1]
    """

    exact = False
    kind = "centroids"

    def __init__(
        self, storage: TokenStorage, offsets: Offsets, centroids: Centroids, codes: NDArray[Any], lists: InvertedLists
    ) -> None:
        self.storage, self.centroids, self._checked = storage, centroids, False
        self.offsets, self.codes = read_only(offsets), read_only(codes)
        lengths = np.sqrt(np.einsum("ij,ij->i", centroids.matrix, centroids.matrix))
        self._length = float(lengths.mean()) if len(lengths) else 1.0
        self.lists = InvertedLists(read_only(lists.offsets), read_only(lists.documents))

    # --- ways in ---------------------------------------------------------------------------------------------

    @classmethod
    def build(
        cls,
        storage: TokenStorage,
        offsets: Offsets,
        *,
        folder: Path | None = None,
        progress: Progress = SILENT,
        centroids: int | None = None,
        seed: int = SEED,
    ) -> Self:
        """Find centroids, and list the documents of each. Residual storage has centroids already; they are shared.

        Args:
            storage: The vectors, which are read through twice.
            offsets: Where those of each document start.
            folder: Where the files go, an existing folder; None keeps all in memory.
            progress: What is shown of it.
            centroids: How many; see `number_of_centroids`. Nothing where the storage has its own.
            seed: Of the sample and of k-means.

        Raises:
            UsageError: There can not be so many centroids.
            DataError: A number is not finite.
            MissingExtraError: FAISS is not installed.
        """
        if isinstance(storage, ResidualStorage):
            centres, codes = storage.centroids, storage.codes
        else:
            count = number_of_centroids(len(storage), centroids, stage=_STAGE)
            drawn = samples(storage, count, seed=seed, progress=progress)
            centres = Centroids.learned(
                drawn.learned, count, normalized=drawn.normalized, seed=seed, stage=_STAGE, progress=progress
            )
            codes = new_array(folder, _CODES, (len(storage),), code_type(count))
            for first, block in shown(storage, progress, "nearest centroids"):
                codes[first : first + len(block)] = centres.nearest(block)
            if folder is not None:
                np.save(folder / _CENTROIDS, centres.matrix)
        lists = InvertedLists.build(codes, offsets, len(centres), folder=folder)
        built = cls(storage, offsets, centres, codes, lists)
        return built if folder is None else cls.read(folder, storage, offsets, built.settings())

    @classmethod
    def read(cls, folder: Path, storage: TokenStorage, offsets: Offsets, settings: dict[str, Any]) -> Self:
        """Open what `build` has put into a folder; files are mapped, but for the centroids.

        What codes and lists name is looked at by the first search.

        Raises:
            OSError: A file is missing.
            ValueError: A file is damaged, or of other vectors.
        """
        if isinstance(storage, ResidualStorage):
            centres, codes = storage.centroids, storage.codes
        else:
            matrix = np.array(read_array(folder / _CENTROIDS, np.float32, 2))
            codes = read_array(folder / _CODES, code_type(len(matrix)), 1)
            if matrix.shape[1] != storage.dimensions or len(codes) != len(storage):
                raise ValueError(f"{_CENTROIDS} or {_CODES} is of other vectors")
            centres = Centroids(matrix, bool(settings["normalized"]))
        lists = InvertedLists.read(folder)
        if len(lists) != len(centres):
            raise ValueError("the lists are of other centroids")
        return cls(storage, offsets, centres, codes, lists)

    # --- what it holds ---------------------------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        """How many centroids there are, and whether vectors are of length 1."""
        return {"centroids": len(self.centroids), "normalized": self.centroids.normalized}

    @property
    def nbytes(self) -> int:
        """Of lists; of centroids and codes, too, unless they are the storage's."""
        own = 0 if isinstance(self.storage, ResidualStorage) else self.centroids.matrix.nbytes + self.codes.nbytes
        return own + self.lists.nbytes

    def __len__(self) -> int:
        """How many documents there are."""
        return len(self.offsets) - 1

    def __repr__(self) -> str:
        """Its size."""
        return f"<CandidateSearch of {len(self)} documents by {len(self.centroids)} centroids>"

    # --- searching -------------------------------------------------------------------------------------------

    def search(
        self, queries: TokenVectors, k: int, *, nprobe: int | None = None, candidates: int | None = None
    ) -> Hits:
        """The best documents of each query, as far as they are found, by exact scores.

        Args:
            queries: Vectors of the queries; one without any finds nothing.
            k: How many documents for each, at least 1.
            nprobe: Centroids probed for each query vector; see `effort`.
            candidates: Documents scored by their vectors; see `effort`.

        Raises:
            DataError: The queries have not the index's dimensions, or a number is not finite.
            DamagedIndexError: A file is damaged.
        """
        if not self._checked:
            check_codes(self.codes, len(self.centroids), _CODES)
            self.lists.check(len(self))
            self._checked = True
        checked_queries(queries.vectors, self.storage.dimensions, stage=_STAGE)
        how = effort(k, nprobe, candidates)
        found: dict[int, tuple[Codes, Scores]] = {}

        def work(number: int) -> None:
            found[number] = self._best(queries[number], k, how)

        if len(self.centroids):
            with Crew(threads(), products=True) as crew:
                crew.each(np.flatnonzero(queries.lengths).tolist(), work)
        return hits_of(found, len(queries))

    def _best(self, query: Matrix, k: int, how: Effort) -> tuple[Codes, Scores]:
        """The best documents of one query in order, and their scores; on the calling thread."""
        from rankloom.retrieval.token_index.candidate_kernel import candidates_of

        # made up by zeros, which add nothing, to a width that vector instructions take whole
        lanes = np.zeros((-(-len(query) // _LANES) * _LANES, query.shape[1]), dtype=np.float32)
        lanes[: len(query)] = query
        table = float_product(self.centroids.matrix, lanes)
        documents = candidates_of(
            table, len(query), min(how.nprobe, len(table)), self._product(how.threshold, query), self.codes,
            self.offsets, self.lists.offsets, self.lists.documents, ROUGH * how.candidates, how.candidates,
        )  # fmt: skip
        scores = score_documents(self.storage, self.offsets, query, documents, Crew(1))
        best = top_order(documents, scores, k)
        return documents[best], scores[best]

    def _product(self, cosine: float, query: Matrix) -> np.float32:
        """The product that stands for a cosine, where vectors may be of any length: by a usual and a largest one."""
        return np.float32(cosine * self._length * np.sqrt(np.einsum("ij,ij->i", query, query).max()))
