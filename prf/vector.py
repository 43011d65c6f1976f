"""Vector feedback: the query vector moved towards the vectors of the documents found first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import choice
from rankloom.encoders import truncation_notes
from rankloom.errors import CompositionError
from rankloom.ledger import Note
from rankloom.prf.feedback_vectors import FeedbackVectors
from rankloom.prf.mixture import Method, Mixture
from rankloom.ranking import Ranking
from rankloom.records import Query
from rankloom.run import Run
from rankloom.sources import VectorSource
from rankloom.stage import NO_TRAITS, Feedback, Retriever, Then

Vectors = NDArray[np.float32]
_TOGETHER = 1 << 14  # feedback documents whose vectors are held at a time: 50 MB of 384 numbers in float64


class VectorPRF(Feedback):
    """Replace each query vector by a mixture of it and the vectors of its best documents (Li et al., TOIS 2023).

    - `average`: the mean of the query vector and the document vectors; the query counts as one of `docs + 1`.
    - `rocchio`: `alpha` times the query vector, plus `beta` times the mean of the best `docs` documents, minus
      `gamma` times the mean of the last `negatives` documents of the ranking (never any of the best).

    No model is called for the documents: their vectors are read from the index. A query without a vector is encoded
    (again, where the first stage has done so), which is counted. The result is not normalised again, as in Pyserini.
    A query without feedback (it is blank, nothing was found, the index holds none of its best documents) keeps its
    vector and is noted as `no_feedback`. A document that the index does not hold is left out of its mean and noted as
    `unread_document`. Documents of equal text count each, and an empty one by the vector that the index holds.

    With `then="rerank"` the ranking stays, so that a reranker by stored vectors can score it by the new vectors:
    `bm25 >> VectorPRF(then="rerank") >> StoredVectors(dense)`.

    Args:
        docs: Feedback documents; by default 3 for `average` and 5 for `rocchio` (Pyserini's recommended settings).
        method: `average` or `rocchio`.
        alpha: For `rocchio`: weight of the query, 0.4 by default (Pyserini's recommended setting, as the next).
        beta: For `rocchio`: weight of the best documents, 0.6 by default.
        gamma: For `rocchio`: weight of the last documents.
        negatives: For `rocchio`: how many of the last documents.
        then: What follows: `retrieve`, for which the ranking is dropped, or `rerank`.
        retriever: Whose index is read; by default that of the retriever or reranker that follows in the pipeline.

    Raises:
        UsageError: A parameter is out of range or belongs to the other method, the weights are all 0, or one of `gamma`
            and `negatives` is given without the other.

    Example:
        >>> VectorPRF().docs, VectorPRF(method="rocchio").beta
        (3, 0.6)
    """

    name = "vector_prf"
    provides = frozenset({"vectors"})
    accepts = frozenset({"vectors"})
    reads = VectorSource

    def __init__(
        self,
        *,
        docs: int | None = None,
        method: Method = "average",
        alpha: float | None = None,
        beta: float | None = None,
        gamma: float = 0.0,
        negatives: int = 0,
        then: Then = "retrieve",
        retriever: Retriever | None = None,
    ) -> None:
        self._mixture = Mixture.checked(
            method, docs=docs, alpha=alpha, beta=beta, gamma=gamma, negatives=negatives, stage=self.name
        )
        self.docs, self.alpha, self.beta, self.gamma, self.negatives = self._mixture
        self.method: Method = method
        choice(then, get_args(Then), stage=self.name, parameter="then")
        self.then: Then = then
        self.drops = NO_TRAITS if then == "rerank" else Feedback.drops
        self.retriever = retriever

    def __call__(self, run: Run) -> Run:
        """The queries with new vectors.

        Raises:
            CompositionError: There is no ranking, or no retriever over vectors to read from.
        """
        source, ranking = self._source(), run.hits(stage=self.name)
        asked = [number for number, query in enumerate(run.queries) if not query.blank]
        searched = [run.queries[number] for number in asked]
        encoded = source.encode_queries(searched, run.session)
        moved, notes = self._moved(searched, encoded.vectors, ranking.select(asked), source)
        queries = list(run.queries)
        for number, query, vector in zip(asked, searched, moved, strict=True):
            queries[number] = query.with_vector(source.space, vector)
        cut = truncation_notes(run.session, searched, encoded.truncated, stage=self.name)
        blank = [self._note(query, "the query is empty") for query in run.queries if query.blank]
        after = run.rewritten(queries, keep=self.then == "rerank").noted(*cut, *blank, *notes)
        return after.counted(inputs=len(run), calls=encoded.calls, tokens=int(encoded.tokens.sum()))

    @property
    def model_name(self) -> str:
        """The model that encodes queries."""
        return "" if self.retriever is None else self.retriever.model_name

    def _source(self) -> VectorSource:
        """The index that is read."""
        if not isinstance(self.retriever, VectorSource):
            raise CompositionError(
                "has no index to read vectors from",
                stage=self.name,
                value=self.retriever,
                accepted="a retriever that is a VectorSource, such as Dense",
                fix="put a retriever over vectors after it, or pass retriever=",
            )
        return self.retriever

    def _moved(
        self, queries: Sequence[Query], vectors: Vectors, ranking: Ranking, source: VectorSource
    ) -> tuple[Vectors, list[Note]]:
        """The new vector of each query, and what is to be said of it; a stretch of queries at a time."""
        moved, notes = np.empty_like(vectors), list[Note]()
        step = max(1, _TOGETHER // (self.docs + self.negatives))
        for start in range(0, len(queries), step):
            part = slice(start, start + step)
            read = FeedbackVectors.read(ranking.slice(start, min(start + step, len(queries))), self._mixture, source)
            moved[part] = self._mixed(vectors[part], read)
            notes.extend(self._notes(queries[part], read))
        return moved, notes

    def _mixed(self, vectors: Vectors, read: FeedbackVectors) -> Vectors:
        """The formula of the method, in double precision."""
        alpha, beta = self._mixture.shares(read.counts)
        mixed = alpha[:, None] * vectors + beta[:, None] * read.best - self.gamma * read.last
        return np.where(read.counts[:, None] > 0, mixed, vectors).astype(np.float32)

    def _notes(self, queries: Sequence[Query], read: FeedbackVectors) -> list[Note]:
        """What is to be said of documents that were not read, and of queries for which none was."""
        notes = [
            Note(self.name, "unread_document", queries[number].id, doc_id, detail="the index does not hold it")
            for number, doc_id in read.unread
        ]
        met = {number for number, _ in read.unread}
        for number in np.flatnonzero(read.counts == 0).tolist():
            reason = "the index holds none of the documents" if number in met else "no document was found"
            notes.append(self._note(queries[number], reason))
        return notes

    def _note(self, query: Query, reason: str) -> Note:
        """Why a query has no feedback."""
        return Note(self.name, "no_feedback", query.id, detail=reason)
