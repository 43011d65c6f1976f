"""Kernels of inverted lists: which documents have a vector at a centroid."""

from __future__ import annotations

from typing import Any

import numpy as np

from rankloom.retrieval.index.compiled import compiled


@compiled
def count_documents(codes: Any, documents: Any, counts: Any) -> None:
    """How many documents have a vector at each centroid; see `InvertedLists.build`."""
    last = np.full(len(counts), -1, dtype=np.int64)
    for document in range(len(documents) - 1):
        for row in range(documents[document], documents[document + 1]):
            code = codes[row]
            if last[code] != document:
                last[code] = document
                counts[code] += 1


@compiled
def list_documents(codes: Any, documents: Any, ends: Any, listed: Any) -> None:
    """Put the documents of each centroid behind each other.

    Args:
        codes: The centroid of each vector.
        documents: Where the vectors of each document start.
        ends: Where each list starts; where it ends when this returns.
        listed: Where documents go, int32.
    """
    last = np.full(len(ends), -1, dtype=np.int64)
    for document in range(len(documents) - 1):
        for row in range(documents[document], documents[document + 1]):
            code = codes[row]
            if last[code] != document:
                last[code] = document
                listed[ends[code]] = document
                ends[code] += 1
