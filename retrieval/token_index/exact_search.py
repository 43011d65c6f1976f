"""Exact MaxSim: a scan of int8 codes bounds every document's score, and the few that may be among the best are scored.

A document is left out only when its upper bound is below the scores of k others. Products of codes are off by no more
than measured lengths say (`vectors/quantised.py`), and so is their sum: with a_ij the product of codes of
query vector i and document vector j, and e_ij at least |a_ij - q_i.x_j|,

    sum_i max_j q_i.x_j  <=  sum_i max_j (a_ij + e_ij).

Scores are those of `scoring.score_documents`, from the vectors as they are stored; ties go by document id.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rankloom.order import Codes, Offsets, Scores, top_order
from rankloom.retrieval.token_index.asked import Asked
from rankloom.retrieval.token_index.device_search import DeviceSearch
from rankloom.retrieval.token_index.scan_codes import build_codes, own_bytes, read_codes
from rankloom.retrieval.token_index.scoring import document_rows, hits_of, pieces, score_documents
from rankloom.retrieval.token_index.storage import TokenStorage
from rankloom.retrieval.vectors.best_documents import Hits, checked_queries
from rankloom.retrieval.vectors.crew import Crew, threads
from rankloom.retrieval.vectors.int8_product import int8_product
from rankloom.retrieval.vectors.quantised import Quantised, checked_lengths, unquantised
from rankloom.token_vectors import TokenVectors

SMALL = 1 << 20  # numbers of vectors up to which all documents are scored: there is nothing to gain by bounds
SCANNED = ("float16", "int8")  # kinds of storage whose codes are scanned; larger than others would be codes beside them
_VECTORS = 256  # query vectors multiplied at a time
_PRODUCTS = 1 << 20  # products at a time: 4 MiB, of which a thread reads each soon after it was written
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
    def build(cls, storage: TokenStorage, offsets: Offsets, *, folder: Path | None = None) -> Self:
        """Quantise the vectors, if that is of use; in memory, or into an existing folder."""
        return cls(storage, offsets, build_codes(storage, folder) if _scans_codes(storage) else None)

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

    @property
    def _by_codes(self) -> bool:
        """Whether codes are multiplied; otherwise vectors."""
        return self.scanned is not None and int8_product() is not None

    def _crew(self, *, few: bool) -> Crew:
        """Threads for the work; NumPy's products have threads of their own."""
        if few:
            return Crew(threads())
        return Crew(threads(), products=True) if self._by_codes else Crew(1)

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
        from rankloom.retrieval.token_index.maxsim_kernel import document_scores, near_rows

        scanned = self.scanned
        if scanned is None or not self._by_codes or not len(documents):
            return documents, score_documents(self.storage, self.offsets, query.vectors, documents, crew)
        asked, wide = Asked.fine(query), query.vectors.astype(np.float64)
        chosen, reaching = documents.astype(np.int64), np.empty(len(documents), dtype=np.bool_)
        scores = np.empty(len(documents), dtype=np.float32)
        to_reach = least / float(asked.units[0])

        def work(piece: slice) -> None:
            rows, starts = document_rows(self.offsets, chosen[piece])
            products = _products(scanned.codes.take(rows, axis=0), asked.codes)
            kept, near = np.empty(len(rows), dtype=np.int64), np.empty((len(rows), len(wide)), dtype=np.bool_)
            near_starts = np.empty_like(starts)
            near_rows(
                products, scanned.measures.take(rows, axis=1), starts,
                asked.weights, asked.errors, asked.lengths, to_reach,
                kept, near, near_starts, reaching[piece],
            )  # fmt: skip
            matrix = self.storage.take(rows[kept[: near_starts[-1]]])
            document_scores(matrix, near_starts, near, wide, scores[piece], 0, len(near_starts) - 1)

        crew.each(pieces(self.offsets, chosen, _PRODUCTS // len(asked.codes)), work)
        return documents[reaching], scores[reaching]

    def _uppers(self, queries: TokenVectors, crew: Crew) -> NDArray[np.float64]:
        """What the scores of all documents do not exceed, float64 of shape (queries, documents)."""
        from rankloom.retrieval.token_index.maxsim_kernel import upper_bounds

        asked = Asked.coarse(queries) if self._by_codes else Asked.plain(queries)
        weights, everything = asked.weights[0], np.arange(len(self))
        uppers = np.empty((len(asked.units), len(self)), dtype=np.float32)

        def work(piece: slice) -> None:
            starts = self.offsets[piece.start : piece.stop + 1]
            block, starts = self._block(slice(int(starts[0]), int(starts[-1]))), starts - starts[0]
            upper_bounds(
                _products(block.codes, asked.codes), block.measures, starts,
                weights, asked.errors / weights, asked.lengths / weights, asked.starts, uppers[:, piece],
            )  # fmt: skip

        crew.each(pieces(self.offsets, everything, _PRODUCTS // len(asked.codes)), work)
        return uppers * asked.units[:, None]

    def _block(self, rows: slice) -> Quantised:
        """What is multiplied of consecutive vectors; codes are not copied."""
        if self.scanned is not None and self._by_codes:
            return self.scanned.rows(rows)
        return unquantised(self.storage.decoded(rows), stage=_STAGE)


def _scans_codes(storage: TokenStorage) -> bool:
    """Whether codes of some vectors are worth their bytes."""
    return storage.kind in SCANNED and len(storage) * storage.dimensions > SMALL


def _products(rows: NDArray[Any], asked: NDArray[Any]) -> NDArray[Any]:
    """All inner products of documents' rows with queries' vectors: int32 or float32 of shape (rows, query vectors)."""
    if rows.dtype == np.float32:
        return np.asarray(rows @ asked.T)
    product = int8_product()
    if product is None:  # exact as well, and slow: whoever searches many has asked before
        return np.asarray(rows.astype(np.int32) @ asked.T.astype(np.int32))
    products = np.empty((len(rows), len(asked)), dtype=np.int32)
    product(rows, asked, products)
    return products
