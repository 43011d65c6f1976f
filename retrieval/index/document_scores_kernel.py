"""Scores of documents that are known already: their postings are looked up, all others passed over."""

from __future__ import annotations

from typing import Any

import numpy as np

from rankloom.retrieval.index.columns import STRETCH_SHIFT
from rankloom.retrieval.index.compiled import compiled
from rankloom.retrieval.index.runs_kernel import find, value_at


@compiled
def add_impacts(columns: Any, terms: Any, weights: Any, documents: Any, sums: Any) -> None:
    """Add weight times impact of some terms to the sums of some documents.

    Args:
        columns: A segment of impacts.
        terms: Numbers of the terms, -1 for one that the segment has not; int64. They are added up in this order.
        weights: Of the same shape, float32.
        documents: Ascending, int32.
        sums: float64 of the same shape.
    """
    for row in range(len(terms)):
        term, weight, number = terms[row], weights[row], 0
        if term < 0:
            continue
        start, position = columns.term_places[term], columns.term_values[term]
        for run in range(columns.term_runs[term], columns.term_runs[term + 1]):
            stretch = np.int64(columns.run_stretches[run])
            other = start + np.int64(columns.run_ones[run])
            end = other + np.int64(columns.run_others[run])
            while number < len(documents) and documents[number] >> STRETCH_SHIFT < stretch:
                number += 1
            while number < len(documents) and documents[number] >> STRETCH_SHIFT == stretch:
                place = np.int64(documents[number]) - (stretch << STRETCH_SHIFT)
                found = find(columns.places, start, other, place)
                if found >= 0:
                    sums[number] += np.float64(weight)
                else:
                    found = find(columns.places, other, end, place)
                    if found >= 0:
                        value = value_at(columns, position + found - other)
                        sums[number] += np.float64(weight * np.float32(value))
                number += 1
            start = end
            position += np.int64(columns.run_others[run])
