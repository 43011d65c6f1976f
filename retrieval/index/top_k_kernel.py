"""The best k hits of a query as integers: a key orders by score, then by document code."""

from __future__ import annotations

from typing import Any

import numpy as np

from rankloom.retrieval.index.compiled import inlined, nested

NO_KEY = np.int64(-(2**63))  # less than any hit's


@inlined
def key_of(score: Any, code: Any) -> Any:
    """One integer that orders by score, then by descending document code."""
    bits = np.int64(np.float32(score).view(np.int32))
    if bits < 0:
        bits = -(bits & np.int64(0x7FFFFFFF))
    return (bits << np.int64(32)) | (np.int64(0xFFFFFFFF) - np.int64(code))


@inlined
def score_of(key: Any) -> Any:
    """The score in a key."""
    bits = key >> np.int64(32)
    if bits < 0:
        return -np.int32(-bits).view(np.float32)
    return np.int32(bits).view(np.float32)


@nested
def keep_best(keys: Any, size: Any, k: Any) -> None:
    """Move the k largest of the first `size` keys to the front, the smallest of them to place k - 1 (quickselect)."""
    low, high, target = 0, size - 1, k - 1
    while low < high:
        a, b, c = keys[low], keys[(low + high) >> 1], keys[high]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = low, high
        while i <= j:
            while keys[i] > pivot:
                i += 1
            while keys[j] < pivot:
                j -= 1
            if i <= j:
                keys[i], keys[j] = keys[j], keys[i]
                i += 1
                j -= 1
        if target <= j:
            high = j
        elif target >= i:
            low = i
        else:
            return


@nested
def offer(score: Any, code: Any, keys: Any, size: Any, k: Any, worst: Any) -> Any:
    """Take in a hit that may be among the best k; returns how many keys there are, and the k-th so far."""
    key = key_of(score, code)
    if key <= worst:
        return size, worst
    keys[size] = key
    size += 1
    if size == len(keys):
        keep_best(keys, size, k)
        return k, keys[k - 1]
    return size, worst
