"""Merging segments of impacts into one, a stretch at a time, so that memory holds no more than a stretch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rankloom.files import atomic_path
from rankloom.retrieval.index.columns import LARGE
from rankloom.retrieval.index.impact_columns import rows, values_at
from rankloom.retrieval.index.impact_inversion import Ordered, ordered_by_impact
from rankloom.retrieval.index.impact_segment import IDS, LAYOUT, RANKS, TERMS, ImpactSegment, column_type, describe
from rankloom.retrieval.index.merge import Source, merged_vocabulary
from rankloom.retrieval.index.numbered import ordered_ids
from rankloom.retrieval.index.storage import ColumnWriters, write_strings

_STRETCH = 1 << 21  # postings in memory at a time
_DOCUMENTS = 1 << 14  # likewise


def merge_impacts(sources: Sequence[Source[ImpactSegment]], directory: Path) -> None:
    """Write the documents of several segments, one segment after another, as one segment.

    Args:
        sources: The segments.
        directory: Where the new segment shall live.
    """
    import pyarrow as pa

    vocabulary, numbers = merged_vocabulary([one.segment.vocabulary for one in sources])
    counts = np.zeros(len(vocabulary), dtype=np.int64)
    for one, places in zip(sources, numbers, strict=True):
        counts[places] += _document_frequencies(one)
    kept = np.flatnonzero(counts)  # a term whose documents are all deleted goes with them
    renumbered = np.cumsum(counts > 0) - 1
    numbers = [renumbered[places] for places in numbers]
    with atomic_path(directory) as temporary:
        temporary.mkdir()
        with ColumnWriters(temporary, {name: column_type(name, len(kept)) for name in LAYOUT}) as writers:
            _write_documents(writers, sources, numbers)
            _write_terms(writers, sources, numbers, counts[kept])
            in_order = [one.segment.ids_in_order().take(pa.array(one.kept)) for one in sources]
            ids, ranks = ordered_ids(pa.concat_arrays(in_order))
            writers.append(RANKS, ranks)
        write_strings(temporary / IDS, ids.array)
        write_strings(temporary / TERMS, vocabulary.array.take(pa.array(kept)))
        describe(temporary, total=sum(one.total for one in sources), filled=sum(one.filled for one in sources))


def _document_frequencies(source: Source[ImpactSegment]) -> NDArray[np.int64]:
    """In how many documents that are not deleted each term of a segment occurs."""
    columns = source.segment.columns
    deleted = np.flatnonzero(source.numbers < 0)
    gone = columns.document_terms[rows(columns, deleted)[1]]
    return np.asarray(columns.term_documents - np.bincount(gone, minlength=len(columns.term_documents)))


def _write_documents(
    writers: ColumnWriters, sources: Sequence[Source[ImpactSegment]], numbers: Sequence[NDArray[np.int64]]
) -> None:
    """Write the columns by document."""
    postings = 0
    writers.append("document_starts", np.zeros(1, dtype=np.int64))
    for one, places in zip(sources, numbers, strict=True):
        columns = one.segment.columns
        for start in range(0, len(one.kept), _DOCUMENTS):
            ends, positions = rows(columns, one.kept[start : start + _DOCUMENTS])
            values = columns.document_values[positions]
            large = np.flatnonzero(values == LARGE)
            writers.append("document_starts", ends + postings)
            writers.append("document_terms", places[columns.document_terms[positions]])
            writers.append("document_values", values)
            writers.append("large_positions", large + postings)
            writers.append("large_values", values_at(columns, positions[large]))
            postings += len(positions)


def _write_terms(
    writers: ColumnWriters,
    sources: Sequence[Source[ImpactSegment]],
    numbers: Sequence[NDArray[np.int64]],
    counts: NDArray[np.int64],
) -> None:
    """Write the columns by term."""
    groups = runs = postings = 0
    for name in ("term_groups", "group_runs", "group_postings"):
        writers.append(name, np.zeros(1, dtype=np.int64))
    for ordered in _stretches(sources, numbers, counts):
        writers.append("term_groups", ordered.term_groups[1:] + groups)
        writers.append("group_runs", ordered.group_runs[1:] + runs)
        writers.append("group_postings", ordered.group_postings[1:] + postings)
        for name in ("term_documents", "group_blocks", "run_levels", "run_counts", "postings"):
            writers.append(name, getattr(ordered, name))
        groups, runs = groups + len(ordered.group_blocks), runs + len(ordered.run_levels)
        postings += len(ordered.postings)


def _stretches(
    sources: Sequence[Source[ImpactSegment]], numbers: Sequence[NDArray[np.int64]], counts: NDArray[np.int64]
) -> Iterator[Ordered]:
    """The postings of consecutive terms of the union."""
    from rankloom.retrieval.index.impact_order_kernel import collect

    ends, first = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)]), 0
    while first < len(counts):
        last = max(first + 1, int(np.searchsorted(ends, ends[first] + _STRETCH, side="right")) - 1)
        starts = ends[first : last + 1] - ends[first]
        cursor, base = starts.copy(), 0
        documents, levels = np.empty(starts[-1], dtype=np.int32), np.empty(starts[-1], dtype=np.uint8)
        for one, places in zip(sources, numbers, strict=True):
            # a term that is gone has the number of the one kept before it; all its documents are left out
            begin, end = np.searchsorted(places, [first, last]).tolist()
            collect(one.segment.columns, begin, end, places - first, one.numbers, base, cursor, documents, levels)
            base += len(one.kept)
        yield ordered_by_impact(starts, documents, levels)
        first = last
