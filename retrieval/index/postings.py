"""The postings of one term of a segment, as plain columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rankloom.retrieval.index.segment import Segment


def postings_of(segment: Segment, term: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The documents that hold a term, ascending, and its values in them; deleted documents included.

    Args:
        segment: The segment.
        term: The term's number.
    """
    from rankloom.retrieval.index.inversion_kernel import unpack

    starts = segment.columns.term_places
    terms, documents, values = (np.empty(starts[term + 1] - starts[term], dtype=np.int32) for _ in range(3))
    unpack(segment.columns, term, term + 1, terms, documents, values)
    return documents, values
