"""From documents, term by term, to a segment of impacts in memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankloom.retrieval.index.columns import LARGE
from rankloom.retrieval.index.impact_columns import ImpactColumns, levels_of
from rankloom.retrieval.index.impact_segment import ImpactSegment, column_type
from rankloom.retrieval.index.inversion import Inverted
from rankloom.retrieval.index.numbered import ordered_ids
from rankloom.retrieval.vocabulary import Vocabulary


class Ordered(NamedTuple):
    """Postings of consecutive terms in groups and runs, counted from the first; names as in `ImpactColumns`."""

    term_groups: NDArray[np.int64]
    term_documents: NDArray[np.int32]
    group_blocks: NDArray[np.uint16]
    group_runs: NDArray[np.int64]
    group_postings: NDArray[np.int64]
    run_levels: NDArray[np.uint8]
    run_counts: NDArray[np.uint16]
    postings: NDArray[np.uint16]


def invert_impacts(doc_ids: list[str], held: Inverted, words: list[str]) -> ImpactSegment:
    """A segment of some documents.

    Args:
        doc_ids: Their ids, in the order of the documents.
        held: Their terms, none twice in a document.
        words: The terms by their numbers; those that no document has are left out.
    """
    import pyarrow as pa

    from rankloom.retrieval.index.compiled import Compiling
    from rankloom.retrieval.index.inversion_kernel import sort_by_term
    from rankloom.retrieval.index.term_vectors_kernel import by_document

    used = np.flatnonzero(np.bincount(held.terms, minlength=len(words)))
    vocabulary, places = Vocabulary.number([words[number] for number in used.tolist()])
    numbers = np.zeros(len(words), dtype=np.int32)
    numbers[used] = places
    starts = np.zeros(len(used) + 1, dtype=np.int64)
    documents, values = np.empty_like(held.terms), np.empty_like(held.values)
    document_terms = np.empty(len(held.terms), dtype=column_type("document_terms", len(used)))
    document_values = np.empty_like(held.values)
    with Compiling("indexing", sort_by_term, by_document):
        sort_by_term(held.distinct, held.terms, held.values, numbers, starts, documents, values)
        by_document(
            starts, documents, values, np.cumsum(held.distinct) - held.distinct, document_terms, document_values
        )
    large = np.flatnonzero(document_values >= LARGE)
    columns = ImpactColumns(
        np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(held.distinct)]),
        document_terms,
        np.minimum(document_values, LARGE).astype(np.uint8),
        large,
        document_values[large],
        *ordered_by_impact(starts, documents, levels_of(values)),
    )
    for column in columns:
        column.setflags(write=False)  # numba compiles for arrays that can be written and others separately
    ids, ranks = ordered_ids(pa.array(doc_ids, pa.large_string()))
    fields = {"total": int(held.lengths.sum()), "filled": int(np.count_nonzero(held.distinct))}
    return ImpactSegment(columns, ids, ranks, vocabulary, fields=fields)


def ordered_by_impact(starts: NDArray[np.int64], documents: NDArray[np.int32], levels: NDArray[np.uint8]) -> Ordered:
    """Postings in groups and runs.

    Args:
        starts: Where the postings of each term start, int64 of shape (terms + 1,).
        documents: The document of each, ascending among the postings of a term of one level; int32.
        levels: The level of each.
    """
    from rankloom.retrieval.index.impact_order_kernel import order_by_impact

    size, terms = len(documents), len(starts) - 1
    term_groups = np.zeros(terms + 1, dtype=np.int64)
    blocks, counts, postings = (np.empty(size, dtype=np.uint16) for _ in range(3))
    group_runs, group_postings = np.empty(size, dtype=np.int64), np.empty(size, dtype=np.int64)
    run_levels = np.empty(size, dtype=np.uint8)
    groups, runs = order_by_impact(
        starts, documents, levels, term_groups[1:], blocks, group_runs, group_postings, run_levels, counts, postings
    )
    return Ordered(
        term_groups,
        np.diff(starts).astype(np.int32),
        blocks[:groups].copy(),
        np.append(group_runs[:groups], runs),
        np.append(group_postings[:groups], size),
        run_levels[:runs].copy(),
        counts[:runs].copy(),
        postings,
    )
