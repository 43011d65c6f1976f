"""RM3: a query of weighted terms, half the user's words and half those of the documents found first."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rankloom.checks import between
from rankloom.prf.term_feedback import Expansion, FeedbackDocument, TermFeedback, heaviest, scaled, summed
from rankloom.prf.term_filter import TermFilter
from rankloom.sources import TermSource
from rankloom.stage import Retriever
from rankloom.weighted_terms import Terms


class RM3(TermFeedback):
    """Expand each query with terms of its best documents (Abdul-Jaleel et al., TREC 2004).

    The arithmetic is that of Anserini's `Rm3Reranker`. Each feedback document is cut down to its `terms` most frequent
    feedback terms, whose frequencies are divided by their sum; a term of the relevance model weighs the sum of these
    over the documents, each multiplied by the document's score; the best `terms` remain and are scaled to sum to 1.
    The new query is `weight` times the analysed query (scaled likewise) plus `1 - weight` times that model. Terms
    of equal weight are taken in ascending order.

    Documents weigh as much as their scores. Logits, and lists with a negative score, are put through a softmax
    first; scores that only stand for positions (`ScoreKind.RANK`) weigh all the same.

    A query that holds weighted terms already is expanded from these instead of its text. Over a learned index, weights
    take the place of frequencies. Queries without feedback, and documents that say nothing, are noted as
    `TermFeedback` says; of an index of fewer than `1 / max_df` documents, each term is in too many.

    Args:
        docs: Feedback documents: the best of the ranking (Anserini: 10).
        terms: Feedback terms (Anserini: 10).
        weight: Share of the original query, from 0 to 1 (Anserini: 0.5).
        max_df: A term that occurs in more than this share of all documents is no feedback term (Anserini: 0.1).
        ascii_terms: Take only words of the characters a-z and 0-9, as Anserini does; put it off for other scripts.
            Words have 2 to 20 characters either way; see `TermFilter`, also for learned terms.
        retriever: Whose index is read; by default the retriever that follows in the pipeline.

    Raises:
        UsageError: A parameter is out of range.
        CompositionError: The retriever is not one over terms.

    Example:
        >>> RM3(docs=5).weight
        0.5
    """

    name = "rm3"
    version = 2  # notes of documents without terms, and of why there is no feedback

    def __init__(
        self,
        *,
        docs: int = 10,
        terms: int = 10,
        weight: float = 0.5,
        max_df: float = 0.1,
        ascii_terms: bool = True,
        retriever: Retriever | None = None,
    ) -> None:
        super().__init__(docs, terms, retriever)
        self.weight = between(weight, 0, 1, stage=self.name, parameter="weight")
        self.max_df = between(max_df, 0, 1, stage=self.name, parameter="max_df")
        self.ascii_terms = ascii_terms

    def _scaled_query(self, terms: Terms) -> Terms:
        """The query as a language model: weights that sum to 1."""
        return scaled(terms)

    def _expansion(self, original: Terms, documents: Sequence[FeedbackDocument], source: TermSource) -> Expansion:
        """The query interpolated with the relevance model of its documents."""
        terms = TermFilter(self.max_df, self.ascii_terms)
        passing = terms.passing(documents, source)
        if not passing:
            return Expansion(original, reason=terms.reason(documents, source))
        sums, by_document = summed((one.doc_id, self._weighted(one, passing)) for one in documents)
        best = heaviest(sums, self.terms)
        model, total = scaled(best), math.fsum(best.values())
        if not total:
            return Expansion(original, reason="the documents that the index holds have a score of 0")
        share = (1 - self.weight) / total
        return Expansion(
            {term: self.weight * value for term, value in original.items()},
            {term: (1 - self.weight) * value for term, value in model.items()},
            {term: {doc_id: part * share for doc_id, part in by_document[term].items()} for term in model},
        )

    def _weighted(self, document: FeedbackDocument, passing: set[str]) -> Terms:
        """A document's most frequent terms as shares of its weight."""
        held = {term: value for term, value in document.terms.items() if term in passing}
        return {term: share * document.weight for term, share in scaled(heaviest(held, self.terms)).items()}
