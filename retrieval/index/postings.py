"""The postings of one term of a segment, as plain columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rankloom.retrieval.index.impact_columns import BLOCK_SHIFT, rows, values_at
from rankloom.retrieval.index.impact_segment import ImpactSegment
from rankloom.retrieval.index.segment import Segment


def postings_of(segment: Segment | ImpactSegment, term: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The documents that hold a term, ascending, and its values in them; deleted documents included.

    Args:
        segment: The segment.
        term: The term's number.
    """
    from rankloom.retrieval.index.inversion_kernel import unpack

    if isinstance(segment, ImpactSegment):
        return _impacts_of(segment, term)
    starts = segment.columns.term_places
    terms, documents, values = (np.empty(starts[term + 1] - starts[term], dtype=np.int32) for _ in range(3))
    unpack(segment.columns, term, term + 1, terms, documents, values)
    return documents, values


def _impacts_of(segment: ImpactSegment, term: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """`postings_of` for impacts: which documents, by term; what values, by document."""
    columns = segment.columns
    groups = slice(*columns.term_groups[term : term + 2].tolist())
    ends = columns.group_postings[groups.start : groups.stop + 1]
    blocks = np.repeat(columns.group_blocks[groups].astype(np.int32) << BLOCK_SHIFT, np.diff(ends))
    documents = np.sort(blocks + columns.postings[ends[0] : ends[-1]].astype(np.int32))
    positions = rows(columns, documents)[1]
    return documents, values_at(columns, positions[columns.document_terms[positions] == term])
