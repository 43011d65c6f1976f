"""Reading single postings of a run; see `Columns`."""

from __future__ import annotations

from typing import Any

import numpy as np

from rankloom.retrieval.index.columns import LARGE
from rankloom.retrieval.index.compiled import inlined


@inlined
def find(places: Any, start: Any, end: Any, wanted: Any) -> Any:
    """Where a place stands between two positions, or -1."""
    low, high = start, end
    while low < high:
        middle = (low + high) >> 1
        if np.int64(places[middle]) < wanted:
            low = middle + 1
        else:
            high = middle
    return low if low < end and np.int64(places[low]) == wanted else -1


@inlined
def large_value(columns: Any, position: Any) -> Any:
    """The value at a position of `values`, which may be a large one if its byte is 255."""
    value = np.int32(columns.values[position])
    if value == LARGE:
        place = find(columns.large_positions, 0, len(columns.large_positions), position)
        if place >= 0:
            value = np.int32(columns.large_values[place])
    return value
