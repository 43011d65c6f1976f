"""The columns of one segment: what is on disk, and what the kernels read."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Columns(NamedTuple):
    """Postings of a segment, grouped by term and block of documents.

    Documents are numbered within the segment, and blocks are stretches of 256 (or fewer) consecutive numbers. A group
    is the postings of one term in one block: first a byte for each document (its place in the block), then, unless
    all values are 1, a byte for each value. A value is a whole number from 1: a frequency, or a quantised impact. The
    byte 255 stands for any value from 255 on, which is looked up by its position in `large_positions`.

    Args:
        term_groups: Where the groups of each term start, int64 of shape (terms + 1,).
        term_bytes: Where the postings of each term start, int64 of shape (terms + 1,).
        term_documents: In how many documents each term occurs, int32 of shape (terms,).
        group_keys: Twice the block's number, plus 1 if values follow; uint16 or (many blocks) uint32, (groups,).
        group_counts: Documents in the group, minus 1; uint8 of shape (groups,).
        group_bounds: The group's largest contribution to a score, rounded up to a byte; uint8 of shape (groups,).
        postings: The bytes of all groups, one after another; uint8.
        norms: The length of each document as a byte, uint8 of shape (documents,).
        large_positions: Where in `postings` the byte 255 stands for another value; int64, ascending.
        large_values: Those values, int32 of the same shape.
    """

    term_groups: NDArray[np.int64]
    term_bytes: NDArray[np.int64]
    term_documents: NDArray[np.int32]
    group_keys: NDArray[Any]
    group_counts: NDArray[np.uint8]
    group_bounds: NDArray[np.uint8]
    postings: NDArray[np.uint8]
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


#: A byte that may stand for a larger value.
LARGE = 255
