"""What Bo1 and KL share: terms are weighed by how far they diverge from chance in the best documents taken together.

Amati: Probabilistic Models for Information Retrieval based on Divergence from Randomness, PhD thesis, Glasgow, 2003.
The arithmetic is Terrier's (`DFRBagExpansionTerms`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from rankloom.checks import between, whole
from rankloom.prf.term_feedback import Expansion, FeedbackDocument, TermFeedback, heaviest, summed
from rankloom.sources import CountedTermSource, TermSource
from rankloom.stage import Retriever
from rankloom.weighted_terms import Terms

_LARGEST_WEIGHT = 1e6  # only keeps infinity and NaN out


@dataclass(frozen=True, slots=True)
class Counts:
    """What the weights depend on besides the term.

    Args:
        documents: Documents of the index.
        length: Terms of all its documents together.
        feedback_length: Terms of the feedback documents together.
    """

    documents: int
    length: int
    feedback_length: float


class DivergenceFeedback(TermFeedback):
    """Base of Bo1 and KL. A term weighs `_divergence`; a new query, the original over its heaviest term, plus these.

    Frequencies are summed over the feedback documents. A term that is in fewer than `min_docs` of them, and not in the
    query, weighs nothing. As many terms are taken as `terms` says, or as the query has if that is more. Their weights
    are divided by the largest that the best of them could have (`_bound`), which leaves nothing to tune; or, with
    `beta`, by the best weight, and multiplied by `beta`.
    """

    reads = CountedTermSource

    def __init__(
        self,
        *,
        docs: int = 3,
        terms: int = 10,
        min_docs: int = 2,
        beta: float | None = None,
        retriever: Retriever | None = None,
    ) -> None:
        super().__init__(docs, terms, retriever)
        self.min_docs = whole(min_docs, least=1, stage=self.name, parameter="min_docs")
        self.beta = None if beta is None else between(beta, 0, _LARGEST_WEIGHT, stage=self.name, parameter="beta")

    @abstractmethod
    def _divergence(self, frequency: float, collection_frequency: int, counts: Counts) -> float:
        """The weight of a term that occurs so often in the feedback documents, and so often in the collection."""

    @abstractmethod
    def _bound(self, frequency: float, counts: Counts) -> float:
        """The weight of a term that occurs so often, if it occurred nowhere else."""

    def _scaled_query(self, terms: Terms) -> Terms:
        """The query over its largest weight."""
        largest = max(map(abs, terms.values()), default=0.0)
        return {term: weight / largest for term, weight in terms.items()} if largest else {}

    def _expansion(self, original: Terms, documents: Sequence[FeedbackDocument], source: TermSource) -> Expansion:
        """The query plus the terms that diverge most from chance."""
        counted = cast("CountedTermSource", source)  # `reads` has seen to it
        frequencies, by_document = summed((one.doc_id, one.terms) for one in documents)
        least = self.min_docs if len(documents) >= self.min_docs else 1
        common = {term for term, parts in by_document.items() if len(parts) >= least or term in original}
        if not common:
            return Expansion(original, reason=f"no term is in {least} (min_docs) of the documents")
        counts = Counts(counted.document_count, counted.collection_length, sum(frequencies.values()))
        weights = self._weights({term: frequencies[term] for term in sorted(common)}, counts, counted)
        if not weights:
            return Expansion(original, reason="no term is more frequent in the documents than in the collection")
        chosen = heaviest(weights, max(self.terms, len(original)))
        parts = {
            term: {doc_id: weight * part / frequencies[term] for doc_id, part in by_document[term].items()}
            for term, weight in chosen.items()
        }
        return Expansion(original, chosen, parts)

    def _weights(self, frequencies: Mapping[str, float], counts: Counts, source: CountedTermSource) -> Terms:
        """The weights of terms by their frequency in the documents; those of no weight left out."""
        everywhere = dict(zip(frequencies, source.collection_frequencies(list(frequencies)).tolist(), strict=True))
        raw = {term: self._divergence(frequency, everywhere[term], counts) for term, frequency in frequencies.items()}
        best = next(iter(heaviest(raw, 1)))
        if raw[best] <= 0:
            return {}
        factor = 1 / self._bound(frequencies[best], counts) if self.beta is None else self.beta / raw[best]
        return {term: weight * factor for term, weight in raw.items() if weight * factor > 0}
