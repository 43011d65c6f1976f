"""RM3: a query of weighted terms, half the user's words and half those of the documents found first."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import between, whole
from rankloom.errors import CompositionError
from rankloom.ledger import Note
from rankloom.ranking import Ranking, ScoreKind
from rankloom.records import Query
from rankloom.run import Run
from rankloom.sources import TermSource
from rankloom.stage import Feedback, Retriever

_Weights = Mapping[str, float]
_PLAIN = re.compile(r"[a-z0-9]+")
_SHORTEST, _LONGEST = 2, 20  # characters of a feedback term


class RM3(Feedback):
    """Expand each query with terms of its best documents (Abdul-Jaleel et al., TREC 2004).

    The arithmetic is that of Anserini's `Rm3Reranker`. Each feedback document is cut down to its `terms` most frequent
    feedback terms, whose frequencies are divided by their sum; a term of the relevance model weighs the sum of these
    over the documents, each multiplied by the document's score; the best `terms` remain and are scaled to sum to 1.
    The new query is `weight` times the analysed query (scaled likewise) plus `1 - weight` times that model. Terms
    of equal weight are taken in ascending order.

    Documents weigh as much as their scores. Logits, and lists with a negative score, are put through a softmax
    first; scores that only stand for positions (`ScoreKind.RANK`) weigh all the same.

    A query that holds weighted terms already is expanded from these instead of its text. A query without feedback
    (it is blank, nothing was found, no term passes) stays the analysed original and is noted as `no_feedback`; a
    feedback document that the index does not hold is noted as `unread_document`.

    Args:
        docs: Feedback documents: the best of the ranking (Anserini: 10).
        terms: Feedback terms (Anserini: 10).
        weight: Share of the original query, from 0 to 1 (Anserini: 0.5).
        max_df: A term that occurs in more than this share of all documents is no feedback term (Anserini: 0.1).
        ascii_terms: Take only terms of the characters a-z and 0-9, as Anserini does; put it off for other scripts.
            Feedback terms have 2 to 20 characters either way.
        retriever: Whose index is read; by default the retriever that follows in the pipeline.

    Raises:
        UsageError: A parameter is out of range.
        CompositionError: The retriever is not one over terms.

    Example:
        >>> RM3(docs=5).weight
        0.5
    """

    name = "rm3"
    provides = frozenset({"terms"})
    accepts = frozenset({"terms"})
    reads = TermSource
    parallel = True

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
        self.docs = whole(docs, least=1, stage=self.name, parameter="docs")
        self.terms = whole(terms, least=1, stage=self.name, parameter="terms")
        self.weight = between(weight, 0, 1, stage=self.name, parameter="weight")
        self.max_df = between(max_df, 0, 1, stage=self.name, parameter="max_df")
        self.ascii_terms = ascii_terms
        self.retriever = retriever

    def __call__(self, run: Run) -> Run:
        """The queries with weighted terms; the ranking is used up.

        Raises:
            CompositionError: There is no ranking, or no retriever over terms to read from.
        """
        source = self._source()
        best = run.hits(stage=self.name).top(self.docs)
        doc_ids = list({doc_id: None for number in range(len(run.queries)) for doc_id in best.doc_ids(number)})
        vectors = dict(zip(doc_ids, source.term_vectors(doc_ids), strict=True))  # all at once, which indexes like best
        queries: list[Query] = []
        notes: list[Note] = []
        for number, query in enumerate(run.queries):
            terms, remarks = self._expanded(query, number, best, source, vectors)
            queries.append(query.with_terms(terms))
            notes.extend(remarks)
        return run.rewritten(queries).noted(*notes)

    def _source(self) -> TermSource:
        """The index that is read."""
        if not isinstance(self.retriever, TermSource):
            raise CompositionError(
                "has no index to read terms from",
                stage=self.name,
                value=self.retriever,
                accepted="a retriever that is a TermSource, such as BM25",
                fix="put a retriever over terms after it, or pass retriever=",
            )
        return self.retriever

    def _expanded(
        self,
        query: Query,
        number: int,
        best: Ranking,
        source: TermSource,
        held: Mapping[str, Mapping[str, int] | None],
    ) -> tuple[_Weights, list[Note]]:
        """A query's new terms, and what is to be said of it."""
        original = _scaled(query.terms if query.terms is not None else Counter(source.analyze(query.text)))
        start, end = best.bounds(number)
        if query.blank or start == end:
            reason = "the query is empty" if query.blank else "no document was found"
            return original, [Note(self.name, "no_feedback", query.id, detail=reason)]
        doc_ids = best.doc_ids(number)
        vectors = [held[doc_id] for doc_id in doc_ids]
        notes = [
            Note(self.name, "unread_document", query.id, doc_id, detail="the index does not hold it")
            for doc_id, vector in zip(doc_ids, vectors, strict=True)
            if vector is None
        ]
        shares = self._feedback_terms([vector or {} for vector in vectors], source)
        model = _relevance_model(shares, document_weights(best.scores[start:end], best.kind), self.terms)
        if not model:
            known = any(vector is not None for vector in vectors)
            reason = "no term of the documents passes" if known else "the index holds none of the documents"
            return original, [*notes, Note(self.name, "no_feedback", query.id, detail=reason)]
        return _mixed(original, model, self.weight), notes

    def _feedback_terms(self, vectors: Sequence[Mapping[str, int]], source: TermSource) -> list[_Weights]:
        """Each document's most frequent terms, of those that may be feedback terms."""
        seen = sorted(term for term in set[str]().union(*vectors) if self._well_formed(term))
        most = self.max_df * source.document_count
        counts = source.document_frequencies(seen).tolist()
        allowed = {term for term, count in zip(seen, counts, strict=True) if count <= most}
        return [
            _best({term: count for term, count in vector.items() if term in allowed}, self.terms) for vector in vectors
        ]

    def _well_formed(self, term: str) -> bool:
        """Whether a term looks like a word."""
        return _SHORTEST <= len(term) <= _LONGEST and (not self.ascii_terms or _PLAIN.fullmatch(term) is not None)


