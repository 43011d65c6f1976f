"""Reducing token vectors after encoding: the baseline that CRISP trains against, and a way to shrink what is stored."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import whole
from rankloom.extras import require
from rankloom.reduction.reduction import Reduction
from rankloom.token_vectors import TokenVectors


def reduce_token_vectors(
    vectors: TokenVectors, reduction: Reduction, *, device: str = "cpu", batch_tokens: int = 1 << 14
) -> TokenVectors:
    """Reduce texts that are encoded already.

    Args:
        vectors: Of the texts, in any order.
        reduction: What to do to them.
        device: Where to compute, as torch names it.
        batch_tokens: Tokens in a batch, pads among them. The result depends on it only by float noise.

    Returns:
        What remains, in the same order.

    Raises:
        UsageError: batch_tokens is not a positive whole number.
        MissingExtraError: torch is not installed.

    Example:
        >>> from rankloom.reduction import reductions
        >>> eye = np.eye(4, dtype=np.float32)
        >>> reduce_token_vectors(TokenVectors.of([eye, eye[:1]], 4), reductions("K2").document).lengths.tolist()
        [2, 1]
    """
    whole(batch_tokens, least=1, stage="reduction", parameter="batch_tokens")
    torch = require("torch", extra="dense", stage="reduction")
    reduced: list[NDArray[np.float32]] = [vectors.vectors[:0]] * len(vectors)
    for places in _batches(vectors.lengths, batch_tokens):
        lengths = vectors.lengths[places]
        mask = np.arange(lengths.max(initial=0)) < lengths[:, None]
        padded = np.zeros((*mask.shape, vectors.dimensions), dtype=np.float32)
        padded[mask] = vectors.take(places).vectors
        with torch.inference_mode():
            means, found = reduction(torch.from_numpy(padded).to(device), torch.from_numpy(mask).to(device))
            rows = means[found].cpu().numpy()
            kept = found.sum(dim=1).cpu().numpy()
        for place, some in zip(places, np.split(rows, np.cumsum(kept)[:-1]), strict=True):
            reduced[place] = some
    return TokenVectors.of(reduced, vectors.dimensions)


def _batches(lengths: NDArray[np.int64], tokens: int) -> Iterator[list[int]]:
    """Places of texts of like length, as many as fit so many tokens, at least one."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        if batch and int(lengths[batch[0]]) * (len(batch) + 1) > tokens:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
