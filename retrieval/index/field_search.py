"""Searching documents of several fields, over all segments of a commit."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from rankloom.order import top_order
from rankloom.retrieval.index.batches import Hits
from rankloom.retrieval.index.fields import field_term
from rankloom.retrieval.index.postings import postings_of
from rankloom.retrieval.index.queries import Searched, WeightedTerms

_SAMPLE = 1 << 14  # scores whose k-th best is a bound for all, found in a tenth of the time that sorting out all takes


def search_fields(
    segments: Sequence[Searched], fields: Sequence[str], queries: WeightedTerms, k: int, *, threads: int = 1
) -> Hits:
    """The best k documents of every query; all postings of its terms are scored.

    Args:
        segments: Where to look; scored by a `FieldScoring` each.
        fields: Names of the fields, as in the scoring.
        queries: What for; terms without a field.
        k: How many hits a query gets at most.
        threads: How many threads share the queries.
    """

    def found(number: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        parts = [_scored(one, fields, queries, number) for one in segments if len(one.segment)]
        codes = np.concatenate([np.zeros(0, dtype=np.int32), *(codes for codes, _ in parts)])
        scores = np.concatenate([np.zeros(0, dtype=np.float32), *(scores for _, scores in parts)])
        hopeful = _hopeful(scores, k)
        best = hopeful[top_order(codes[hopeful], scores[hopeful], k)]
        return codes[best], scores[best]

    numbers = range(len(queries.offsets) - 1)
    if threads > 1 and len(numbers) > 1:
        with ThreadPoolExecutor(threads) as pool:
            hits = list(pool.map(found, numbers))
    else:
        hits = [found(number) for number in numbers]
    counts = np.array([0, *(len(codes) for codes, _ in hits)], dtype=np.int64)
    return Hits(
        np.cumsum(counts),
        np.concatenate([np.zeros(0, dtype=np.int32), *(codes for codes, _ in hits)]),
        np.concatenate([np.zeros(0, dtype=np.float32), *(scores for _, scores in hits)]),
    )


def _hopeful(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Where the scores are that may be among the best k: those not below the k-th best of the first ones."""
    if len(scores) <= _SAMPLE or k > _SAMPLE // 4:
        return np.arange(len(scores))
    return np.flatnonzero(scores >= np.partition(scores[:_SAMPLE], -k)[-k])


def _scored(
    searched: Searched, fields: Sequence[str], queries: WeightedTerms, number: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Codes and scores of the documents of a segment that hold a term of a query."""
    from rankloom.retrieval.index.compiled import Compiling
    from rankloom.retrieval.index.fields_kernel import score

    segment, codes, scoring = searched
    begin, end = queries.offsets[[number, number + 1]].tolist()
    names = [field_term(field, word) for word in queries.words[begin:end] for field in fields]
    nothing = np.zeros(0, dtype=np.int32)
    lists = [
        postings_of(segment, term) if term >= 0 else (nothing, nothing)
        for term in segment.vocabulary.numbers(names).tolist()
    ]
    documents = np.concatenate([nothing, *(documents for documents, _ in lists)])
    values = np.concatenate([nothing, *(values for _, values in lists)])
    ends = np.cumsum([len(documents) for documents, _ in lists], dtype=np.int64).reshape(-1, len(fields))
    room = min(len(segment), len(documents))
    found, scores = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.float32)
    with Compiling("searching", score):
        size = score(
            documents,
            values,
            ends,
            scoring,
            queries.weights[begin:end],
            queries.bonuses[begin:end],
            codes,
            found,
            scores,
        )
    return found[:size], scores[:size]
