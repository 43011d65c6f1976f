"""Kernels of residual storage: what is left of vectors beside their centroids, in a few bits for each number."""

from __future__ import annotations

from typing import Any

import numpy as np

from rankloom.retrieval.index.compiled import compiled, reassociated


@compiled
def packed_residuals(vectors: Any, centroids: Any, codes: Any, cutoffs: Any, bits: Any, packed: Any) -> None:
    """The number of cutoffs below each number of a residual.

    A row's first numbers take the lowest bits of its bytes, one number a byte; then come the next bits of all bytes.

    Args:
        vectors: float32 (rows, dimensions).
        centroids: float32 (centroids, dimensions).
        codes: The centroid of each row.
        cutoffs: float32, ascending, one fewer than there are levels.
        bits: Bits of a number: 1, 2 or 4.
        packed: Where the bytes go, uint8 (rows, bytes of a row).
    """
    width = packed.shape[1]
    for row in range(len(vectors)):
        centroid = centroids[codes[row]]
        packed[row] = 0
        for place in range(vectors.shape[1]):
            left, level = vectors[row, place] - centroid[place], 0
            for cutoff in cutoffs:
                level += left > cutoff
            packed[row, place % width] |= np.uint8(level << (place // width * bits))


@reassociated
def _length(vector: Any) -> Any:
    """The length of a vector; summed in float64."""
    total = 0.0
    for place in range(len(vector)):
        total += np.float64(vector[place]) * np.float64(vector[place])
    return np.sqrt(total)


@compiled
def decoded_rows(
    codes: Any, packed: Any, centroids: Any, levels: Any, bits: Any, normalized: Any, vectors: Any
) -> None:
    """Centroids plus what the levels of the residuals stand for.

    Args:
        codes: The centroid of each row.
        packed: uint8 (rows, bytes of a row).
        centroids: float32 (centroids, dimensions).
        levels: float32 (2 ** bits): what is added for each level.
        bits: Bits of a number.
        normalized: Whether rows are brought to length 1.
        vectors: Where they go, float32 (rows, dimensions).
    """
    dimensions, width, mask = vectors.shape[1], packed.shape[1], np.uint8(len(levels) - 1)
    unpacked = np.empty(8 // bits * width, dtype=np.uint8)
    for row in range(len(codes)):
        vector, centroid, line = vectors[row], centroids[codes[row]], packed[row]
        for part in range(8 // bits):
            for place in range(width):
                unpacked[part * width + place] = (line[place] >> np.uint8(part * bits)) & mask
        for place in range(dimensions):
            vector[place] = centroid[place] + levels[unpacked[place]]
        if normalized:
            length = _length(vector)
            if length > 0:
                scale = np.float32(1 / length)
                for place in range(dimensions):
                    vector[place] *= scale
