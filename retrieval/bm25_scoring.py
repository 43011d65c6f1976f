"""BM25 as Lucene computes it, to the last bit of its float32 scores.

Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond, 2009, in the form of Lucene 8 and later:

    score = sum over query terms of  weight * idf * tf / (tf + k1 * (1 - b + b * length / average length))
    idf   = ln(1 + (N - df + 0.5) / (df + 0.5))

Lengths are rounded to a byte (`document_length`), N and the average count only documents that have a term, and there
is no factor (k1 + 1), which would not change the order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from rankloom.errors import DataError
from rankloom.order import Codes, Scores
from rankloom.retrieval.document_length import LENGTHS
from rankloom.retrieval.inverted_index import InvertedIndex


class LuceneBM25:
    """Scores the documents of an index against weighted terms.

    Args:
        index: The index.
        k1: How soon more occurrences of a term stop to matter; not negative.
        b: How much long documents are discounted, 0 to 1.

    Example:
        >>> from rankloom.ids import DocIds
        >>> index = InvertedIndex.of(DocIds.encode(["d1", "d2"])[0], [["blue", "sky"], ["sky"]])
        >>> codes, scores = LuceneBM25(index, k1=0.9, b=0.4).score({"blue": 1.0})
        >>> codes.tolist(), [round(float(score), 4) for score in scores]
        ([0], [0.3431])
    """

    def __init__(self, index: InvertedIndex, *, k1: float, b: float) -> None:
        self._index = index
        average = np.float32(index.total_terms / max(1, index.nonempty_documents))
        b32, lengths = np.float32(b), LENGTHS.astype(np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):  # no documents: no average; k1 = 0: infinite, as it should
            discount = np.float32(k1) * ((np.float32(1) - b32) + b32 * lengths / average)
            self._inverse = np.float32(1) / discount  # by length code, float32 of shape (256,)

    def idf(self, document_frequency: int) -> np.float32:
        """The weight of a term that occurs in so many documents."""
        rest = self._index.nonempty_documents - document_frequency
        return np.float32(math.log(1 + (rest + 0.5) / (document_frequency + 0.5)))

    def score(self, terms: Mapping[str, float]) -> tuple[Codes, Scores]:
        """All documents that hold a term, and their scores.

        Args:
            terms: Weights by term; terms that the index does not know, and weights of 0, add nothing.

        Returns:
            Codes, ascending, int32 of shape (documents,), and float32 scores of the same shape.

        Raises:
            DataError: A weight is NaN or infinite.
        """
        documents, frequencies, weights = [], [], []
        for term, boost in terms.items():
            if not math.isfinite(boost):
                raise DataError("the weight of a query term is not finite", stage="bm25", value={term: boost})
            found = self._index.postings(term)
            if boost and len(found.documents):
                documents.append(found.documents)
                frequencies.append(found.frequencies)
                weights.append(np.float32(boost) * self.idf(len(found.documents)))
        if not documents:
            return np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32)
        codes = np.concatenate(documents)
        weight = np.repeat(np.array(weights, dtype=np.float32), [len(one) for one in documents])
        saturated = np.concatenate(frequencies).astype(np.float32) * self._inverse[self._index.length_codes[codes]]
        # Lucene's own arrangement of the formula: another one rounds differently
        parts = np.asarray(weight - weight / (np.float32(1) + saturated), dtype=np.float32)
        return self._summed(codes, parts)

    def _summed(self, codes: Codes, parts: Scores) -> tuple[Codes, Scores]:
        """The sum of each document's parts; in float64, like Lucene, so the order of terms does not matter."""
        size = len(self._index)
        held = np.zeros(size, dtype=np.bool_)
        held[codes] = True
        documents = np.flatnonzero(held)
        sums = np.bincount(codes, weights=parts, minlength=size)
        return documents.astype(np.int32), sums[documents].astype(np.float32)
