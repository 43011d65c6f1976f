"""Small operations on padded batches of vectors that the reductions share."""

from __future__ import annotations

import torch
from torch import Tensor

_SHORTEST = 1e-6  # a vector shorter than this has no direction worth keeping


def pick(vectors: Tensor, keep: Tensor, *, width: int) -> tuple[Tensor, Tensor]:
    """The vectors to keep, moved to the front, zeros behind them.

    Args:
        vectors: Of shape (texts, tokens, dimensions).
        keep: Which ones, bool of shape (texts, tokens).
        width: How many places to make for each text; further vectors are left out.

    Returns:
        Vectors of shape (texts, width, dimensions) and the mask of those that are there.
    """
    texts, tokens, dimensions = vectors.shape
    if texts == 0 or tokens == 0:
        return vectors.new_zeros(texts, width, dimensions), keep.new_zeros(texts, width)
    order = torch.arange(1, width + 1, device=vectors.device).expand(texts, width)
    so_far = keep.cumsum(dim=1)
    source = torch.searchsorted(so_far, order.contiguous()).clamp(max=tokens - 1)  # where the 1st, 2nd, ... stands
    found = order <= so_far[:, -1:]
    picked = vectors.gather(1, source[:, :, None].expand(texts, width, dimensions))
    return picked.masked_fill(~found[:, :, None], 0.0), found


def unit(vectors: Tensor) -> Tensor:
    """Vectors brought to length 1. One of length 0 stays, so that neither it nor its gradient is ever NaN."""
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / torch.where(length > _SHORTEST, length, 1.0)
