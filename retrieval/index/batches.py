"""Batches of queries cut into stretches for threads, and their hits put together."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from rankloom.retrieval.index.queries import Hits

_MOST_AT_ONCE = 64  # queries whose hits are in memory together
_NO_KEY = np.iinfo(np.int64).min
_SPARE = 32  # hits kept beyond k before the best k are picked out; more for deeper rankings


def in_stretches(found: Callable[[tuple[int, int]], Hits], size: int, threads: int) -> Hits:
    """The hits of so many queries, found for a stretch of queries at a time, each on one of the threads."""
    step = max(1, min(_MOST_AT_ONCE, -(-size // threads)))
    stretches = [(first, min(first + step, size)) for first in range(0, size, step)]
    if threads > 1 and len(stretches) > 1:
        with ThreadPoolExecutor(threads) as pool:
            parts = list(pool.map(found, stretches))
    else:
        parts = [found(stretch) for stretch in stretches]
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
    keys[np.arange(keys.shape[1]) >= sizes[:, None]] = _NO_KEY
    best = np.sort(keys, axis=1)[:, ::-1][:, :k]
    held = best > _NO_KEY
    flat = best[held]
    bits = flat >> 32
    scores = np.where(bits < 0, -bits | 0x80000000, bits).astype(np.uint32).view(np.float32)
    codes = (0xFFFFFFFF - (flat & 0xFFFFFFFF)).astype(np.int32)
    return Hits(np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(held.sum(axis=1))]), codes, scores)
