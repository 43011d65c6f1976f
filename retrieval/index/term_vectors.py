"""The terms of documents: read back from a segment's postings or, where it keeps them twice, from there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankloom.retrieval.index.columns import STRETCH_SHIFT, PackedVectors
from rankloom.retrieval.index.impact_columns import rows, values_at
from rankloom.retrieval.index.impact_segment import ImpactSegment
from rankloom.retrieval.index.segment import Segment

_ROOM = 256  # terms that a document is expected to have at most
#: One past the last term of each document, the terms of all (ascending in each), and their values.
_Rows = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]


def term_vectors(segment: Segment | ImpactSegment, documents: NDArray[np.int32]) -> list[dict[str, int]]:
    """The terms of some documents of a segment and their values, in the order of terms.

    Without packed vectors, all documents together cost one pass over the postings of a segment of texts.

    Args:
        segment: The segment.
        documents: Their numbers, int32 of shape (documents,).
    """
    wanted, copies = np.unique(documents, return_inverse=True)
    if isinstance(segment, ImpactSegment):
        ends, positions = rows(segment.columns, wanted)
        terms = segment.columns.document_terms[positions].astype(np.int32)
        values = values_at(segment.columns, positions)
    else:
        ends, terms, values = _scanned(segment, wanted) if segment.vectors is None else unpacked(segment, wanted)
    words, numbers = segment.vocabulary.take(terms), values.tolist()
    vectors = [
        dict(zip(words[start:end], numbers[start:end], strict=True))
        for start, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)
    ]
    return [dict(vectors[place]) for place in copies.tolist()]


def packed(ends: NDArray[np.int64], terms: NDArray[Any], values: NDArray[np.int32]) -> PackedVectors:
    """Documents as they are kept.

    Args:
        ends: One past the last term of each document, int64 of shape (documents,).
        terms: Term numbers, ascending within a document; integers of shape (postings,).
        values: int32 of the same shape.
    """
    from rankloom.retrieval.index import term_vectors_kernel as kernel

    starts = np.empty(len(ends) + 1, dtype=np.int64)
    terms = terms.astype(np.int32, copy=False)
    kernel.measure(ends, terms, values, starts)
    data = np.empty(starts[-1], dtype=np.uint8)
    kernel.pack(ends, terms, values, data)
    for column in (starts, data):
        column.setflags(write=False)  # numba compiles for arrays that can be written and others separately
    return PackedVectors(starts, data)


def packed_by_document(
    distinct: NDArray[np.int64], starts: NDArray[np.int64], documents: NDArray[np.int32], values: NDArray[np.int32]
) -> PackedVectors:
    """Documents as they are kept, from postings in the order of terms.

    Args:
        distinct: Terms of each document, int64 of shape (documents,).
        starts: Where each term starts, int64 of shape (terms + 1,).
        documents: int32 of shape (postings,).
        values: int32 of the same shape.
    """
    from rankloom.retrieval.index.term_vectors_kernel import by_document

    ends = np.cumsum(distinct)
    terms, moved = np.empty_like(documents), np.empty_like(values)
    by_document(starts, documents, values, ends - distinct, terms, moved)
    return packed(ends, terms, moved)


def unpacked(segment: Segment, documents: NDArray[Any]) -> _Rows:
    """The terms of some documents of a segment that has packed vectors.

    Args:
        segment: The segment.
        documents: Their numbers, integers of shape (documents,).

    Raises:
        ValueError: It has none.
    """
    from rankloom.retrieval.index.term_vectors_kernel import unpack

    if segment.vectors is None:
        raise ValueError("the segment has no packed vectors")
    starts = segment.vectors.starts
    most = int((starts[documents + 1] - starts[documents]).sum())  # a term takes a byte at least
    ends = np.empty(len(documents), dtype=np.int64)
    terms, values = np.empty(most, dtype=np.int32), np.empty(most, dtype=np.int32)
    size = unpack(starts, segment.vectors.packed, documents.astype(np.int32, copy=False), ends, terms, values)
    return ends, terms[:size], values[:size]


def _scanned(segment: Segment, wanted: NDArray[np.int32]) -> _Rows:
    """The terms of some documents, in ascending order, by going through all postings."""
    from rankloom.retrieval.index.term_vectors_kernel import scan

    stretches = np.arange((len(segment) >> STRETCH_SHIFT) + 2, dtype=np.int64) << STRETCH_SHIFT
    firsts = np.searchsorted(wanted, stretches)
    known = np.full(len(segment), -1, dtype=np.int32)
    known[wanted] = np.arange(len(wanted), dtype=np.int32)
    room, size = 0, _ROOM * len(wanted)
    while size > room:
        room = size
        places, terms, values = (np.empty(room, dtype=np.int32) for _ in range(3))
        size = scan(segment.columns, firsts, wanted, known, places, terms, values)
    order = places[:size].argsort(kind="stable")
    return np.cumsum(np.bincount(places[:size], minlength=len(wanted))), terms[order], values[order]
