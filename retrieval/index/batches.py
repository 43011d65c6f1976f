"""Batches of queries cut into stretches for threads, and their hits put together."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_MOST_AT_ONCE = 64  # queries whose hits are in memory together
_NO_KEY = np.iinfo(np.int64).min
_SPARE = 32  # hits kept beyond k before the best k are picked out; more for deeper rankings


class Hits(NamedTuple):
    """The best hits of a batch of queries, in order.

    Args:
        offsets: Where the hits of each query start, int64 of shape (queries + 1,).
        codes: Document codes, int32.
        scores: float32.
    """

    offsets: NDArray[np.int64]
    codes: NDArray[np.int32]
    scores: NDArray[np.float32]


def in_stretches(found: Callable[[tuple[int, int]], Hits], size: int, threads: int) -> Hits:
    """The hits of so many queries, found for a stretch of queries at a time, each on one of the threads."""
    step = max(1, min(_MOST_AT_ONCE, -(-size // threads)))
    stretches = [(first, min(first + step, size)) for first in range(0, size, step)]
    if threads > 1 and len(stretches) > 1:
        with ThreadPoolExecutor(threads) as pool:
            parts = list(pool.map(found, stretches))
    else:
        parts = [found(stretch) for stretch in stretches]
    if len(parts) == 1:
        return parts[0]
    counts = np.concatenate([np.zeros(1, dtype=np.int64), *(np.diff(part.offsets) for part in parts)])
    return Hits(
        np.cumsum(counts),
        np.concatenate([np.zeros(0, dtype=np.int32), *(part.codes for part in parts)]),
        np.concatenate([np.zeros(0, dtype=np.float32), *(part.scores for part in parts)]),
    )


def no_hits(queries: int, k: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Room for the best keys of each query, how many there are, and the k-th best so far."""
    keys = np.empty((queries, k + max(_SPARE, k // 2)), dtype=np.int64)
    return keys, np.zeros(queries, dtype=np.int64), np.full(queries, _NO_KEY, dtype=np.int64)


def hits_of(keys: NDArray[np.int64], sizes: NDArray[np.int64], k: int) -> Hits:
    """The best k of the keys of each query, in order and taken apart; see `top_k_kernel.key_of`."""
    best = [np.sort(row[:size])[::-1][:k] for row, size in zip(keys, sizes.tolist(), strict=True)]
    flat = best[0] if len(best) == 1 else np.concatenate(best)
    bits = (flat >> 32).astype(np.int32)
    if (bits < 0).any():
        bits = np.where(bits < 0, np.int32(-(2**31)) - bits, bits)
    scores, codes = bits.view(np.float32), (~flat).astype(np.int32)
    offsets = np.zeros(len(best) + 1, dtype=np.int64)
    offsets[1:] = np.cumsum([len(row) for row in best])
    return Hits(offsets, codes, scores)
