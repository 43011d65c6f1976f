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
    from rankloom.retrieval.index.inversion_kernel import ungroup

    most = int(segment.columns.term_documents[term])
    terms, documents, values = (np.empty(most, dtype=np.int32) for _ in range(3))
    ungroup(segment.columns, segment.shift, term, term + 1, terms, documents, values)
    return documents, values
