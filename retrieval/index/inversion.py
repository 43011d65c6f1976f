"""From documents, term by term, to a segment in memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankloom.retrieval.document_length import LENGTHS, length_codes
from rankloom.retrieval.index.columns import BLOCKS, DENSE, LARGE, Columns
from rankloom.retrieval.index.numbered import ordered_ids
from rankloom.retrieval.index.segment import Segment
from rankloom.retrieval.index.term_vectors import packed_by_document
from rankloom.retrieval.vocabulary import Vocabulary

_REFERENCE_K1, _REFERENCE_B = 0.9, 0.4  # bounds are tightest for these; others are as exact, if slower


class Inverted(NamedTuple):
    """Postings of some documents in the order of documents.

    Args:
        distinct: Terms of each document, int64 of shape (documents,).
        lengths: The sum of each document's values, int64 of shape (documents,).
        terms: Term numbers, int32 of shape (postings,).
        values: int32 of shape (postings,).
    """

    distinct: NDArray[np.int64]
    lengths: NDArray[np.int64]
    terms: NDArray[np.int32]
    values: NDArray[np.int32]


def reference_inverse(average: float) -> NDArray[np.float32]:
    """What frequencies are multiplied by for the bounds of blocks, by length byte; float32 of shape (256,)."""
    lengths = LENGTHS / max(average, 1e-9)
    return np.asarray(1.0 / (_REFERENCE_K1 * (1.0 - _REFERENCE_B + _REFERENCE_B * lengths)), dtype=np.float32)


def invert(doc_ids: list[str], held: Inverted, words: list[str], *, term_vectors: bool = False) -> Segment:
    """A segment of some documents.

    Args:
        doc_ids: Their ids, in the order of the documents.
        held: Their terms.
        words: The terms by their numbers; those that no document has are left out.
        term_vectors: Whether the segment also keeps the terms of each document together.
    """
    import pyarrow as pa

    from rankloom.retrieval.index.inversion_kernel import sort_by_term

    used = np.flatnonzero(np.bincount(held.terms, minlength=len(words)))
    vocabulary, places = Vocabulary.number([words[number] for number in used.tolist()])
    numbers = np.zeros(len(words), dtype=np.int32)
    numbers[used] = places
    starts = np.zeros(len(used) + 1, dtype=np.int64)
    documents, values = np.empty_like(held.terms), np.empty_like(held.values)
    sort_by_term(held.distinct, held.terms, held.values, numbers, starts, documents, values)
    filled, total = int(np.count_nonzero(held.distinct)), int(held.lengths.sum())
    norms = length_codes(held.lengths.astype(np.int32))
    reference = reference_inverse(total / max(1, filled))
    columns = in_runs(starts, documents, values, norms, reference, position=0)
    ids, ranks = ordered_ids(pa.array(doc_ids, pa.large_string()))
    fields = {"total": total, "filled": filled}
    vectors = packed_by_document(held.distinct, starts, documents, values) if term_vectors else None
    return Segment(columns, ids, ranks, vocabulary, reference, fields=fields, vectors=vectors)


def in_runs(
    starts: NDArray[np.int64],
    documents: NDArray[np.int32],
    values: NDArray[np.int32],
    norms: NDArray[np.uint8],
    reference: NDArray[np.float32],
    *,
    position: int,
) -> Columns:
    """Postings in the order of terms, as runs; the first value stands at `position` of the segment."""
    from rankloom.retrieval.index.compiled import Compiling
    from rankloom.retrieval.index.inversion_kernel import pack

    postings, terms = len(documents), len(starts) - 1
    large = int(np.count_nonzero(values >= LARGE))
    columns = Columns(
        term_runs=np.zeros(terms + 1, dtype=np.int64),
        term_places=starts,
        term_values=np.zeros(terms + 1, dtype=np.int64),
        term_bounds=np.zeros(terms + 1, dtype=np.int64),
        run_stretches=np.empty(postings, dtype=np.uint16),
        run_ones=np.empty(postings, dtype=np.uint16),
        run_others=np.empty(postings, dtype=np.uint16),
        places=np.empty(postings, dtype=np.uint16),
        values=np.empty(postings, dtype=np.uint8),
        bounds=np.empty(postings // DENSE * BLOCKS, dtype=np.uint8),
        norms=norms,
        large_positions=np.empty(large, dtype=np.int64),
        large_values=np.empty(large, dtype=np.int32),
    )
    with Compiling("indexing", pack):
        runs, size, bounded, _ = pack(starts, documents, values, norms, reference, position, columns)
    cut = {"run_stretches": runs, "run_ones": runs, "run_others": runs, "values": size, "bounds": bounded}
    columns = columns._replace(**{name: getattr(columns, name)[:end].copy() for name, end in cut.items()})
    for column in columns:
        column.setflags(write=False)  # numba compiles for arrays that can be written and others separately
    return columns
