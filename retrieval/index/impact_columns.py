"""The columns of a segment of impacts: what is on disk, and what the kernels read."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankloom.retrieval.index.columns import LARGE

#: Documents in a block are 2 to the power of this: as many as two bytes can tell apart.
BLOCK_SHIFT = 16
_STEP = 8  # a level is at most 1/8 above the one before


class ImpactColumns(NamedTuple):
    """Impacts of a segment, twice: by document, exactly; and by term, rounded up to a level, the largest first.

    A group is the postings of one term in one block of 65,536 consecutive documents, in runs of equal levels, levels
    descending, documents ascending within a run. Levels are rounded up, so sums over groups are upper bounds
    of scores; scores themselves come from the documents. A value is a whole number from 1; the byte 255 stands for any
    value from 255 on, which is looked up by its position in `large_positions`.

    Args:
        document_starts: Where the terms of each document start, int64 of shape (documents + 1,).
        document_terms: Their numbers, ascending within a document; uint16 or (many terms) uint32, (postings,).
        document_values: Their values, uint8 of shape (postings,).
        large_positions: Where in `document_values` the byte 255 stands for another value; int64, ascending.
        large_values: Those values, int32 of the same shape.
        term_groups: Where the groups of each term start, int64 of shape (terms + 1,).
        term_documents: In how many documents each term occurs, int32 of shape (terms,).
        group_blocks: The number of the group's block, ascending within a term; uint16 of shape (groups,).
        group_runs: Where the runs of each group start, int64 of shape (groups + 1,).
        group_postings: Where the postings of each group start, int64 of shape (groups + 1,).
        run_levels: Places in `LEVELS`, uint8 of shape (runs,).
        run_counts: Documents in the run, minus 1; uint16 of shape (runs,).
        postings: Documents, counted from the start of their block; uint16 of shape (postings,).
    """

    document_starts: NDArray[np.int64]
    document_terms: NDArray[Any]
    document_values: NDArray[np.uint8]
    large_positions: NDArray[np.int64]
    large_values: NDArray[np.int32]
    term_groups: NDArray[np.int64]
    term_documents: NDArray[np.int32]
    group_blocks: NDArray[np.uint16]
    group_runs: NDArray[np.int64]
    group_postings: NDArray[np.int64]
    run_levels: NDArray[np.uint8]
    run_counts: NDArray[np.uint16]
    postings: NDArray[np.uint16]


def _levels() -> NDArray[np.float64]:
    """Bounds from 0 to the largest value, each the next whole number or 1/8 more than the one before."""
    bounds = [0]
    while bounds[-1] < 2**31 - 1:
        bounds.append(bounds[-1] + max(1, bounds[-1] // _STEP))
    return np.array(bounds, dtype=np.float64)


#: What values are rounded up to.
LEVELS = _levels()
_LEVEL_OF_BYTE = np.searchsorted(LEVELS, np.arange(LARGE)).astype(np.uint8)


def levels_of(values: NDArray[np.int32]) -> NDArray[np.uint8]:
    """The place in `LEVELS` of each value."""
    large = np.flatnonzero(values >= LARGE)
    levels = _LEVEL_OF_BYTE[np.where(values < LARGE, values, 0)] if len(large) else _LEVEL_OF_BYTE[values]
    levels[large] = np.searchsorted(LEVELS, values[large])
    return np.asarray(levels)


def rows(columns: ImpactColumns, documents: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each document ends among the postings of some documents, and the positions of these postings."""
    starts = columns.document_starts[documents]
    lengths = columns.document_starts[np.asarray(documents, dtype=np.int64) + 1] - starts
    ends = np.cumsum(lengths)
    return ends, np.arange(int(lengths.sum()), dtype=np.int64) + np.repeat(starts - (ends - lengths), lengths)


def values_at(columns: ImpactColumns, positions: NDArray[np.int64]) -> NDArray[np.int32]:
    """The values at some positions, int32 of the same shape."""
    values = columns.document_values[positions].astype(np.int32)
    large = np.flatnonzero(values == LARGE)
    values[large] = columns.large_values[np.searchsorted(columns.large_positions, positions[large])]
    return values
