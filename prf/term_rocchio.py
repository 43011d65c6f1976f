"""Rocchio over terms: the query moved towards its best documents, and away from its last, as vectors of terms."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rankloom.checks import between, whole
from rankloom.errors import UsageError
from rankloom.prf.term_feedback import Expansion, FeedbackDocument, TermFeedback, heaviest, summed
from rankloom.prf.term_filter import TermFilter
from rankloom.sources import TermSource
from rankloom.stage import Retriever
from rankloom.weighted_terms import Terms

_LARGEST_WEIGHT = 1e6  # only keeps infinity and NaN out


class TermRocchio(TermFeedback):
    """Move each query towards the terms of its best documents (Rocchio, in The SMART Retrieval System, 1971).

    The arithmetic is that of Anserini's `RocchioReranker`: `alpha` times the query, plus `beta` times the mean of the
    best documents, minus `gamma` times the mean of the last `negatives` (never any of the best). Query and documents
    are vectors of frequencies of length 1; a mean is cut down to its heaviest `terms` and brought to length 1 again.
    Terms of weight 0 or less are left out of the new query, terms of equal weight taken in ascending order.

    Over a learned index, weights take the place of frequencies; vectors of weighted terms are what the method was made
    for. Every document counts the same, whatever its score. A query that holds weighted terms already is expanded from
    these instead of its text. Queries without feedback, and documents that say nothing, are noted as `TermFeedback`
    says; of an index of fewer than `1 / max_df` documents, each term is in too many.

    Args:
        docs: Feedback documents: the best of the ranking (Anserini: 10).
        terms: Terms of each mean (Anserini: 10).
        alpha: Weight of the query (Anserini: 1).
        beta: Weight of the best documents (Anserini: 0.75).
        gamma: Weight of the last documents (Anserini: 0.15 where it is asked for negatives; it is not by default).
        negatives: How many of the last documents.
        max_df: A term that occurs in more than this share of all documents is no feedback term (Anserini: 0.1).
        retriever: Whose index is read; by default the retriever that follows in the pipeline.

    Raises:
        UsageError: A parameter is out of range, or one of `gamma` and `negatives` is given without the other.
        CompositionError: The retriever is not one over terms.

    Example:
        >>> TermRocchio(docs=5).beta
        0.75
    """

    name = "term_rocchio"

    def __init__(
        self,
        *,
        docs: int = 10,
        terms: int = 10,
        alpha: float = 1.0,
        beta: float = 0.75,
        gamma: float = 0.0,
        negatives: int = 0,
        max_df: float = 0.1,
        retriever: Retriever | None = None,
    ) -> None:
        super().__init__(docs, terms, retriever)
        self.alpha = between(alpha, 0, _LARGEST_WEIGHT, stage=self.name, parameter="alpha")
        self.beta = between(beta, 0, _LARGEST_WEIGHT, stage=self.name, parameter="beta")
        self.gamma = between(gamma, 0, _LARGEST_WEIGHT, stage=self.name, parameter="gamma")
        self.negatives = whole(negatives, least=0, stage=self.name, parameter="negatives")
        self.max_df = between(max_df, 0, 1, stage=self.name, parameter="max_df")
        if bool(gamma) != bool(negatives):
            raise UsageError(
                "gamma weighs the negatives",
                stage=self.name,
                value={"gamma": gamma, "negatives": negatives},
                fix="give both gamma and negatives, or neither",
            )

    def _scaled_query(self, terms: Terms) -> Terms:
        """The query as a vector of length 1."""
        return _unit(terms)

    def _expansion(self, original: Terms, documents: Sequence[FeedbackDocument], source: TermSource) -> Expansion:
        """The query plus the mean of the best documents, minus that of the last."""
        terms = TermFilter(self.max_df, ascii_terms=False)
        passing = terms.passing(documents, source)
        best = self._mean([one for one in documents if not one.negative], passing, self.beta)
        last = self._mean([one for one in documents if one.negative], passing, -self.gamma)
        if not best:
            return Expansion(original, reason=terms.reason([one for one in documents if not one.negative], source))
        own = {term: self.alpha * weight for term, weight in original.items()}
        parts = {term: {**best.get(term, {}), **last.get(term, {})} for term in best.keys() | last.keys()}
        moved = {term: math.fsum(by_document.values()) for term, by_document in parts.items()}
        kept = {term for term in own.keys() | moved.keys() if own.get(term, 0.0) + moved.get(term, 0.0) > 0}
        return Expansion(
            {term: weight for term, weight in own.items() if term in kept},
            {term: weight for term, weight in moved.items() if term in kept},
            parts,
        )

    def _mean(
        self, documents: Sequence[FeedbackDocument], passing: set[str], weight: float
    ) -> dict[str, dict[str, float]]:
        """The heaviest terms of the mean of some documents: term -> document -> its part, together of some length."""
        vectors = (
            (one.doc_id, _unit({term: value for term, value in one.terms.items() if term in passing}))
            for one in documents
        )
        sums, by_document = summed(vectors)
        mean = heaviest(sums, self.terms)
        scale = weight / _length(mean) if mean else 0.0
        return {term: {doc_id: part * scale for doc_id, part in by_document[term].items()} for term in mean}


def _unit(terms: Terms) -> dict[str, float]:
    """A vector brought to length 1; one of no length has no terms."""
    length = _length(terms)
    return {term: weight / length for term, weight in terms.items()} if length else {}


def _length(terms: Terms) -> float:
    """The length of a vector."""
    return math.sqrt(math.fsum(weight * weight for weight in terms.values()))
