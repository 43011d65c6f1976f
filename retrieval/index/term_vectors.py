"""The terms of documents, read back from a segment."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rankloom.retrieval.index.segment import Segment

_ROOM = 256  # terms that a document is expected to have at most


def term_vectors(segment: Segment, documents: NDArray[np.int32]) -> list[dict[str, int]]:
    """The terms of some documents of a segment and their values, in the order of terms.

    All documents together cost one pass over the segment's postings.

    Args:
        segment: The segment.
        documents: Their numbers, int32 of shape (documents,).
    """
    wanted, copies = np.unique(documents, return_inverse=True)
    ends, terms, values = _scanned(segment, wanted)
    words, numbers = segment.vocabulary.take(terms), values.tolist()
    vectors = [
        dict(zip(words[start:end], numbers[start:end], strict=True))
        for start, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)
    ]
    return [dict(vectors[place]) for place in copies.tolist()]


def _scanned(
    segment: Segment, wanted: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """One past the last term of each document, the terms of all, and their values; by going through all postings."""
    from rankloom.retrieval.index.term_vectors_kernel import scan

    blocks = wanted >> segment.shift
    firsts = np.full((len(segment) >> segment.shift) + 1, -1, dtype=np.int32)
    firsts[blocks[::-1]] = np.arange(len(wanted), dtype=np.int32)[::-1]
    room, size = 0, _ROOM * len(wanted)
    while size > room:
        room = size
        places, terms, values = (np.empty(room, dtype=np.int32) for _ in range(3))
        size = scan(segment.columns, firsts, wanted, segment.shift, places, terms, values)
    order = places[:size].argsort(kind="stable")
    return np.cumsum(np.bincount(places[:size], minlength=len(wanted))), terms[order], values[order]
