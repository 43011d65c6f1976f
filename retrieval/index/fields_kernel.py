"""Scoring documents of several fields by BM25F, a stretch of documents at a time.

The frequencies of a term in all fields of a document become one number before that is saturated, so that a part of a
score is known only once all fields have been looked at.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankloom.retrieval.index.compiled import compiled

_STRETCH = 1 << 14  # documents whose sums are kept at a time, in the processor's cache


class FieldScoring(NamedTuple):
    """How the postings of a term in several fields become a part of the score.

    `weight - weight / (1 + sum over fields of value * inverse[field, length byte] + shift) + bonus`.

    Args:
        inverse: By field and length byte, float32 of shape (fields, 256).
        shift: See the formula.
        norms: The length byte of each field of each document, uint8 of shape (fields, documents).
    """

    inverse: NDArray[np.float32]
    shift: np.float32
    norms: NDArray[np.uint8]


@compiled
def score(
    documents: Any,
    values: Any,
    ends: Any,
    scoring: Any,
    weights: Any,
    bonuses: Any,
    codes: Any,
    found: Any,
    scores: Any,
) -> Any:
    """Score all documents that hold a term of one query.

    Args:
        documents: Postings of the query's terms, those of a term field by field, int32; ascending within each list.
        values: int32 of the same shape.
        ends: One past the last posting of each list, int64 of shape (terms, fields).
        scoring: The formula.
        weights: Of the terms, float32.
        bonuses: Of the terms, float32.
        codes: What a document is called in the result, -1 for a deleted one; int32. Empty: its number.
        found: Receives the codes of documents, int32.
        scores: Receives their scores, float32.

    Returns:
        How many documents there are.
    """
    inverse, norms = scoring.inverse, scoring.norms
    terms, fields = ends.shape
    cursors, stops = np.zeros((terms, fields), dtype=np.int64), np.zeros((terms, fields), dtype=np.int64)
    for number in range(1, terms * fields):
        cursors[number // fields, number % fields] = ends[(number - 1) // fields, (number - 1) % fields]
    sums = np.zeros(_STRETCH, dtype=np.float64)
    frequencies = np.full(_STRETCH, np.float32(-1), dtype=np.float32)  # of one term; -1: it is in no field
    held = np.zeros(_STRETCH, dtype=np.bool_)
    seen = np.empty(_STRETCH, dtype=np.int64)
    size = 0
    for first in range(0, norms.shape[1], _STRETCH):
        count = 0
        for term in range(terms):
            for field in range(fields):
                place, end = cursors[term, field], ends[term, field]
                while place < end and documents[place] < first + _STRETCH:
                    document = documents[place] - first
                    part = np.float32(values[place]) * inverse[field, norms[field, documents[place]]]
                    frequencies[document] = part if frequencies[document] < 0 else frequencies[document] + part
                    place += 1
                stops[term, field] = place
            weight, bonus = weights[term], bonuses[term]
            for field in range(fields):
                for place in range(cursors[term, field], stops[term, field]):
                    document = documents[place] - first
                    if frequencies[document] < 0:
                        continue  # added with another field
                    saturated = np.float32(1) + (frequencies[document] + scoring.shift)
                    if not held[document]:
                        held[document], seen[count] = True, document
                        count += 1
                    sums[document] += np.float64((weight - weight / saturated) + bonus)
                    frequencies[document] = np.float32(-1)
                cursors[term, field] = stops[term, field]
        for number in range(count):
            document = seen[number]
            whole = first + document
            code = codes[whole] if len(codes) else np.int32(whole)
            if code >= 0:
                found[size], scores[size] = code, np.float32(sums[document])
                size += 1
            held[document], sums[document] = False, 0.0
    return size
