"""BM25F: BM25 over documents of several fields, each with a weight and a length of its own.

Zaragoza, Craswell, Taylor, Saria and Robertson, Microsoft Cambridge at TREC 13, 2004:

    score = sum over query terms of  weight * idf * F / (k1 + F)
    F     = sum over fields of  field weight * tf / (1 - b + b * length / average length)

F replaces tf / (1 - b + b * length / average) in each variant of `bm25_scoring`, whose scores are those of BM25F with
one field of weight 1. A sum of each field's own BM25 (Lucene's query over several fields) is not offered: it counts
a term that stands in title and text as two different words, each saturated and weighed by its own rarity. Averages
are over the documents that have the field, and idf is of documents that hold the term in any field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from rankloom.retrieval.bm25_scoring import BM25Scoring, Variant, inverse_discount
from rankloom.retrieval.document_length import LENGTHS, length_codes
from rankloom.retrieval.index.batches import Hits
from rankloom.retrieval.index.fields import field_term, without_fields
from rankloom.retrieval.index.impact_index import ImpactIndex
from rankloom.retrieval.index.postings import postings_of
from rankloom.retrieval.index.queries import in_order, weighted_terms
from rankloom.retrieval.index.segment import Segment
from rankloom.score_parts import TermPart

if TYPE_CHECKING:
    from rankloom.retrieval.index.fields_kernel import FieldScoring

#: The lengths of fields in each segment, which scorings of all parameters share.
_lengths: WeakKeyDictionary[Segment, dict[tuple[str, ...], NDArray[np.uint8]]] = WeakKeyDictionary()


class BM25FScoring(BM25Scoring):
    """Scores the documents of an index of fields against weighted terms.

    Args:
        index: An index of frequencies with fields.
        fields: Names of fields and their weights, above 0. The order does not matter.
        field_b: `b` of some of them; the others take `b`.
        k1: As for `BM25Scoring`.
        b: As for `BM25Scoring`.
        variant: As for `BM25Scoring`.
        delta: As for `BM25Scoring`.

    Raises:
        UsageError: It is an index of impacts, or a delta for a variant that has none.
    """

    def __init__(
        self,
        index: ImpactIndex,
        fields: Mapping[str, float],
        *,
        field_b: Mapping[str, float],
        k1: float,
        b: float,
        variant: Variant = "lucene",
        delta: float | None = None,
    ) -> None:
        self._fields = sorted(fields)
        super().__init__(index, k1=k1, b=b, variant=variant, delta=delta)
        filled = index.document_frequencies(self._fields)
        self._averages = index.collection_frequencies(self._fields) / np.maximum(filled, 1)
        rows = [
            np.float32(fields[field]) * inverse_discount(k1, field_b.get(field, b), average)
            for field, average in zip(self._fields, self._averages.tolist(), strict=True)
        ]
        self._inverses: NDArray[np.float32] = np.array(rows, dtype=np.float32)  # of shape (fields, 256)
        self._weights_of_fields = dict(fields)
        self._known: dict[str, int] = {}  # in how many documents a term occurs, in any field
        self._field_scorings: dict[str, FieldScoring] = {}

    def search(self, queries: Sequence[Mapping[str, float]], k: int) -> Hits:
        """As for `BM25Scoring`."""
        frequencies = self._frequencies(queries)
        weighted = weighted_terms([self._weights(query, frequencies) for query in queries])
        return self._index.search_fields(weighted, self._fields, k, self._field_scoring)

    def explain(self, query: Mapping[str, float], code: int) -> tuple[np.float32, list[TermPart]]:
        """As for `BM25Scoring`; the value of a term is its frequency by the weights of the fields."""
        frequencies, values = self._frequencies([query]), self._index.term_vector(code)
        codes = length_codes(np.array([values.get(field, 0) for field in self._fields], dtype=np.int32))
        discounts = self._inverses[np.arange(len(self._fields)), codes]
        parts: list[TermPart] = []
        total = 0.0
        for word, (weight, bonus) in in_order(self._weights(query, frequencies)):
            counts = [values.get(field_term(field, word), 0) for field in self._fields]
            held = [np.float32(count) * one for count, one in zip(counts, discounts, strict=True) if count]
            if not held:
                continue
            frequency = held[0]
            for one in held[1:]:
                frequency = frequency + one
            part = (weight - weight / (np.float32(1) + (frequency + self._shift))) + bonus
            total += float(part)
            weighed = sum(
                self._weights_of_fields[field] * count for field, count in zip(self._fields, counts, strict=True)
            )
            idf = float(self.idf(frequencies[word]))
            parts.append(TermPart(word, float(query[word]), weighed, idf, float(part)))
        return np.float32(total), parts

    def facts(self, code: int) -> dict[str, float]:
        """The length of each field of a document, and its average."""
        values = self._index.term_vector(code)
        found: dict[str, float] = {}
        for field, average in zip(self._fields, self._averages.tolist(), strict=True):
            length = np.array([values.get(field, 0)], dtype=np.int32)
            found[f"{field} length"] = int(LENGTHS[length_codes(length)[0]])
            found[f"average {field} length"] = average
        return found

    @property
    def average_length(self) -> float:
        """Terms in all of the fields together on average, over documents that have any."""
        documents = int(self._index.documents_with_any([self._fields])[0])
        return float(self.collection_length) / max(1, documents)

    @property
    def collection_length(self) -> int:
        """How many terms all of the fields of all documents have together, repeated as they occur."""
        return int(self._index.collection_frequencies(self._fields).sum())

    def collection_frequencies(self, terms: Sequence[str]) -> NDArray[np.int64]:
        """How often each term occurs in all of the fields of all documents, int64 of shape (terms,)."""
        names = [field_term(field, term) for term in terms for field in self._fields]
        counts = self._index.collection_frequencies(names).reshape(len(terms), len(self._fields))
        return np.asarray(counts.sum(axis=1), dtype=np.int64)

    def document_frequencies(self, terms: Sequence[str]) -> NDArray[np.int64]:
        """In how many documents each term occurs, in any of the fields; int64 of shape (terms,)."""
        new = [term for term in dict.fromkeys(terms) if term not in self._known]
        groups = [[field_term(field, term) for field in self._fields] for term in new]
        counts = dict(zip(new, self._index.documents_with_any(groups).tolist(), strict=True))
        self._known.update({term: count for term, count in counts.items() if count})
        return np.array([self._known.get(term, 0) for term in terms], dtype=np.int64)

    def term_vectors(self, codes: NDArray[np.int32]) -> list[dict[str, int]]:
        """Terms of documents and how often each occurs in all of the fields together."""
        return [without_fields(vector, self._fields) for vector in self._index.term_vectors(codes)]

    def _field_scoring(self, segment: Segment) -> FieldScoring:
        """How a segment's postings are scored."""
        from rankloom.retrieval.index.fields_kernel import FieldScoring

        if segment.name not in self._field_scorings:
            norms = _lengths_of(segment, tuple(self._fields))
            self._field_scorings[segment.name] = FieldScoring(self._inverses, self._shift, norms)
        return self._field_scorings[segment.name]


def _lengths_of(segment: Segment, fields: tuple[str, ...]) -> NDArray[np.uint8]:
    """The length byte of each field of each document, uint8 of shape (fields, documents)."""
    kept = _lengths.setdefault(segment, {})
    if fields not in kept:
        found = np.zeros((len(fields), len(segment)), dtype=np.uint8)
        for row, number in enumerate(segment.vocabulary.numbers(list(fields)).tolist()):
            if number >= 0:
                documents, lengths = postings_of(segment, number)
                found[row, documents] = length_codes(lengths)
        kept[fields] = found
    return kept[fields]
