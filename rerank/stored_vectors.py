"""Reranking by vectors that are stored: those of an index, which may be another encoder's than the first stage's.

A small model finds, a larger one decides, and the larger one reads no document while people wait: its vectors of the
corpus are on disk. This is the exact stage of CompactDS (Lyu et al., 2025), which re-encodes the hits or stores them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import whole
from rankloom.corpus import Corpus
from rankloom.encoders import DEFAULT_MODEL, truncation_notes
from rankloom.errors import CompositionError
from rankloom.ids import DocIds
from rankloom.ledger import Note
from rankloom.order import Codes
from rankloom.parameter_kinds import ModelName
from rankloom.ranking import Ranking, ScoreKind
from rankloom.registry import stage_class
from rankloom.rerank.pointwise import reranked
from rankloom.run import Run
from rankloom.session import Session
from rankloom.sources import VectorSource
from rankloom.stage import Reranker, Retriever

_GATHERED = 1 << 22  # numbers of vectors that are held at a time, of queries and of hits: 32 MiB each in float64


class StoredVectors(Reranker):
    """Rerank by the inner product of the query's vector with the stored vectors of the hits.

    Scores are computed in float64 and rounded once, as those of `rankloom.retrieval.Dense` are. A hit whose vector is
    not stored keeps its place among its like, below those that are scored, and is noted as `unread_document`; a query
    without text is not reranked, and noted.

    Args:
        retriever: Whose vectors are read, and whose encoder reads the queries: `Dense`, or another `VectorSource`.
        depth: How many hits of each query are scored; 1000, as many as CompactDS retrieves.

    Raises:
        UsageError: depth is not a positive whole number.

    Example:
        >>> from rankloom import Document
        >>> corpus = Corpus.of([Document("d1", "Bread needs yeast."), Document("d2", "Tides follow the moon.")])
        >>> stage = StoredVectors.for_corpus(corpus, Session(offline=True))
        >>> stage.run(Run.from_documents("what makes the sea rise", list(corpus)))["q1"].doc_ids
        ['d2', 'd1']
    """

    name = "stored_vectors"
    needs = frozenset({"ranking"})
    requires = ("sentence_transformers",)

    def __init__(self, retriever: Retriever | None = None, *, depth: int = 1000) -> None:
        self.retriever = retriever
        self.depth = whole(depth, least=1, stage=self.name, parameter="depth")

    @classmethod
    def for_corpus(
        cls, corpus: Corpus, session: Session, *, model: ModelName = DEFAULT_MODEL, depth: int = 1000
    ) -> Self:
        """A reranker by the vectors of a corpus: the index is the one that `dense` with this model searches.

        Args:
            corpus: The documents.
            session: Its cache keeps the index.
            model: A sentence encoder; see `rankloom.models.resolve_model`.
            depth: How many hits of each query are scored.

        Raises:
            NotFoundError: The model is not to be had.
            DataError: A document is longer than the model reads, and the session's policy is `error`.
        """
        dense: Any = stage_class("dense")
        return cls(dense.for_corpus(corpus, session, model=model), depth=depth)

    def __call__(self, run: Run) -> Run:
        """Score the best `depth` hits of each query.

        Raises:
            CompositionError: There are no vectors to read.
        """
        source = self._source()
        before = run.hits(stage=self.name)
        asked = np.array([bool(query.text.strip()) for query in run.queries], dtype=np.bool_)
        head = (before.ranks() <= self.depth) & np.repeat(asked, before.counts())
        queries = [run.queries[number] for number in np.flatnonzero(asked)]
        encoded = source.encode_queries(queries, run.session)
        rows = (np.cumsum(asked) - 1)[before.query_numbers()[head]]
        scores, held = _products(source, before.ids, before.codes[head], encoded.vectors, rows)
        ordered, scored = _held_first(before, head, held)
        cut = truncation_notes(run.session, queries, encoded.truncated, stage=self.name)
        notes = self._notes(run, before, head, held, scored)
        after = reranked(ordered, scores[held], scored, kind=ScoreKind.SIMILARITY)
        spent = {"calls": encoded.calls, "tokens": int(encoded.tokens.sum())}
        return run.ranked(after).noted(*cut, *notes).counted(inputs=int(held.sum()), **spent)

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

    def _source(self) -> VectorSource:
        """Whose vectors are read."""
        if not isinstance(self.retriever, VectorSource):
            raise CompositionError(
                "has no index to read vectors from",
                stage=self.name,
                value=self.retriever,
                accepted="a retriever that is a VectorSource, such as Dense",
                fix="pass retriever=, or make it with for_corpus",
            )
        return self.retriever

    def _notes(
        self, run: Run, before: Ranking, head: NDArray[np.bool_], held: NDArray[np.bool_], scored: NDArray[np.int64]
    ) -> list[Note]:
        """What is to be said of hits that have no score, query by query."""
        places = np.flatnonzero(head)[~held]
        unread = before.ids.take(before.codes[places])
        numbers = before.query_numbers()[places].tolist()
        notes = [
            Note(self.name, "unread_document", run.queries[number].id, doc_id, detail="its vector is not stored")
            for number, doc_id in zip(numbers, unread, strict=True)
        ]
        below = before.counts() - scored - np.bincount(numbers, minlength=len(before))
        for number in np.flatnonzero(before.counts()).tolist():
            query = run.queries[number]
            if not query.text.strip():
                notes.append(Note(self.name, "empty_query", query.id))
            elif below[number]:
                notes.append(Note(self.name, "not_reranked", query.id, amount=int(below[number])))
        return notes


def _products(
    source: VectorSource, ids: DocIds, codes: Codes, queries: NDArray[np.float32], rows: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Inner products of hits with their queries, and which hits have a vector; a block of hits at a time.

    Args:
        source: Whose vectors are read; each document once a block.
        ids: What the codes stand for.
        codes: The hits.
        queries: Vectors of queries, float32 of shape (queries, dimensions).
        rows: For each hit the row of its query.
    """
    scores, held = np.zeros(len(codes), dtype=np.float32), np.zeros(len(codes), dtype=np.bool_)
    step = max(1, _GATHERED // max(1, queries.shape[1]))
    for start in range(0, len(codes), step):
        part = slice(start, start + step)
        distinct, places = np.unique(codes[part], return_inverse=True)
        vectors, known = source.document_vectors(ids.take(distinct))
        asked, stored = queries[rows[part]].astype(np.float64), vectors[places].astype(np.float64)
        scores[part], held[part] = np.einsum("ij,ij->i", asked, stored), known[places]
    return scores, held


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
