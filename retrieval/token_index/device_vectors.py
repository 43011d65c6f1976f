"""Stored vectors on a device of torch: kept there as they are stored, and decoded a block at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankloom.retrieval.token_index.residual import ResidualStorage
from rankloom.retrieval.token_index.storage import Float16Storage, Int8Storage, TokenStorage, chosen
from rankloom.retrieval.vectors.int8_product import tensor_of

Rows = slice | NDArray[np.int64]


class DeviceVectors:
    """Vectors of a storage as float32 on a device.

    Args:
        storage: The vectors.
        device: Such as `cuda:0`.
        resident: Whether what is stored stays on the device; None to let half of its free memory decide.
    """

    def __init__(self, storage: TokenStorage, device: str, *, resident: bool | None = None) -> None:
        self._storage, self._device = storage, device
        if isinstance(storage, ResidualStorage):
            self._centroids = tensor_of(storage.centroids.matrix).to(device)
            self._levels = tensor_of(storage.levels).to(device)
        if resident is None:
            resident = 2 * sum(part.nbytes for part in _arrays(storage, slice(0, 1))) * len(storage) < _free(device)
        self._held = self._moved(slice(0, len(storage))) if resident else None

    def decoded(self, rows: Rows) -> Any:
        """Some vectors, a tensor of float32 of shape (rows, dimensions)."""
        import torch

        if self._held is None:
            stored = self._moved(rows)
        else:
            places = rows if isinstance(rows, slice) else torch.from_numpy(rows).to(self._device)
            stored = tuple(part[places] for part in self._held)
        if isinstance(self._storage, ResidualStorage):
            return self._with_residuals(self._storage, *stored)
        return stored[0].float() * stored[1][:, None] if len(stored) > 1 else stored[0].float()

    def _moved(self, rows: Rows) -> tuple[Any, ...]:
        """What the storage keeps of some vectors, on the device."""
        return tuple(tensor_of(part).to(self._device) for part in _arrays(self._storage, rows))

    def _with_residuals(self, storage: ResidualStorage, codes: Any, residuals: Any) -> Any:
        """Centroids plus what the levels of residuals stand for, as `residual_kernel.decoded_rows` has it."""
        import torch

        numbers = codes.int() & 0xFFFF if codes.dtype == torch.int16 else codes
        bits, vectors = storage.bits, self._centroids[numbers]
        width = residuals.shape[1]
        for part in range(-(-storage.dimensions // width)) if width else ():
            first, last = part * width, min((part + 1) * width, storage.dimensions)
            level = (residuals[:, : last - first] >> part * bits) & ((1 << bits) - 1)
            vectors[:, first:last] += self._levels[level.int()]
        if storage.centroids.normalized:
            lengths = torch.linalg.vector_norm(vectors, dim=1, keepdim=True, dtype=torch.float64)
            vectors *= torch.where(lengths > 0, 1 / lengths, 1.0).float()
        return vectors


def _arrays(storage: TokenStorage, rows: Rows) -> tuple[NDArray[Any], ...]:
    """What is stored of some vectors: numbers; codes and scales; or codes and residuals."""
    if isinstance(storage, Float16Storage):
        return (chosen(storage.values, rows),)
    if isinstance(storage, Int8Storage):
        return chosen(storage.codes, rows), chosen(storage.scales, rows)
    if isinstance(storage, ResidualStorage):
        codes = storage.codes_of(rows)  # torch takes no places of uint16: the bits are the same
        return codes.view(np.int16) if codes.dtype == np.uint16 else codes, chosen(storage.residuals, rows)
    return (storage.decoded(rows),)


def _free(device: str) -> int:
    """Bytes of memory that are free on a device; without limit on the processor, which holds the vectors anyway."""
    import torch

    return int(torch.cuda.mem_get_info(device)[0]) if device.startswith("cuda") else 1 << 62
