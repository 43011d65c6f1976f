"""Vector feedback over learned sparse vectors: the query's weighted terms moved towards those of its best documents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rankloom.errors import CompositionError
from rankloom.prf.mixture import Method, Mixture
from rankloom.prf.term_feedback import Expansion, FeedbackDocument, TermFeedback, heaviest, summed
from rankloom.sources import CountedTermSource, TermSource
from rankloom.stage import Retriever
from rankloom.weighted_terms import Terms


class SparseVectorPRF(TermFeedback):
    """Replace each query's weighted terms by a mixture of them and those of its best documents.

    The formulas are those of `VectorPRF` (Li et al., TOIS 2023), over vectors with one number for each term: weights
    are the model's own, nothing is normalised, and no term is refused for being frequent (a learned index has weighed
    that). Of the mixture the heaviest `terms` are kept, so that searching stays fast; weights of 0 or less, which
    negatives may leave, are dropped. Over BM25, whose counts are not what it scores by, use `TermRocchio`, which brings
    vectors to length 1.

    A query that holds weighted terms already is moved from these instead of its text. Queries without feedback, and
    documents that say nothing, are noted as `TermFeedback` says, and left out of their mean.

    Args:
        docs: Feedback documents; by default 3 for `average` and 5 for `rocchio`, as for `VectorPRF`.
        method: `average` or `rocchio`.
        alpha: For `rocchio`: weight of the query, 0.4 by default, as for `VectorPRF`.
        beta: For `rocchio`: weight of the mean of the best documents, 0.6 by default.
        gamma: For `rocchio`: weight of the mean of the last documents.
        negatives: For `rocchio`: how many of the last documents, never any of the best.
        terms: How many terms of the mixture are kept; 128, about as many as a SPLADE document has.
        retriever: Whose index is read; by default the retriever that follows in the pipeline.

    Raises:
        UsageError: A parameter is out of range or belongs to the other method, the weights are all 0, or one of `gamma`
            and `negatives` is given without the other.
        CompositionError: The retriever is not one over learned weights.

    Example:
        >>> SparseVectorPRF(method="rocchio").docs
        5
    """

    name = "sparse_vector_prf"

    def __init__(
        self,
        *,
        docs: int | None = None,
        method: Method = "average",
        alpha: float | None = None,
        beta: float | None = None,
        gamma: float = 0.0,
        negatives: int = 0,
        terms: int = 128,
        retriever: Retriever | None = None,
    ) -> None:
        self._mixture = Mixture.checked(
            method, docs=docs, alpha=alpha, beta=beta, gamma=gamma, negatives=negatives, stage=self.name
        )
        super().__init__(self._mixture.docs, terms, retriever)
        _, self.alpha, self.beta, self.gamma, self.negatives = self._mixture
        self.method: Method = method
        if retriever is not None and issubclass(retriever.stands_for, CountedTermSource):
            raise CompositionError(
                "mixes learned weights, and the index counts words",
                stage=self.name,
                value=retriever.name,
                accepted="a retriever over learned weights, such as LearnedSparse",
                fix="use term_rocchio",
            )

    def _scaled_query(self, terms: Terms) -> Terms:
        """The query as it is."""
        return terms

    def _expansion(self, original: Terms, documents: Sequence[FeedbackDocument], source: TermSource) -> Expansion:  # noqa: ARG002  # the index has nothing to add
        """The query and the documents in their shares, cut down to the heaviest terms."""
        best = [one for one in documents if not one.negative]
        last = [one for one in documents if one.negative]
        alpha, beta = (float(share[0]) for share in self._mixture.shares(np.array([len(best)])))
        shares = [(one, beta / len(best)) for one in best] + [(one, -self.gamma / len(last)) for one in last]
        moved, parts = summed(
            (one.doc_id, {term: share * weight for term, weight in one.terms.items()}) for one, share in shares
        )
        own = {term: alpha * weight for term, weight in original.items()}
        mixed = {term: own.get(term, 0.0) + moved.get(term, 0.0) for term in own.keys() | moved.keys()}
        kept = heaviest({term: weight for term, weight in mixed.items() if weight > 0}, self.terms)
        if not kept:
            return Expansion(original, reason="no term of the mixture weighs more than 0")
        return Expansion(
            {term: weight for term, weight in own.items() if term in kept},
            {term: weight for term, weight in moved.items() if term in kept},
            {term: by_document for term, by_document in parts.items() if term in kept},
        )
