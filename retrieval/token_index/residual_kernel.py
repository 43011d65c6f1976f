"""Kernels of residual storage: what is left of vectors beside their centroids, in a few bits for each number."""

from __future__ import annotations

from typing import Any

import numpy as np

from rankloom.retrieval.index.compiled import compiled, reassociated


@compiled
def packed_residuals(vectors: Any, centroids: Any, codes: Any, cutoffs: Any, bits: Any, packed: Any) -> None:
    """The number of cutoffs below each number of a residual; the first number takes a byte's lowest bits.

    Args:
        vectors: float32 (rows, dimensions).
        centroids: float32 (centroids, dimensions).
        codes: The centroid of each row.
        cutoffs: float32, ascending, one fewer than there are levels.
        bits: Bits of a number: 1, 2 or 4.
        packed: Where the bytes go, uint8 (rows, bytes of a row).
    """
    each = 8 // bits
    for row in range(len(vectors)):
        centroid = centroids[codes[row]]
        packed[row] = 0
        for place in range(vectors.shape[1]):
            left, level = vectors[row, place] - centroid[place], 0
            for cutoff in cutoffs:
                level += left > cutoff
            packed[row, place // each] |= np.uint8(level << (place % each * bits))


@reassociated
def _length(vector: Any) -> Any:
    """The length of a vector; summed in float64."""
    total = 0.0
    for place in range(len(vector)):
        total += np.float64(vector[place]) * np.float64(vector[place])
    return np.sqrt(total)


@compiled
def decoded_rows(codes: Any, packed: Any, centroids: Any, meanings: Any, normalized: Any, vectors: Any) -> None:
    """Centroids plus what the bytes of the residuals mean.

    Args:
        codes: The centroid of each row.
        packed: uint8 (rows, bytes of a row).
        centroids: float32 (centroids, dimensions).
        meanings: float32 (256, numbers in a byte): what is added for each value of a byte.
        normalized: Whether rows are brought to length 1.
        vectors: Where they go, float32 (rows, dimensions).
    """
    each, dimensions = meanings.shape[1], vectors.shape[1]
    for row in range(len(codes)):
        vector, centroid = vectors[row], centroids[codes[row]]
        for byte in range(packed.shape[1]):
            meaning, start = meanings[packed[row, byte]], byte * each
            for place in range(min(each, dimensions - start)):
                vector[start + place] = centroid[start + place] + meaning[place]
        if normalized:
            length = _length(vector)
            if length > 0:
                scale = np.float32(1 / length)
                for place in range(dimensions):
                    vector[place] *= scale
