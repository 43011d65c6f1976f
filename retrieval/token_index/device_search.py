"""Exact MaxSim on an accelerator, by torch: products in float32 bound every document's score, float64 ones decide.

The vectors lie in the accelerator's memory if half of what is free there holds them; otherwise each batch of queries
reads them through. Scores are float64 sums rounded once, as on a processor; sums may be made in another order, so that
a score's last bit can differ.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankloom.order import Codes, Offsets, Scores, top_order
from rankloom.retrieval.token_index.asked import Asked
from rankloom.retrieval.token_index.device_vectors import DeviceVectors
from rankloom.retrieval.token_index.scoring import document_rows, hits_of, pieces
from rankloom.retrieval.token_index.storage import TokenStorage
from rankloom.retrieval.vectors.best_documents import Hits
from rankloom.retrieval.vectors.float_product import multiplies_float32
from rankloom.token_vectors import TokenVectors

_VECTORS = 1024  # query vectors multiplied at a time
_PRODUCTS = 1 << 26  # products at a time: 256 MiB
_NUMBERS = 1 << 24  # numbers of vectors at a time, however few they are multiplied with: 64 MiB, scored 128
_ROUNDED = 3e-7  # what bounds and scores may lose by being rounded to float32, of themselves
_HALF_STEP = 2.0**-24  # half the distance from 1 to the next float32
_COARSE = 2.0**-7  # what a product may lose, at most, where numbers are rounded to TF32 or bfloat16 before
_SMALLEST = 1e-35  # what numbers below float32's normal ones can be off


class DeviceSearch:
    """All documents compared with every query on a device of torch.

    Args:
        storage: The documents' vectors.
        offsets: Where each document's vectors start, int64 of shape (documents + 1,).
        device: Such as `cuda:0`.
        resident: Whether the vectors stay on the device; None to let its free memory decide.
    """

    def __init__(self, storage: TokenStorage, offsets: Offsets, device: str, *, resident: bool | None = None) -> None:
        self._storage, self._offsets, self._device = storage, offsets, device
        self._vectors = DeviceVectors(storage, device, resident=resident)

    def search(self, queries: TokenVectors, k: int) -> Hits:
        """The best k documents of each query; see `ExactSearch.search`, which has looked at the queries."""
        k = min(k, len(self._offsets) - 1)
        asked = np.flatnonzero(queries.lengths)
        found: dict[int, tuple[Codes, Scores]] = {}
        for part in pieces(queries.offsets, asked, _VECTORS) if k else []:
            some = queries.take(asked[part])
            uppers = self._uppers(Asked.plain(some))
            for place, number in enumerate(asked[part].tolist()):
                found[number] = self._best(some[place], k, uppers[place])
        return hits_of(found, len(queries))

    def _uppers(self, asked: Asked) -> Any:
        """What the scores of all documents do not exceed, float32 of shape (queries, documents)."""
        import torch

        queries = torch.from_numpy(np.asarray(asked.codes)).to(self._device)
        owners = np.repeat(np.arange(len(asked.units)), np.diff(asked.starts))
        of_query = np.zeros((len(owners), len(asked.units)))
        of_query[np.arange(len(owners)), owners] = 1
        members = torch.from_numpy(of_query).to(self._device)
        lengths = torch.from_numpy(asked.lengths.astype(np.float64) @ of_query).to(self._device)
        units = torch.from_numpy(asked.units).to(self._device)
        loss = 2 * self._storage.dimensions * _HALF_STEP + 1e-6 + (0 if multiplies_float32("cuda") else _COARSE)
        uppers = torch.empty((len(asked.units), len(self._offsets) - 1), dtype=torch.float32, device=self._device)
        rows = min(_PRODUCTS // len(owners), _NUMBERS // max(self._storage.dimensions, 1))
        for piece in pieces(self._offsets, np.arange(len(self._offsets) - 1), rows):
            starts = self._offsets[piece.start : piece.stop + 1]
            block = self._vectors.decoded(slice(int(starts[0]), int(starts[-1])))
            best = _largest(block @ queries.T, starts).double()
            longest = _largest(torch.linalg.vector_norm(block, dim=1, keepdim=True), starts).double()
            uppers[:, piece] = ((best @ members + longest * lengths * loss + _SMALLEST) * units).T.float()
        return uppers

    def _best(self, query: NDArray[np.float32], k: int, uppers: Any) -> tuple[Codes, Scores]:
        """The best k documents of one query, by bounds as in `ExactSearch`."""
        import torch

        first = np.sort(torch.topk(uppers, k).indices.cpu().numpy())
        scores = self._scores(query, first)
        least = float(scores.min())
        uppers[torch.from_numpy(first).to(self._device)] = -torch.inf
        rest = torch.nonzero(uppers >= least - _ROUNDED * abs(least)).ravel().cpu().numpy()
        codes = np.concatenate([first, rest]).astype(np.int32)
        scores = np.concatenate([scores, self._scores(query, rest)])
        order = top_order(codes, scores, k)
        return codes[order], scores[order]

    def _scores(self, query: NDArray[np.float32], documents: NDArray[np.int64]) -> Scores:
        """Exact scores of some documents, float32 of shape (documents,)."""
        import torch

        wide = torch.from_numpy(query.astype(np.float64)).to(self._device)
        scores = np.zeros(len(documents), dtype=np.float32)
        for piece in pieces(self._offsets, documents, _NUMBERS // max(self._storage.dimensions, 1)):
            rows, starts = document_rows(self._offsets, documents[piece])
            best = _largest(self._vectors.decoded(rows).double() @ wide.T, starts)
            scores[piece] = best.sum(dim=1).float().cpu().numpy()
        return scores


def _largest(products: Any, starts: Offsets) -> Any:
    """The largest product of each document in every column, 0 for a document without vectors."""
    import torch

    lengths = torch.from_numpy(np.diff(starts)).to(products.device)
    best = torch.segment_reduce(products, "max", lengths=lengths, axis=0, unsafe=True)
    return torch.where(lengths[:, None] > 0, best, torch.zeros_like(best))