def document_weights(scores: NDArray[np.float32], kind: ScoreKind) -> NDArray[np.float64]:
    """How much each feedback document counts, from its score.

    Args:
        scores: float32 of shape (documents,).
        kind: What the scores mean.

    Returns:
        Non-negative weights of any sum, float64 of shape (documents,): similarities and probabilities as they are;
        a softmax of logits and of lists that a plain sum could not weigh (a negative score, or nothing but
        zeros); ones for positions.

    Example:
        >>> document_weights(np.array([8, 4], dtype=np.float32), ScoreKind.SIMILARITY).tolist()
        [8.0, 4.0]
    """
    exact = scores.astype(np.float64)
    if kind is ScoreKind.RANK:
        return np.ones_like(exact)
    if kind is ScoreKind.LOGIT or exact.min() < 0 or not exact.any():
        return np.asarray(np.exp(exact - exact.max()), dtype=np.float64)
    return exact


def _relevance_model(vectors: Iterable[_Weights], weights: Iterable[float], size: int) -> _Weights:
    """The best terms of the weighted sum of documents, scaled to sum to 1."""
    sums: dict[str, float] = {}
    for vector, weight in zip(vectors, weights, strict=True):
        for term, share in _scaled(vector).items():
            sums[term] = sums.get(term, 0.0) + share * float(weight)
    return _scaled(_best(sums, size))


def _mixed(original: _Weights, model: _Weights, weight: float) -> _Weights:
    """The interpolated query, heaviest term first; a term of no weight is left out."""
    union = original.keys() | model.keys()
    mixed = {term: weight * original.get(term, 0.0) + (1 - weight) * model.get(term, 0.0) for term in union}
    return _best({term: value for term, value in mixed.items() if value}, len(mixed))


def _best(weights: _Weights, size: int) -> dict[str, float]:
    """The heaviest terms in order of weight, then of the alphabet."""
    return dict(sorted(weights.items(), key=lambda item: (-item[1], item[0]))[:size])


def _scaled(weights: _Weights) -> dict[str, float]:
    """Weights divided by the sum of their sizes; none stays none."""
    total = math.fsum(map(abs, weights.values()))  # exact, so that the order of the terms does not matter
    return {term: weight / total for term, weight in weights.items()} if total else {}
