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
from rankloom.retrieval.token_index.scoring import document_rows, hits_of, pieces
from rankloom.retrieval.token_index.storage import Float16Storage, Int8Storage, TokenStorage, chosen
from rankloom.retrieval.vectors.best_documents import Hits
from rankloom.retrieval.vectors.int8_product import tensor_of
from rankloom.token_vectors import TokenVectors

_VECTORS = 1024  # query vectors multiplied at a time
_PRODUCTS = 1 << 26  # products at a time: 256 MiB
_NUMBERS = 1 << 24  # numbers of vectors that are scored at a time: 128 MiB
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
        if resident is None:
            resident = 2 * sum(part.nbytes for part in _arrays(storage, slice(0, 1))) * len(storage) < _free(device)
        self._held = self._moved(slice(0, len(storage))) if resident else None

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
        loss = 2 * self._storage.dimensions * _HALF_STEP + 1e-6 + (0 if _multiplies_float32() else _COARSE)
        uppers = torch.empty((len(asked.units), len(self._offsets) - 1), dtype=torch.float32, device=self._device)
        for piece in pieces(self._offsets, np.arange(len(self._offsets) - 1), _PRODUCTS // len(owners)):
            starts = self._offsets[piece.start : piece.stop + 1]
            block = self._vectors(slice(int(starts[0]), int(starts[-1])))
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
            best = _largest(self._vectors(rows).double() @ wide.T, starts)
            scores[piece] = best.sum(dim=1).float().cpu().numpy()
        return scores

    def _vectors(self, rows: slice | NDArray[np.int64]) -> Any:
        """Some vectors on the device, float32."""
        import torch

        if self._held is None:
            moved = self._moved(rows)
        else:
            places = rows if isinstance(rows, slice) else torch.from_numpy(rows).to(self._device)
            moved = tuple(part[places] for part in self._held)
        return moved[0].float() * moved[1][:, None] if len(moved) > 1 else moved[0].float()

    def _moved(self, rows: slice | NDArray[np.int64]) -> tuple[Any, ...]:
        """What the storage keeps of some vectors, on the device."""
        return tuple(tensor_of(part).to(self._device) for part in _arrays(self._storage, rows))


def _arrays(storage: TokenStorage, rows: slice | NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
    """Numbers of some vectors, and scales that they are to be multiplied with if there are any."""
    if isinstance(storage, Float16Storage):
        return (chosen(storage.values, rows),)
    if isinstance(storage, Int8Storage):
        return chosen(storage.codes, rows), chosen(storage.scales, rows)
    return (storage.decoded(rows),)


def _largest(products: Any, starts: Offsets) -> Any:
    """The largest product of each document in every column, 0 for a document without vectors."""
    import torch

    lengths = torch.from_numpy(np.diff(starts)).to(products.device)
    best = torch.segment_reduce(products, "max", lengths=lengths, axis=0, unsafe=True)
    return torch.where(lengths[:, None] > 0, best, torch.zeros_like(best))


def _multiplies_float32() -> bool:
    """Whether torch multiplies float32 as it is, which it does unless somebody has told it to be quick instead."""
    import torch

    newer = getattr(torch.backends.cuda.matmul, "fp32_precision", "none")
    return torch.get_float32_matmul_precision() == "highest" and newer in ("none", "ieee")


def _free(device: str) -> int:
    """Bytes of memory that are free on a device; without limit on the processor, which holds the vectors anyway."""
    import torch

    return int(torch.cuda.mem_get_info(device)[0]) if device.startswith("cuda") else 1 << 62
