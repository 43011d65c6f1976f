"""The columns of one segment: what is on disk, and what the kernels read."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Documents in a stretch are 2 to the power of this: a place fits two bytes, a stretch's scores the processor's cache.
STRETCH_SHIFT = 15
#: Documents in a block are 2 to the power of this.
BLOCK_SHIFT = 8
#: Blocks in a stretch.
BLOCKS = 1 << (STRETCH_SHIFT - BLOCK_SHIFT)
#: Postings from which on a run has bounds for its blocks; fewer are bounded one by one.
DENSE = BLOCKS // 2
#: A byte that may stand for a larger value.
LARGE = 255


class Columns(NamedTuple):
    """Postings of a segment, in runs: those of one term in one stretch of documents.

    Documents are numbered within the segment, and stretches are 32,768 consecutive numbers. A run holds places, which
    are the documents' numbers within the stretch: first, ascending, those where the term's value is 1, then, ascending
    again, the others, whose values stand in a column of their own. A value is a frequency, from 1. The byte 255 stands
    for any value from 255 on, which is looked up by its position in `large_positions`. A run of many postings has a
    byte for each of the stretch's blocks of 256 documents: its largest contribution to a score there, rounded up, or 0
    where there is none.

    Args:
        term_runs: Where the runs of each term start, int64 of shape (terms + 1,).
        term_places: Where its places start, int64 of the same shape.
        term_values: Where its values start, int64 of the same shape.
        term_bounds: Where its bounds start, int64 of the same shape.
        run_stretches: The number of each run's stretch, uint16 of shape (runs,).
        run_ones: How many of its postings have the value 1, uint16 of shape (runs,).
        run_others: How many have another, uint16 of shape (runs,).
        places: uint16 of shape (postings,).
        values: uint8, one for each posting whose value is not 1.
        bounds: uint8, a row of `BLOCKS` for each run of `DENSE` postings or more.
        norms: The length of each document as a byte, uint8 of shape (documents,).
        large_positions: Where in `values` the byte 255 stands for another value; int64, ascending.
        large_values: Those values, int32 of the same shape.
    """

    term_runs: NDArray[np.int64]
    term_places: NDArray[np.int64]
    term_values: NDArray[np.int64]
    term_bounds: NDArray[np.int64]
    run_stretches: NDArray[np.uint16]
    run_ones: NDArray[np.uint16]
    run_others: NDArray[np.uint16]
    places: NDArray[np.uint16]
    values: NDArray[np.uint8]
    bounds: NDArray[np.uint8]
    norms: NDArray[np.uint8]
    large_positions: NDArray[np.int64]
    large_values: NDArray[np.int32]


class PackedVectors(NamedTuple):
    """The terms of each document, one document after another, for a segment that keeps them twice.

    A term is the distance from the term before it, doubled, plus 1 if a value other than 1 follows, which is kept
    minus 2; both in groups of seven bits, the lowest first, with the eighth bit set in all bytes but the last.

    Args:
        starts: Where each document starts and, last, where the last ends; int64 of shape (documents + 1,).
        packed: uint8.
    """

    starts: NDArray[np.int64]
    packed: NDArray[np.uint8]
