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
def large_value(large_positions: Any, large_values: Any, position: Any) -> Any:
    """What the byte 255 at a position of `values` stands for."""
    place = find(large_positions, 0, len(large_positions), position)
    return np.int32(large_values[place]) if place >= 0 else np.int32(LARGE)


@inlined
def value_at(columns: Any, position: Any) -> Any:
    """The value at a position of `values`."""
    value = np.int32(columns.values[position])
    return large_value(columns.large_positions, columns.large_values, position) if value == LARGE else value
