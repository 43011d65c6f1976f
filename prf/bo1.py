"""Bo1: terms that the best documents repeat beyond what Bose-Einstein statistics expect."""

from __future__ import annotations

from math import log2

from rankloom.prf.divergence import Counts, DivergenceFeedback


class Bo1(DivergenceFeedback):
    """Expand each query with terms that diverge from Bose-Einstein statistics (Amati, PhD thesis, Glasgow, 2003).

    A term that occurs `f` times in the feedback documents and `F` times in all `N` documents weighs
    `f * log2((1 + P) / P) + log2(1 + P)` with `P = F / N`. These weights are divided by that of the best term with
    `P = f / N` (it would occur nowhere else), and added to the query, whose own are divided by the largest of them.

    Frequencies are what Bose-Einstein statistics are about, so the index has to count words; over a learned one, use
    `TermRocchio` or `RM3`. A query that holds weighted terms already is expanded from these instead of its text.
    Queries without feedback, and documents that say nothing, are noted as `TermFeedback` says.

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
        >>> Bo1().docs
        3
    """

    name = "bo1"

    def _divergence(self, frequency: float, collection_frequency: int, counts: Counts) -> float:
        """How surprising a frequency is, in bits."""
        return _surprise(frequency, collection_frequency / counts.documents)

    def _bound(self, frequency: float, counts: Counts) -> float:
        """How surprising it is of a term that occurs nowhere else."""
        return _surprise(frequency, frequency / counts.documents)


def _surprise(frequency: float, mean: float) -> float:
    """Bits of information in a frequency where some mean is expected."""
    return frequency * log2((1 + mean) / mean) + log2(1 + mean)
