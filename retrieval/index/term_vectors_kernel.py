"""Term vectors: found by going through postings, or packed one document after another."""

from __future__ import annotations

from typing import Any

import numpy as np

from rankloom.retrieval.index.columns import LARGE
from rankloom.retrieval.index.compiled import compiled


@compiled
def scan(columns: Any, firsts: Any, wanted: Any, shift: Any, places: Any, terms: Any, values: Any) -> Any:
    """The postings of some documents, in one pass over the groups of all terms.

    Args:
        columns: The segment.
        firsts: For each block, the place in `wanted` of its first document, -1 if it has none; int32.
        wanted: The documents, ascending; int32.
        shift: Binary logarithm of the size of a block.
        places: Receives the place in `wanted` of each posting's document, int32; terms ascend.
        terms: Receives the terms, int32.
        values: Receives the values, int32.

    Returns:
        How many postings there are; where there is less room, only the first are received.
    """
    size, last = 0, wanted[len(wanted) - 1] >> shift
    for term in range(len(columns.term_documents)):
        start = columns.term_bytes[term]
        for group in range(columns.term_groups[term], columns.term_groups[term + 1]):
            key, count = np.int64(columns.group_keys[group]), np.int64(columns.group_counts[group]) + 1
            block = key >> 1
            if block > last:
                break
            place = firsts[block]
            if place >= 0:
                position, end = start, start + count
                while position < end and place < len(wanted) and wanted[place] >> shift == block:
                    document = (block << shift) + columns.postings[position]
                    if document == wanted[place]:
                        if size < len(terms):
                            value = np.int32(columns.postings[position + count]) if key & 1 else np.int32(1)
                            if value == LARGE:
                                value = columns.large_values[np.searchsorted(columns.large_positions, position + count)]
                            places[size], terms[size], values[size] = place, term, value
                        size += 1
                    if document <= wanted[place]:
                        position += 1
                    else:
                        place += 1
            start += count << (key & 1)
    return size
