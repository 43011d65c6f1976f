"""What all feedback over terms shares: reading the documents, notes, and telling where each weight comes from.

A method is a subclass that says how documents weigh terms (`_expansion`), and nothing else. Which documents are read,
what happens to queries that have none, and how the new query is put together are the same for all.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rankloom.checks import whole
from rankloom.encoders import truncation_notes
from rankloom.errors import CompositionError
from rankloom.feedback_parts import FeedbackExplainer, FeedbackTerm
from rankloom.ledger import Note
from rankloom.prf.document_weights import document_weights
from rankloom.ranking import Ranking
from rankloom.records import Query
from rankloom.run import Run
from rankloom.session import Session
from rankloom.sources import CountedTermSource, TermSource
from rankloom.stage import Feedback, Retriever
from rankloom.weighted_terms import Terms


@dataclass(frozen=True, slots=True)
class FeedbackDocument:
    """A document that feedback reads; it holds at least one term.

    Args:
        doc_id: The document.
        weight: How much it counts, by its score; see `document_weights`. 1 for a negative one.
        terms: Its terms and their weights in the index.
        negative: Whether it is one of the last of the ranking, which the query is moved away from.
    """

    doc_id: str
    weight: float
    terms: Terms
    negative: bool = False


@dataclass(frozen=True, slots=True)
class Expansion:
    """What a method makes of one query. The new query is the sum of both parts; terms without weight are left out.

    Args:
        original: The query's own part.
        feedback: The documents' part; empty if they have nothing to say.
        parts: Term of the documents' part -> document -> what it adds.
        reason: If the documents have nothing to say, why.
    """

    original: Terms
    feedback: Terms = field(default_factory=dict)
    parts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    reason: str = ""

    def terms(self) -> dict[str, float]:
        """The new query, the heaviest term first, equal ones by the alphabet."""
        union = self.original.keys() | self.feedback.keys()
        sums = {term: self.original.get(term, 0.0) + self.feedback.get(term, 0.0) for term in union}
        return heaviest({term: weight for term, weight in sums.items() if weight}, len(sums))

    def explained(self) -> tuple[FeedbackTerm, ...]:
        """The new query with where its weights come from."""
        return tuple(
            FeedbackTerm(term, weight, self.original.get(term, 0.0), _largest_first(self.parts.get(term, {})))
            for term, weight in self.terms().items()
        )


class TermFeedback(Feedback, FeedbackExplainer):
    """Base of the methods that expand queries with terms of their best documents.

    A query without feedback (it is blank, nothing was found, no term passes) stays the analysed original and is noted
    as `no_feedback`; a feedback document that the index does not hold is noted as `unread_document`, one without any
    term (it is empty, or of stop words) as `empty_document`. Documents of equal text count each.

    Attributes:
        docs: How many of the best documents are read.
        negatives: How many of the last, never any of the best.
    """

    provides = frozenset({"terms"})
    accepts = frozenset({"terms"})
    reads = TermSource
    docs: int
    negatives: int = 0

    def __init__(self, docs: int, terms: int, retriever: Retriever | None) -> None:
        self.docs = whole(docs, least=1, stage=self.name, parameter="docs")
        self.terms = whole(terms, least=1, stage=self.name, parameter="terms")
        self.retriever = retriever
        self.parallel = isinstance(retriever, CountedTermSource)  # otherwise a model may encode the queries

    @abstractmethod
    def _scaled_query(self, terms: Terms) -> Terms:
        """The query's own terms in the unit in which they are added to feedback."""

    @abstractmethod
    def _expansion(self, original: Terms, documents: Sequence[FeedbackDocument], source: TermSource) -> Expansion:
        """What the documents add to a query.

        Args:
            original: The query's own terms, scaled.
            documents: At least one document.
            source: The index.
        """

    def __call__(self, run: Run) -> Run:
        """The queries with weighted terms; the ranking is used up.

        Raises:
            CompositionError: There is no ranking, or no retriever over terms to read from.
        """
        source, ranking = self._source(), run.hits(stage=self.name)
        encoded = source.query_terms(run.queries, run.session)
        notes = truncation_notes(run.session, run.queries, encoded.truncated, stage=self.name)
        queries: list[Query] = []
        for query, (expansion, remarks) in zip(
            run.queries, self._expansions(run.queries, encoded.terms, ranking, source), strict=True
        ):
            queries.append(query.with_terms(expansion.terms()))
            notes.extend(remarks)
        after = run.rewritten(queries).noted(*notes)
        if not encoded.calls:  # no model has run
            return after
        return after.counted(inputs=len(run), calls=encoded.calls, tokens=int(encoded.tokens.sum()))

    def feedback_terms(
        self, queries: Sequence[Query], ranking: Ranking, session: Session
    ) -> list[tuple[FeedbackTerm, ...]]:
        """Where the weights of each new query come from; see `FeedbackExplainer`."""
        source = self._source()
        terms = source.query_terms(queries, session).terms
        return [expansion.explained() for expansion, _ in self._expansions(queries, terms, ranking, source)]

    @property
    def model_name(self) -> str:
        """The model that encodes queries, if the index is a learned one."""
        return "" if self.retriever is None else self.retriever.model_name

    def _source(self) -> TermSource:
        """The index that is read."""
        if not isinstance(self.retriever, self.reads):
            raise CompositionError(
                "has no index to read terms from",
                stage=self.name,
                value=self.retriever,
                accepted=f"a retriever that is a {self.reads.__name__}, such as BM25",
                fix="put a retriever over terms after it, or pass retriever=",
            )
        return self.retriever

    def _expansions(
        self, queries: Sequence[Query], terms: Sequence[Terms], ranking: Ranking, source: TermSource
    ) -> list[tuple[Expansion, list[Note]]]:
        """What becomes of each query, and what is to be said of it. All documents are read at once."""
        read = [self._read(ranking, number) for number in range(len(queries))]
        doc_ids = list({doc_id: None for best, last in read for doc_id in best + last})
        held = dict(zip(doc_ids, source.term_vectors(doc_ids), strict=True))
        found = []
        for number, query in enumerate(queries):
            original = self._scaled_query(terms[number])
            documents, notes = self._documents(query, number, read[number], ranking, held)
            expansion = Expansion(original, reason=self._nothing_to_read(query, read[number][0], held))
            if any(not one.negative for one in documents):
                expansion = self._expansion(original, documents, source)
            if expansion.reason:
                notes.append(Note(self.name, "no_feedback", query.id, detail=expansion.reason))
            found.append((expansion, notes))
        return found

    def _read(self, ranking: Ranking, number: int) -> tuple[list[str], list[str]]:
        """The best and the last documents of one query."""
        start, end = ranking.bounds(number)
        best = ranking.codes[start : min(end, start + self.docs)]
        last = ranking.codes[max(start + len(best), end - self.negatives) : end]
        return ranking.ids.take(best), ranking.ids.take(last)

    def _documents(
        self,
        query: Query,
        number: int,
        read: tuple[list[str], list[str]],
        ranking: Ranking,
        held: Mapping[str, Terms | None],
    ) -> tuple[list[FeedbackDocument], list[Note]]:
        """The feedback documents of a query that have terms, and notes of those that have not."""
        if query.blank or not read[0]:
            return [], []
        best, last = read
        start = int(ranking.offsets[number])
        weights = document_weights(ranking.scores[start : start + len(best)], ranking.kind).tolist()
        documents: list[FeedbackDocument] = []
        notes: list[Note] = []
        for place, (doc_id, weight) in enumerate(zip(best + last, weights + [1.0] * len(last), strict=True)):
            vector = held[doc_id]
            if vector:
                documents.append(FeedbackDocument(doc_id, weight, vector, negative=place >= len(best)))
            elif vector is None:
                notes.append(Note(self.name, "unread_document", query.id, doc_id, detail="the index does not hold it"))
            else:
                notes.append(
                    Note(self.name, "empty_document", query.id, doc_id, detail="the index holds no term of it")
                )
        return documents, notes

    def _nothing_to_read(self, query: Query, best: Sequence[str], held: Mapping[str, Terms | None]) -> str:
        """Why a query has no document to be expanded from; empty if it has one."""
        if query.blank:
            return "the query is empty"
        if not best:
            return "no document was found"
        if all(held[doc_id] is None for doc_id in best):
            return "the index holds none of the documents"
        return "" if any(held[doc_id] for doc_id in best) else "the documents hold no term"


def heaviest(weights: Terms, size: int) -> dict[str, float]:
    """The heaviest terms in order of weight, then of the alphabet."""
    return dict(sorted(weights.items(), key=lambda item: (-item[1], item[0]))[:size])


def scaled(weights: Terms) -> dict[str, float]:
    """Weights divided by the sum of their sizes; none stays none."""
    total = math.fsum(map(abs, weights.values()))  # exact, so that the order of the terms does not matter
    return {term: weight / total for term, weight in weights.items()} if total else {}


def summed(parts: Iterable[tuple[str, Terms]]) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """What documents give to terms: the sum for each term, and term -> document -> its part."""
    sums: dict[str, float] = {}
    by_term: dict[str, dict[str, float]] = {}
    for doc_id, terms in parts:
        for term, part in terms.items():
            sums[term] = sums.get(term, 0.0) + part
            by_term.setdefault(term, {})[doc_id] = part
    return sums, by_term


def _largest_first(parts: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    """Documents and their parts, the largest first."""
    return tuple(sorted(parts.items(), key=lambda item: (-abs(item[1]), item[0])))
