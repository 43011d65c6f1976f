"""What rerankers share that read stored vectors of an index: of whole documents, or of their tokens."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import whole
from rankloom.encoders import Encoded, truncation_notes
from rankloom.errors import CompositionError
from rankloom.ids import DocIds
from rankloom.ledger import Note
from rankloom.order import Codes
from rankloom.ranking import Ranking, ScoreKind
from rankloom.records import Query
from rankloom.rerank.pointwise import no_vectors, reranked
from rankloom.run import Run
from rankloom.session import Session
from rankloom.stage import Reranker, Retriever
from rankloom.token_encoder import TokensEncoded


class Hits(NamedTuple):
    """Some hits of some queries.

    Args:
        ids: What the codes stand for.
        codes: The documents.
        rows: For each hit the number of its query; never falling.
    """

    ids: DocIds
    codes: Codes
    rows: NDArray[np.int64]


class Compared(NamedTuple):
    """Hits compared with their queries.

    Args:
        scores: float32 of shape (hits,).
        held: Whether the index holds the document; the score of another counts for nothing. bool of shape (hits,).
        bare: Whether document or query has no vectors, so that the score is 0; bool of shape (hits,).
        encoded: What a model did for the queries.
    """

    scores: NDArray[np.float32]
    held: NDArray[np.bool_]
    bare: NDArray[np.bool_]
    encoded: Encoded | TokensEncoded


class StoredReranker(Reranker):
    """Rerank by stored vectors of the hits.

    A hit whose vectors are not stored keeps its place among its like, below those that are scored, and is noted as
    `unread_document`; a query without text is not reranked, and noted. Vectors that feedback has written into a query
    (`VectorPRF(then="rerank")`) take its text's place.

    Args:
        retriever: Whose vectors are read, and whose encoder reads the queries.
        depth: How many hits of each query are scored.

    Raises:
        UsageError: depth is not a positive whole number.
    """

    needs = frozenset({"ranking"})
    accepts = frozenset({"vectors"})
    drops = frozenset({"vectors"})
    requires = ("sentence_transformers",)

    def __init__(self, retriever: Retriever | None = None, *, depth: int = 1000) -> None:
        self.retriever = retriever
        self.depth = whole(depth, least=1, stage=self.name, parameter="depth")

    @abstractmethod
    def _compare(self, queries: Sequence[Query], hits: Hits, session: Session) -> Compared:
        """Scores of hits with their queries."""

    def __call__(self, run: Run) -> Run:
        """Score the best `depth` hits of each query.

        Raises:
            CompositionError: There are no vectors to read.
        """
        before = run.hits(stage=self.name)
        asked = np.array([_asks(query) for query in run.queries], dtype=np.bool_)
        head = (before.ranks() <= self.depth) & np.repeat(asked, before.counts())
        queries = [run.queries[number] for number in np.flatnonzero(asked)]
        rows = (np.cumsum(asked) - 1)[before.query_numbers()[head]]
        found = self._compare(queries, Hits(before.ids, before.codes[head], rows), run.session)
        ordered, scored = _held_first(before, head, found.held)
        cut = truncation_notes(run.session, queries, found.encoded.truncated, stage=self.name)
        notes = [*cut, *self._notes_of_hits(run, np.flatnonzero(head), found), *self._notes_of_queries(run)]
        after = reranked(ordered, found.scores[found.held], scored, kind=ScoreKind.SIMILARITY)
        tokens = int(found.encoded.tokens.sum())
        typed = replace(run, queries=tuple(query.as_typed() for query in run.queries))
        return (
            typed.ranked(after)
            .noted(*notes)
            .counted(inputs=int(found.held.sum()), calls=found.encoded.calls, tokens=tokens)
        )

    @property
    def model_name(self) -> str:
        """The model whose vectors are read."""
        return "" if self.retriever is None else self.retriever.model_name

    def warm_up(self, session: Session | None = None) -> None:
        """Load the model that reads queries."""
        if self.retriever is not None:
            self.retriever.warm_up(session)

    def close(self) -> None:
        """Free the model."""
        if self.retriever is not None:
            self.retriever.close()

    def _no_source(self, accepted: str) -> CompositionError:
        """The error for a retriever that stores no vectors of the kind."""
        return CompositionError(
            "has no index to read vectors from",
            stage=self.name,
            value=self.retriever,
            accepted=accepted,
            fix="pass retriever=, or make it with for_corpus",
        )

    def _notes_of_hits(self, run: Run, places: NDArray[np.int64], found: Compared) -> list[Note]:
        """What is to be said of hits whose vectors are not stored, and of those whose score says nothing."""
        before = run.hits(stage=self.name)
        query_ids = [run.queries[number].id for number in before.query_numbers()[places].tolist()]
        doc_ids = before.ids.take(before.codes[places])
        unread = [
            Note(self.name, "unread_document", query_ids[hit], doc_ids[hit], detail="its vectors are not stored")
            for hit in np.flatnonzero(~found.held).tolist()
        ]
        bare = np.flatnonzero(found.held & found.bare).tolist()
        return [*unread, *(no_vectors(self.name, query_ids[hit], doc_ids[hit]) for hit in bare)]

    def _notes_of_queries(self, run: Run) -> list[Note]:
        """What is to be said of queries without text, and of hits that are too deep."""
        notes = []
        for query, count in zip(run.queries, run.hits(stage=self.name).counts().tolist(), strict=True):
            if count and not _asks(query):
                notes.append(Note(self.name, "empty_query", query.id))
            elif count > self.depth:
                notes.append(Note(self.name, "not_reranked", query.id, amount=count - self.depth))
        return notes


def _asks(query: Query) -> bool:
    """Whether there is something to compare hits with: a text, or vectors."""
    return bool(query.text.strip() or query.vectors)


def _held_first(
    ranking: Ranking, head: NDArray[np.bool_], held: NDArray[np.bool_]
) -> tuple[Ranking, NDArray[np.int64]]:
    """The ranking with the hits that have a vector on top, otherwise in its order; and how many of each query."""
    on_top = head.copy()
    on_top[head] = held
    numbers = ranking.query_numbers()
    order = np.lexsort((np.arange(len(numbers)), ~on_top, numbers))
    spans = ranking.spans
    moved = replace(
        ranking,
        codes=ranking.codes[order],
        scores=ranking.scores[order],
        spans=None if spans is None else tuple(spans[place] for place in order.tolist()),
    )
    return moved, np.bincount(numbers[on_top], minlength=len(ranking)).astype(np.int64)
