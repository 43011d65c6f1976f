"""The one ordering rule: score descending, then document id ascending.

Document codes are positions in a sorted table of ids (`rankloom.ids`), so "document id ascending" is "code
ascending" and one integer sort carries the whole rule. Retrievers, fusion, rerankers, files and the evaluator
all order through this module, and nothing else in the project sorts hits.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import StageError

Offsets = NDArray[np.int64]
Codes = NDArray[np.int32]
Scores = NDArray[np.float32]

_BLOCK_HITS = 1 << 17
_HIGHEST_STEP = 0x7F7FFFFF  # of the largest finite float32


def in_order(offsets: Offsets, codes: Codes, scores: Scores) -> tuple[Codes, Scores]:
    """The hits of every query put in order; the very arrays passed in, if they are in order already.

    Args:
        offsets: Where each query's hits start, int64 of shape (queries + 1,).
        codes: Document codes, int32 of shape (hits,).
        scores: Finite scores, float32 of shape (hits,). Where hits move, -0.0 becomes 0.0.
    """
    ordered_codes, ordered_scores = np.empty_like(codes), np.empty_like(scores)
    moved = False
    for first, last in blocks(offsets):
        hits = slice(int(offsets[first]), int(offsets[last]))
        bounds = offsets[first : last + 1] - offsets[first]
        key = _keys(codes[hits], scores[hits])
        if not _ascending(bounds, key):
            sort_within(bounds, key)
            moved = True
        ordered_codes[hits] = key & 0xFFFFFFFF
        ordered_scores[hits] = _from_float_steps(-(key >> 32))
    return (ordered_codes, ordered_scores) if moved else (codes, scores)


def top_order(codes: Codes, scores: Scores, k: int) -> NDArray[np.int64]:
    """Positions of the best k of one query's candidates, in order; ties at the cut go by document id.

    Args:
        codes: Document codes, int32 of shape (candidates,).
        scores: Finite scores, float32 of shape (candidates,).
        k: How many to keep; fewer come back when there are fewer.
    """
    key = _keys(codes, scores)
    if k >= len(key):
        return key.argsort()
    best = np.argpartition(key, k)[:k]
    return np.asarray(best[key[best].argsort()], dtype=np.int64)


def check_finite(scores: Scores, *, stage: str) -> None:
    """Refuse NaN and infinite scores.

    Raises:
        StageError: Names the stage and how many scores are not finite.
    """
    bad = int(len(scores) - np.isfinite(scores).sum())
    if bad:
        raise StageError(
            f"{bad} of {len(scores)} scores are NaN or infinite",
            stage=stage,
            accepted="finite float32 scores",
            fix="check the model's weights and inputs; a half-precision model may have overflowed",
        )


def strictly_decreasing(offsets: Offsets, scores: Scores) -> Scores:
    """Ordered scores with ties broken by the smallest possible float32 steps.

    Evaluators and other tools re-sort by score and break ties in their own ways; scores that strictly decrease
    leave them nothing to decide. A score moves down by at most as many float32 steps as there are hits above it
    (ties at the lowest finite float32 move up instead).

    Args:
        offsets: int64 of shape (queries + 1,).
        scores: Finite, non-increasing within a query, float32 of shape (hits,).
    """
    out = np.empty_like(scores)
    for first, last in blocks(offsets):
        start = int(offsets[first])
        steps = _float_steps(scores[start : int(offsets[last])])
        for begin, end in pairwise((offsets[first : last + 1] - start).tolist()):
            position = np.arange(end - begin)
            falling = np.minimum.accumulate(steps[begin:end] + position) - position
            steps[begin:end] = np.maximum(falling, position[::-1] - _HIGHEST_STEP)
        out[start : int(offsets[last])] = _from_float_steps(steps)
    return out


def blocks(offsets: Offsets) -> Iterator[tuple[int, int]]:
    """Stretches of queries whose hits fit the processor's cache: the first query of each, and one past its last.

    Columns of millions of hits are worked through stretch by stretch; intermediate columns as long as the whole
    would cost more time than the arithmetic.
    """
    queries, first = len(offsets) - 1, 0
    while first < queries:
        fitting = int(np.searchsorted(offsets, offsets[first] + _BLOCK_HITS, side="right")) - 1
        last = max(fitting, first + 1)
        yield first, last
        first = last


def sort_within(offsets: Offsets, values: NDArray[np.int64] | NDArray[np.int32]) -> None:
    """Sort the values of each query, in place."""
    for start, end in pairwise(offsets.tolist()):
        values[start:end].sort()


def _keys(codes: Codes, scores: Scores) -> NDArray[np.int64]:
    """Integers whose ascending order is (score descending, code ascending)."""
    return (-_float_steps(scores) << 32) + codes


def _ascending(offsets: Offsets, key: NDArray[np.int64]) -> bool:
    """Whether the keys ascend within every query."""
    if len(key) < 2:
        return True
    falls = key[1:] < key[:-1]
    boundaries = offsets[(offsets > 0) & (offsets < len(key))]
    falls[boundaries - 1] = False
    return not falls.any()


def _float_steps(scores: Scores) -> NDArray[np.int64]:
    """Each float32 as its place on the line of all float32 values (0.0 and -0.0 share one)."""
    bits = np.asarray(scores, dtype=np.float32).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def _from_float_steps(steps: NDArray[np.int64]) -> Scores:
    """Inverse of `_float_steps`."""
    bits = np.where(steps < 0, (-steps) | 0x80000000, steps)
    return bits.astype(np.uint32).view(np.float32)
