"""Scores of documents that are known already: their postings are looked up, all others passed over."""

from __future__ import annotations

from typing import Any

import numpy as np

from rankloom.retrieval.index.columns import LARGE
from rankloom.retrieval.index.compiled import compiled


@compiled
def add_impacts(columns: Any, shift: Any, terms: Any, weights: Any, documents: Any, sums: Any) -> None:
    """Add weight times impact of some terms to the sums of some documents.

    Args:
        columns: A segment of impacts.
        shift: Binary logarithm of the size of a block.
        terms: Numbers of the terms, -1 for one that the segment has not; int64. They are added up in this order.
        weights: Of the same shape, float32.
        documents: Ascending, int32.
        sums: float64 of the same shape.
    """
    for row in range(len(terms)):
        term, weight, place = terms[row], weights[row], 0
        if term < 0:
            continue
        position = columns.term_bytes[term]
        for group in range(columns.term_groups[term], columns.term_groups[term + 1]):
            key, count = np.int64(columns.group_keys[group]), np.int64(columns.group_counts[group]) + 1
            first, posting = (key >> 1) << shift, position
            while place < len(documents) and documents[place] < first:
                place += 1
            while place < len(documents) and documents[place] >> shift == key >> 1:
                while posting < position + count and first + columns.postings[posting] < documents[place]:
                    posting += 1
                if posting < position + count and first + columns.postings[posting] == documents[place]:
                    value = np.int32(columns.postings[posting + count]) if key & 1 else np.int32(1)
                    if value == LARGE:
                        value = columns.large_values[np.searchsorted(columns.large_positions, posting + count)]
                    sums[place] += np.float64(weight * np.float32(value))
                place += 1
            position += count << (key & 1)
