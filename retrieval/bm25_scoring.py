"""BM25 in five variants, Lucene's to the last bit of its float32 scores.

Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond, 2009; the variants as in Kamphuis et
al., Which BM25 Do You Mean?, ECIR 2020:

    score = sum over query terms of  weight * idf * tf part,   K = k1 * (1 - b + b * length / average length)

    lucene      ln(1 + (N - df + 0.5) / (df + 0.5))       tf / (tf + K)
    robertson   max(0, ln((N - df + 0.5) / (df + 0.5)))   tf / (tf + K)
    atire       ln(N / df)                                (k1 + 1) * tf / (tf + K)
    bm25+       ln((N + 1) / df)                          (k1 + 1) * tf / (tf + K) + delta
    bm25l       ln((N + 1) / (df + 0.5))                  (k1 + 1) * (c + delta) / (k1 + c + delta),  c = tf * k1 / K

Lengths are rounded to a byte (`document_length`), and N and the average count only documents that have a term. All
five are one formula for the kernels: `w - w / (1 + tf / K + shift) + bonus`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import UsageError
from rankloom.retrieval.document_length import LENGTHS
from rankloom.retrieval.index.batches import Hits
from rankloom.retrieval.index.impact_index import ImpactIndex
from rankloom.retrieval.index.queries import check_weights, in_order, weighted_terms
from rankloom.retrieval.index.segment import Segment
from rankloom.score_parts import TermPart

if TYPE_CHECKING:
    from rankloom.retrieval.index.search_kernel import Scoring

Variant = Literal["lucene", "robertson", "atire", "bm25+", "bm25l"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
#: delta of the variants that have one, as their authors set it (Lv and Zhai, CIKM 2011 and SIGIR 2011).
DELTAS: Mapping[str, float] = {"bm25+": 1.0, "bm25l": 0.5}
#: The weight of a term from how many documents there are, and how many hold it.
_IDF: Mapping[Variant, Callable[[int, int], float]] = {
    "lucene": lambda documents, df: math.log(1 + (documents - df + 0.5) / (df + 0.5)),
    "robertson": lambda documents, df: max(0.0, math.log((documents - df + 0.5) / (df + 0.5))),
    "atire": lambda documents, df: math.log(documents / df),
    "bm25+": lambda documents, df: math.log((documents + 1) / df),
    "bm25l": lambda documents, df: math.log((documents + 1) / (df + 0.5)),
}


class BM25Scoring:
    """Scores the documents of an index against weighted terms.

    Args:
        index: An index of frequencies.
        k1: How soon more occurrences of a term stop to matter; not negative.
        b: How much long documents are discounted, 0 to 1.
        variant: Which BM25.
        delta: The least that an occurrence counts, for `bm25+` and `bm25l`; by default their authors' 1 and 0.5.

    Raises:
        UsageError: It is an index of impacts, or a delta for a variant that has none.

    Example:
        >>> index = ImpactIndex.of(["d1", "d2"], [{"blue": 1, "sky": 1}, {"sky": 1}])
        >>> hits = BM25Scoring(index, k1=0.9, b=0.4).search([{"blue": 1.0}], 10)
        >>> hits.codes.tolist(), [round(float(score), 4) for score in hits.scores]
        ([0], [0.3431])
    """

    def __init__(
        self, index: ImpactIndex, *, k1: float, b: float, variant: Variant = "lucene", delta: float | None = None
    ) -> None:
        if index.linear:
            raise UsageError("the index holds impacts, not frequencies", stage="bm25", fix="use search_impacts")
        if delta is not None and variant not in DELTAS:
            raise UsageError(
                "this variant has no delta", stage="bm25", value=delta, accepted=", ".join(DELTAS), fix="leave it out"
            )
        self._index, self._variant = index, variant
        self._delta = delta if delta is not None else DELTAS.get(variant, 0.0)
        self._documents = index.nonempty_documents
        self._inverse = inverse_discount(k1, b, self.average_length)
        with np.errstate(all="ignore"):  # k1 = 0: infinite, as it should
            self._shift = np.float32(self._delta) / np.float32(k1) if variant == "bm25l" else np.float32(0)
        self._scorings: dict[str, Scoring] = {}
        self._factor = k1 + 1 if variant in ("atire", "bm25+", "bm25l") else 1.0

    def idf(self, document_frequency: int) -> np.float32:
        """The weight of a term that occurs in so many documents."""
        return np.float32(_IDF[self._variant](self._documents, document_frequency))

    def search(self, queries: Sequence[Mapping[str, float]], k: int) -> Hits:
        """The best k documents of each query, those that hold none of its terms left out.

        Args:
            queries: Weights by term; terms that the index does not know, and weights of 0, add nothing.
            k: How many hits a query gets at most.

        Raises:
            DataError: A weight is NaN, infinite, or beyond what float32 scores can hold.
        """
        frequencies = self._frequencies(queries)
        weighted = [self._weights(query, frequencies) for query in queries]
        return self._index.search(weighted_terms(weighted), k, self._scoring)

    def explain(self, query: Mapping[str, float], code: int) -> tuple[np.float32, list[TermPart]]:
        """The score of one document, and what each term adds to it, computed as the kernels do.

        Args:
            query: As for `search`.
            code: The document's code.

        Raises:
            DataError: A weight is NaN, infinite, or beyond what float32 scores can hold.
        """
        frequencies, values = self._frequencies([query]), self._index.term_vector(code)
        inverse = self._inverse[self._index.length_code(code)]
        parts: list[TermPart] = []
        total = 0.0
        for word, (weight, bonus) in in_order(self._weights(query, frequencies)):
            if word in values:
                saturated = np.float32(1) + (np.float32(values[word]) * inverse + self._shift)
                part = (weight - weight / saturated) + bonus
                total += float(part)
                idf = float(self.idf(frequencies[word]))
                parts.append(TermPart(word, float(query[word]), values[word], idf, float(part)))
        return np.float32(total), parts

    def facts(self, code: int) -> dict[str, float]:
        """The length of a document, as it is kept, and the average."""
        return {"length": int(LENGTHS[self._index.length_code(code)]), "average length": self.average_length}

    def document_frequencies(self, terms: Sequence[str]) -> NDArray[np.int64]:
        """In how many documents each term occurs, int64 of shape (terms,)."""
        return self._index.document_frequencies(terms)

    def collection_frequencies(self, terms: Sequence[str]) -> NDArray[np.int64]:
        """How often each term occurs in all documents together, int64 of shape (terms,)."""
        return self._index.collection_frequencies(terms)

    @property
    def collection_length(self) -> int:
        """How many terms all documents have together, repeated as they occur."""
        return self._index.total_terms

    def term_vectors(self, codes: NDArray[np.int32]) -> list[dict[str, int]]:
        """Terms of documents and their frequencies."""
        return self._index.term_vectors(codes)

    @property
    def average_length(self) -> float:
        """Terms in a document on average, over documents that have any."""
        return self._index.total_terms / max(1, self._index.nonempty_documents)

    def _frequencies(self, queries: Sequence[Mapping[str, float]]) -> dict[str, int]:
        """In how many documents each term of some queries occurs."""
        words = list({word: None for query in queries for word in query})
        return dict(zip(words, self.document_frequencies(words).tolist(), strict=True))

    def _weights(
        self, query: Mapping[str, float], frequencies: Mapping[str, int]
    ) -> dict[str, tuple[np.float32, np.float32]]:
        """Weight and bonus of the terms of a query that the index knows.

        Raises:
            DataError: One is NaN, infinite, or beyond what float32 scores can hold.
        """
        check_weights(query, stage="bm25")
        asked = [(word, boost) for word, boost in query.items() if boost and frequencies[word]]
        found = {word: self._weight(boost, frequencies[word]) for word, boost in asked}
        check_weights({word: weight + bonus for word, (weight, bonus) in found.items()}, stage="bm25")
        return found

    def _weight(self, boost: float, frequency: int) -> tuple[np.float32, np.float32]:
        """The weight and bonus of a query term."""
        weight = np.float32(boost) * self.idf(frequency)
        bonus = weight * np.float32(self._delta) if self._variant == "bm25+" else np.float32(0)
        return (weight if self._factor == 1.0 else weight * np.float32(self._factor)), bonus

    def _scoring(self, segment: Segment) -> Scoring:
        """How a segment's postings are scored; its bounds were made for other lengths and parameters."""
        from rankloom.retrieval.index.search_kernel import Scoring

        if segment.name in self._scorings:
            return self._scorings[segment.name]
        with np.errstate(divide="ignore", invalid="ignore"):
            byte = np.arange(256) / 255.0
            stretches = self._inverse.astype(np.float64) / segment.reference
            stretch = np.max(stretches[segment.length_bytes]) if segment.total else 1.0
            reach = byte / (1.0 - byte) * stretch + np.float64(self._shift)
        reach[0] = self._shift
        made = Scoring(inverse=self._inverse, shift=self._shift, bounds=reach)
        return self._scorings.setdefault(segment.name, made)


def inverse_discount(k1: float, b: float, average: float) -> NDArray[np.float32]:
    """What frequencies are multiplied by, `1 / K`, by length byte; float32 of shape (256,)."""
    b32, lengths = np.float32(b), LENGTHS.astype(np.float32)
    with np.errstate(all="ignore"):  # no documents: no average; k1 = 0: infinite, as it should
        discount = np.float32(k1) * ((np.float32(1) - b32) + b32 * lengths / np.float32(average))
        return np.asarray(np.float32(1) / discount, dtype=np.float32)
