"""KL: terms whose share of the best documents exceeds their share of the collection."""

from __future__ import annotations

from math import log2

from rankloom.prf.divergence import Counts, DivergenceFeedback


class KL(DivergenceFeedback):
    """Expand each query by Kullback-Leibler divergence (Carpineto et al., ACM TOIS 2001; Amati, PhD thesis, 2003).

    A term with the share `p` of the feedback documents' terms and the share `c` of the collection's weighs
    `p * log2(p / c)`, or nothing if `p < c`. These weights are divided by that of the best term if it occurred nowhere
    else, and added to the query, whose own are divided by the largest of them.

    Shares are those of counts, so the index has to count words; over a learned one, use `TermRocchio` or `RM3`. A
    query that holds weighted terms already is expanded from these instead of its text. Queries without feedback (the
    feedback documents may be the whole collection, so that no share differs), and documents that say nothing, are noted
    as `TermFeedback` says.

    Args:
        docs: Feedback documents: the best of the ranking (Terrier: 3).
        terms: Feedback terms (Terrier: 10); as many as the query has, if that is more.
        min_docs: In how many feedback documents a term that is not in the query has to be (Terrier: 2). Where there are
            fewer documents, one will do.
        beta: Multiplies the weights over the best weight (Terrier's parameter, 0.4 where it is used). By default
            weights are divided as said above, without a parameter, as Terrier does.
        retriever: Whose index is read; by default the retriever that follows in the pipeline.

    Raises:
        UsageError: A parameter is out of range.
        CompositionError: The retriever is not one that counts terms.

    Example:
        >>> KL().terms
        10
    """

    name = "kl"

    def _divergence(self, frequency: float, collection_frequency: int, counts: Counts) -> float:
        """A term's part of the divergence, in bits."""
        share, expected = frequency / counts.feedback_length, collection_frequency / counts.length
        return share * log2(share / expected) if share > expected else 0.0

    def _bound(self, frequency: float, counts: Counts) -> float:
        """Its part if it occurred nowhere else."""
        return frequency / counts.feedback_length * log2(counts.length / counts.feedback_length)
