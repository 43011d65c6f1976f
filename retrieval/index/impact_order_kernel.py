"""Postings of impacts into groups and runs, and out of several segments."""

from __future__ import annotations

from typing import Any

import numpy as np

from rankloom.retrieval.index.compiled import compiled, nested
from rankloom.retrieval.index.impact_columns import BLOCK_SHIFT

_FEW = 24  # postings that are sorted by moving them into their places


@compiled
def order_by_impact(
    starts: Any, documents: Any, levels: Any, term_groups: Any, group_blocks: Any, group_runs: Any, group_postings: Any,
    run_levels: Any, run_counts: Any, postings: Any,
) -> Any:  # fmt: skip
    """Write the groups and runs of some terms; see `ImpactColumns`.

    Args:
        starts: Where the postings of each term start, int64 of shape (terms + 1,).
        documents: Ascending among the postings of a term of one level; int32.
        levels: uint8.
        term_groups: Receives how many groups there are up to and with each term, int64 of shape (terms,).
        group_blocks: Receives the block of each group, as the other arrays receive what their names say; uint16.
        group_runs: int64.
        group_postings: int64.
        run_levels: uint8.
        run_counts: uint16.
        postings: uint16.

    Returns:
        How many groups and runs there are.
    """
    most = 0
    for term in range(len(starts) - 1):
        most = max(most, starts[term + 1] - starts[term])
    keys, spare = np.empty(most, dtype=np.int64), np.empty(most, dtype=np.int64)
    counts = np.zeros((1 << 16) + 2, dtype=np.int64)
    groups, runs = 0, 0
    for term in range(len(starts) - 1):
        start, size = starts[term], starts[term + 1] - starts[term]
        for place in range(size):  # block, level (descending), place in the block
            document = np.int64(documents[start + place])
            level = np.int64(0xFF) - np.int64(levels[start + place])
            keys[place] = (document >> BLOCK_SHIFT << 24) | (level << 16) | (document & 0xFFFF)
        if size <= _FEW:
            _insertion_sort(keys, size)
        else:
            _counting_sort(keys, spare, size, 16, 0xFF, counts)
            _counting_sort(spare, keys, size, 24, 0xFFFF, counts)
        before = np.int64(-1)
        for place in range(size):
            key = keys[place]
            if key >> 16 != before >> 16:
                if key >> 24 != before >> 24 or before < 0:
                    group_blocks[groups], group_runs[groups], group_postings[groups] = key >> 24, runs, start + place
                    groups += 1
                run_levels[runs], run_counts[runs] = 0xFF - (key >> 16 & 0xFF), 0
                runs += 1
            else:
                run_counts[runs - 1] += 1
            postings[start + place] = key & 0xFFFF
            before = key
        term_groups[term] = groups
    return groups, runs


@nested
def _insertion_sort(keys: Any, size: Any) -> None:
    """Sort the first keys."""
    for place in range(1, size):
        key, hole = keys[place], place
        while hole > 0 and keys[hole - 1] > key:
            keys[hole] = keys[hole - 1]
            hole -= 1
        keys[hole] = key


@nested
def _counting_sort(keys: Any, into: Any, size: Any, shift: Any, mask: Any, counts: Any) -> None:
    """Sort the first keys by some of their bits, those with equal bits in the order they have; `counts` is 0 again."""
    low, high = np.int64(mask), np.int64(0)
    for place in range(size):
        digit = keys[place] >> shift & mask
        counts[digit + 1] += 1
        low, high = min(low, digit), max(high, digit)
    for digit in range(low, high + 1):
        counts[digit + 1] += counts[digit]
    for place in range(size):
        digit = keys[place] >> shift & mask
        into[counts[digit]] = keys[place]
        counts[digit] += 1
    for digit in range(low, high + 2):
        counts[digit] = 0


@compiled
def collect(
    columns: Any, first: Any, last: Any, terms: Any, numbers: Any, base: Any, cursor: Any, documents: Any, levels: Any
) -> None:
    """Bring the postings of some terms of a segment among those of other segments.

    Args:
        columns: The segment.
        first: Its first term.
        last: One past its last term.
        terms: What each of its terms is called, int64.
        numbers: What each of its documents is called, counted from `base`, -1 if it is left out; int32.
        base: The number of its first document.
        cursor: Where the next posting of each term goes, int64; moves on.
        documents: Receives the documents, int32.
        levels: Receives the levels, uint8.
    """
    for term in range(first, last):
        name = terms[term]
        for group in range(columns.term_groups[term], columns.term_groups[term + 1]):
            place, block = columns.group_postings[group], np.int64(columns.group_blocks[group]) << BLOCK_SHIFT
            for run in range(columns.group_runs[group], columns.group_runs[group + 1]):
                for _ in range(np.int64(columns.run_counts[run]) + 1):
                    number = numbers[block + columns.postings[place]]
                    place += 1
                    if number >= 0:
                        target = cursor[name]
                        documents[target], levels[target] = number + base, columns.run_levels[run]
                        cursor[name] = target + 1
