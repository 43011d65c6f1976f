"""Merging segments into one, a stretch of the vocabulary at a time, so that memory holds no more than a stretch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from rankloom.files import atomic_path
from rankloom.retrieval.index.inversion import in_runs, reference_inverse
from rankloom.retrieval.index.numbered import NumberedDocuments, ordered_ids
from rankloom.retrieval.index.segment import (
    IDS,
    RANKS,
    REFERENCE,
    STARTS,
    TERMS,
    TYPES,
    VECTOR_LAYOUT,
    VECTOR_STARTS,
    VECTORS,
    Segment,
    describe,
)
from rankloom.retrieval.index.storage import ColumnWriters, write_strings
from rankloom.retrieval.index.term_vectors import packed, unpacked
from rankloom.retrieval.vocabulary import Vocabulary

_STRETCH = 1 << 21  # postings in memory at a time
_DOCUMENTS = 1 << 14  # whose terms are in memory at a time


_Kind = TypeVar("_Kind", bound=NumberedDocuments)


class Source(Generic[_Kind]):
    """A segment that goes into a merge.

    Args:
        segment: The segment.
        deleted: Its documents to leave out, int32.
        total: The sum of all values of the others.
        filled: How many of the others have a term.
    """

    def __init__(self, segment: _Kind, deleted: NDArray[np.int32], total: int, filled: int) -> None:
        self.segment, self.total, self.filled = segment, total, filled
        keep = np.ones(len(segment), dtype=np.bool_)
        keep[deleted] = False
        self.kept = np.flatnonzero(keep)
        self.numbers = np.where(keep, np.cumsum(keep) - 1, -1).astype(np.int32)


def merge(sources: Sequence[Source[Segment]], directory: Path) -> None:
    """Write the documents of several segments, one segment after another, as one segment.

    Args:
        sources: The segments.
        directory: Where the new segment shall live.
    """
    import pyarrow as pa

    total, filled = sum(one.total for one in sources), sum(one.filled for one in sources)
    reference = reference_inverse(total / max(1, filled))
    with_vectors = all(one.segment.vectors is not None for one in sources)
    norms = np.concatenate([one.segment.columns.norms[one.kept] for one in sources])
    vocabulary, numbers = merged_vocabulary([one.segment.vocabulary for one in sources])
    with atomic_path(directory) as temporary:
        temporary.mkdir()
        types = TYPES | (VECTOR_LAYOUT if with_vectors else {})
        used: list[NDArray[np.int64]] = []
        before = dict.fromkeys(STARTS, 0)
        first = 0
        with ColumnWriters(temporary, types) as writers:
            for name in STARTS:
                writers.append(name, np.zeros(1, dtype=np.int64))
            for starts, documents, values in _stretches(sources, numbers, len(vocabulary)):
                kept = np.flatnonzero(np.diff(starts))  # a term whose documents are all deleted goes with them
                used.append(kept + first)
                first += len(starts) - 1
                starts = np.append(starts[kept], starts[-1])  # noqa: PLW2901
                columns = in_runs(starts, documents, values, norms, reference, position=before["term_values"])
                for name, column in columns._asdict().items():
                    if name in STARTS:
                        writers.append(name, column[1:] + before[name])
                        before[name] += int(column[-1])
                    elif name != "norms":
                        writers.append(name, column)
            writers.append("norms", norms)
            writers.append(REFERENCE, reference)
            in_order = [one.segment.ids_in_order().take(pa.array(one.kept)) for one in sources]
            ids, ranks = ordered_ids(pa.concat_arrays(in_order))
            writers.append(RANKS, ranks)
            left = np.concatenate([np.zeros(0, dtype=np.int64), *used])
            if with_vectors:
                _write_vectors(writers, sources, [np.searchsorted(left, places) for places in numbers])
        terms = vocabulary.array.take(pa.array(left))
        write_strings(temporary / IDS, ids.array)
        write_strings(temporary / TERMS, terms)
        describe(temporary, total=total, filled=filled, terms=len(terms))


def merged_vocabulary(vocabularies: Sequence[Vocabulary]) -> tuple[Vocabulary, list[NDArray[np.int64]]]:
    """The union, and the place of each vocabulary's terms in it (ascending)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    words = pc.unique(pa.concat_arrays([one.array for one in vocabularies]))
    union = Vocabulary(words.take(pc.sort_indices(words)))
    return union, [pc.index_in(one.array, union.array).to_numpy().astype(np.int64) for one in vocabularies]


def _stretches(
    sources: Sequence[Source[Segment]], numbers: Sequence[NDArray[np.int64]], terms: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]]:
    """Postings of consecutive terms of the union: where each term starts, documents, values."""
    counts = np.zeros(terms, dtype=np.int64)
    for one, places in zip(sources, numbers, strict=True):
        counts[places] += np.diff(one.segment.columns.term_places)
    sums = np.cumsum(counts)
    first = 0
    while first < terms:
        before = int(sums[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(sums, before + _STRETCH, side="right")))
        parts, base = [], 0
        for one, places in zip(sources, numbers, strict=True):
            begin, end = np.searchsorted(places, [first, last]).tolist()
            own, documents, values = _postings(one.segment, begin, end)
            renumbered = one.numbers[documents]
            kept = renumbered >= 0
            parts.append((places[begin:end][own[kept]] - first, renumbered[kept] + base, values[kept]))
            base += len(one.kept)
        owners, documents, values = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = owners.argsort(kind="stable")  # documents ascend within a term already
        starts = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=last - first))]).astype(np.int64)
        yield starts, documents[order].astype(np.int32), values[order]
        first = last


def _write_vectors(
    writers: ColumnWriters, sources: Sequence[Source[Segment]], numbers: Sequence[NDArray[np.int64]]
) -> None:
    """Write the terms of each document once more, a stretch of documents at a time.

    Args:
        writers: The new segment's columns.
        sources: The segments, all with vectors.
        numbers: The new number of each term of each segment.
    """
    size = 0
    writers.append(VECTOR_STARTS, np.zeros(1, dtype=np.int64))
    for one, renumbered in zip(sources, numbers, strict=True):
        for first in range(0, len(one.kept), _DOCUMENTS):
            ends, terms, values = unpacked(one.segment, one.kept[first : first + _DOCUMENTS])
            vectors = packed(ends, renumbered[terms], values)
            writers.append(VECTOR_STARTS, vectors.starts[1:] + size)
            writers.append(VECTORS, vectors.packed)
            size += len(vectors.packed)


def _postings(
    segment: Segment, first: int, last: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Postings of the terms from `first` to before `last`: terms counted from `first`, documents, values."""
    from rankloom.retrieval.index.inversion_kernel import unpack

    starts = segment.columns.term_places
    terms, documents, values = (np.empty(starts[last] - starts[first], dtype=np.int32) for _ in range(3))
    unpack(segment.columns, first, last, terms, documents, values)
    return terms, documents, values
