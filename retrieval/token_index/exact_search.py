"""Exact MaxSim: a scan of int8 codes bounds every document's score, and the few that may be among the best are scored.

A document is left out only when its upper bound is below the scores of k others. Products of codes are off by no more
than measured lengths say (`vectors/quantised.py`), and so is their sum: with a_ij the product of codes of
query vector i and document vector j, and e_ij at least |a_ij - q_i.x_j|,

    sum_i max_j q_i.x_j  <=  sum_i max_j (a_ij + e_ij).

Scores are those of `scoring.score_documents`, from the vectors as they are stored; ties go by document id.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rankloom.order import Codes, Offsets, Scores, top_order
from rankloom.progress import SILENT, Progress
from rankloom.retrieval.token_index.asked import Asked
from rankloom.retrieval.token_index.device_search import DeviceSearch
from rankloom.retrieval.token_index.scan_codes import build_codes, own_bytes, read_codes
from rankloom.retrieval.token_index.scoring import hits_of, pieces, score_documents
from rankloom.retrieval.token_index.storage import TokenStorage, read_only
from rankloom.retrieval.vectors.best_documents import Hits, checked_queries
from rankloom.retrieval.vectors.crew import Crew, threads
from rankloom.retrieval.vectors.quantised import Quantised, checked_lengths, unquantised
from rankloom.token_vectors import TokenVectors

SMALL = 1 << 20  # numbers of vectors up to which all documents are scored: there is nothing to gain by bounds
SCANNED = ("float16", "int8")  # kinds of storage whose codes are scanned; larger than others would be codes beside them
_VECTORS = 256  # query vectors multiplied at a time
_PRODUCTS = 1 << 20  # products by NumPy at a time: 4 MiB
_ROWS, _FINE_ROWS = 1 << 16, 1 << 13  # document vectors for which a thread is sent off
_ROUNDED = 3e-7  # what bounds and scores may lose by being rounded to float32, of themselves
_STAGE = "multi_vector"


class ExactSearch:
    """All documents compared with every query.

    Args:
        storage: The documents' vectors.
        offsets: Where each document's vectors start, int64 of shape (documents + 1,).
        scanned: Their codes; None to multiply the vectors themselves.

    Example:
        >>> from rankloom.retrieval.token_index.storage import Float16Storage
        >>> from rankloom.retrieval.vectors.vector_parts import VectorParts
        >>> storage = Float16Storage.build(VectorParts([np.eye(3, dtype=np.float32)]))
        >>> search = ExactSearch.build(storage, np.array([0, 2, 3]))
        >>> hits = search.search(TokenVectors.of([np.eye(3, dtype=np.float32)[1:]], 3), 2)
        >>> hits.codes.tolist(), hits.scores.tolist()
        ([0, 1], [1.0, 1.0])
    """

    kind, exact = "exact", True

    def __init__(self, storage: TokenStorage, offsets: Offsets, scanned: Quantised | None) -> None:
        self.storage, self.offsets, self.scanned = storage, offsets, scanned
        self._devices: dict[str, DeviceSearch] = {}
        self._moving = Lock()  # a device's memory may hold the vectors once, not once for each thread that asks

    @classmethod
    def build(
        cls, storage: TokenStorage, offsets: Offsets, *, folder: Path | None = None, progress: Progress = SILENT
    ) -> Self:
        """Quantise the vectors, if that is of use; in memory, or into an existing folder."""
        return cls(storage, offsets, build_codes(storage, folder, progress) if _scans_codes(storage) else None)

    @classmethod
    def read(cls, folder: Path, storage: TokenStorage, offsets: Offsets, settings: dict[str, Any]) -> Self:  # noqa: ARG003
        """Open what `build` has put into a folder.

        Raises:
            OSError: A file is missing.
            ValueError: A file is damaged, or of other vectors.
        """
        return cls(storage, offsets, read_codes(storage, folder) if _scans_codes(storage) else None)

    def settings(self) -> dict[str, Any]:
        """Nothing: it has none."""
        return {}

    @property
    def nbytes(self) -> int:
        """Bytes that are kept for the search, beside the storage."""
        return 0 if self.scanned is None else own_bytes(self.scanned, self.storage)

    def __len__(self) -> int:
        """How many documents there are."""
        return len(self.offsets) - 1

    def __repr__(self) -> str:
        """Its size."""
        return f"<ExactSearch of {len(self)} documents>"

    # --- searching -------------------------------------------------------------------------------------------

    def search(self, queries: TokenVectors, k: int, *, device: str = "cpu") -> Hits:
        """The best k documents of each query by score, and by document id where scores are equal.

        A document without vectors scores 0; a query without vectors finds nothing.

        Args:
            queries: Vectors of the index's dimensions.
            k: How many for each query, at least 1; fewer come back when there are fewer.
            device: Where to multiply, a device of torch; other than `cuda`, the processor does it.

        Raises:
            DataError: The queries have not the index's dimensions, a number is not finite, or a vector is longer than
                1e15.
        """
        checked_lengths(checked_queries(queries.vectors, self.storage.dimensions, stage=_STAGE), stage=_STAGE)
        if device.startswith("cuda"):
            return self._on(device).search(queries, k)
        k = min(k, len(self))
        found: dict[int, tuple[Codes, Scores]] = {}
        asked = np.flatnonzero(queries.lengths)
        few = k == len(self) or len(self.storage) * self.storage.dimensions <= SMALL
        with self._crew(few=few) as crew:
            for part in pieces(queries.offsets, asked, _VECTORS) if k else []:
                some = queries.take(asked[part])
                uppers = [None] * len(some) if few else self._uppers(some, crew)
                for place, number in enumerate(asked[part].tolist()):
                    found[number] = self._best(some.take([place]), k, uppers[place], crew)
        return hits_of(found, len(queries))

    def close(self) -> None:
        """Free the memory of accelerators."""
        with self._moving:
            self._devices.clear()

    def _on(self, device: str) -> DeviceSearch:
        """A search on an accelerator, whose memory it keeps."""
        with self._moving:
            if device not in self._devices:
                self._devices[device] = DeviceSearch(self.storage, self.offsets, device)
            return self._devices[device]

    @cached_property
    def _by_codes(self) -> bool:
        """Whether codes are multiplied; otherwise vectors."""
        if self.scanned is None:
            return False
        from rankloom.retrieval.token_index.int8_kernel import has_instruction

        return has_instruction()

    @cached_property
    def _scanned(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Codes and measures, of one kind of array whether they are mapped or not: kernels are compiled for each."""
        codes, measures = (read_only(np.ascontiguousarray(array)) for array in self.scanned or ())
        return codes, measures

    def _crew(self, *, few: bool) -> Crew:
        """Threads for the work; NumPy's products have threads of their own."""
        return Crew(threads() if few or self._by_codes else 1)

    def _best(
        self, query: TokenVectors, k: int, uppers: NDArray[np.float64] | None, crew: Crew
    ) -> tuple[Codes, Scores]:
        """The best k documents of one query.

        The k of the highest upper bounds are scored first: no document whose upper bound is below the least of these
        scores is among the best.

        Args:
            query: One query.
            k: How many documents, fewer than there are if there are bounds.
            uppers: What the documents' scores do not exceed; None to score all.
            crew: Who does the work.
        """
        everything = np.arange(len(self), dtype=np.int32)
        if uppers is None:
            scores = score_documents(self.storage, self.offsets, query.vectors, everything, crew)
            order = top_order(everything, scores, k)
            return everything[order], scores[order]
        first = np.sort(np.argpartition(uppers, len(self) - k)[-k:]).astype(np.int32)
        first, scores = self._scored(query, first, -np.inf, crew)
        least = float(scores.min())
        least -= _ROUNDED * abs(least)
        others = uppers >= least
        others[first] = False
        rest, more = self._scored(query, everything[others], least, crew)
        codes, scores = np.concatenate([first, rest]), np.concatenate([scores, more])
        order = top_order(codes, scores, k)
        return codes[order], scores[order]

    def _scored(self, query: TokenVectors, documents: Codes, least: float, crew: Crew) -> tuple[Codes, Scores]:
        """Those of some documents that may reach a score, and their exact scores.

        Finer codes tell which documents those are, and which of their vectors may be the nearest to a vector of the
        query; nothing else has to be read.
        """
        if not self._by_codes or not len(documents):
            return documents, score_documents(self.storage, self.offsets, query.vectors, documents, crew)
        from rankloom.retrieval.token_index.int8_kernel import packed
        from rankloom.retrieval.token_index.maxsim_kernel import document_scores, near_rows

        asked, wide = Asked.fine(query), query.vectors.astype(np.float64)
        numbers, sums = packed(asked.codes)
        codes, measures = self._scanned
        chosen, reaching = documents.astype(np.int64), np.empty(len(documents), dtype=np.bool_)
        scores = np.empty(len(documents), dtype=np.float32)
        to_reach = least / float(asked.units[0])

        def work(piece: slice) -> None:
            count = int((self.offsets[chosen[piece] + 1] - self.offsets[chosen[piece]]).sum())
            rows, near = np.empty(count, dtype=np.int64), np.empty((count, len(wide)), dtype=np.bool_)
            near_starts = np.empty(piece.stop - piece.start + 1, dtype=np.int64)
            near_rows(
                codes, measures, self.offsets, chosen[piece], numbers, sums,
                asked.weights, asked.errors, asked.lengths, to_reach,
                rows, near, near_starts, reaching[piece],
            )  # fmt: skip
            matrix = self.storage.take(rows[: near_starts[-1]])
            document_scores(matrix, near_starts, near, wide, scores[piece], 0, len(near_starts) - 1)

        crew.each(pieces(self.offsets, chosen, _FINE_ROWS), work)
        return documents[reaching], scores[reaching]

    def _uppers(self, queries: TokenVectors, crew: Crew) -> NDArray[np.float64]:
        """What the scores of all documents do not exceed, float64 of shape (queries, documents)."""
        asked = Asked.coarse(queries) if self._by_codes else Asked.plain(queries)
        uppers = np.empty((len(asked.units), len(self)), dtype=np.float32)
        (self._bound_by_codes if self._by_codes else self._bound_by_products)(asked, uppers, crew)
        return uppers * asked.units[:, None]

    def _bound_by_codes(self, asked: Asked, uppers: NDArray[np.float32], crew: Crew) -> None:
        """Upper bounds by the codes of all vectors."""
        from rankloom.retrieval.token_index.int8_kernel import packed
        from rankloom.retrieval.token_index.maxsim_kernel import bounds_by_codes

        weights, everything = asked.weights[0], np.arange(len(self))
        numbers, sums = packed(asked.codes)
        codes, measures = self._scanned

        def work(piece: slice) -> None:
            bounds_by_codes(
                codes, measures, self.offsets, everything[piece], numbers, sums,
                weights, asked.errors / weights, asked.lengths / weights, asked.starts, uppers[:, piece],
            )  # fmt: skip

        crew.each(pieces(self.offsets, everything, _ROWS), work)

    def _bound_by_products(self, asked: Asked, uppers: NDArray[np.float32], crew: Crew) -> None:
        """Upper bounds by the vectors themselves, multiplied by NumPy."""
        from rankloom.retrieval.token_index.maxsim_kernel import bounds_by_products

        def work(piece: slice) -> None:
            starts = self.offsets[piece.start : piece.stop + 1]
            block = unquantised(self.storage.decoded(slice(int(starts[0]), int(starts[-1]))), stage=_STAGE)
            bounds_by_products(
                block.codes @ asked.codes.T, block.measures, starts - starts[0],
                asked.weights[0], asked.errors, asked.lengths, asked.starts, uppers[:, piece],
            )  # fmt: skip

        crew.each(pieces(self.offsets, np.arange(len(self)), _PRODUCTS // len(asked.codes)), work)


def _scans_codes(storage: TokenStorage) -> bool:
    """Whether codes of some vectors are worth their bytes; they are multiplied by fours."""
    return storage.kind in SCANNED and len(storage) * storage.dimensions > SMALL and storage.dimensions % 4 == 0
