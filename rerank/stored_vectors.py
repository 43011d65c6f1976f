"""Reranking by vectors that are stored: those of an index, which may be another encoder's than the first stage's.

A small model finds, a larger one decides, and the larger one reads no document while people wait: its vectors of the
corpus are on disk. This is the exact stage of CompactDS (Lyu et al., 2025), which re-encodes the hits or stores them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from rankloom.corpus import Corpus
from rankloom.encoders import DEFAULT_MODEL
from rankloom.parameter_kinds import ModelName
from rankloom.records import Query
from rankloom.registry import stage_class
from rankloom.rerank.stored_reranker import Compared, Hits, StoredReranker
from rankloom.session import Session
from rankloom.sources import VectorSource

_GATHERED = 1 << 22  # numbers of vectors that are held at a time, of queries and of hits: 32 MiB each in float64


class StoredVectors(StoredReranker):
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
        >>> from rankloom import Document, Run
        >>> corpus = Corpus.of([Document("d1", "Bread needs yeast."), Document("d2", "Tides follow the moon.")])
        >>> stage = StoredVectors.for_corpus(corpus, Session(offline=True))
        >>> stage.run(Run.from_documents("what makes the sea rise", list(corpus)))["q1"].doc_ids
        ['d2', 'd1']
    """

    name = "stored_vectors"
    reads = VectorSource

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

    def _compare(self, queries: Sequence[Query], hits: Hits, session: Session) -> Compared:
        """Inner products of hits with their queries; a block of hits at a time, each document once a block."""
        source = self.retriever
        if not isinstance(source, VectorSource):
            raise self._no_source("a retriever that is a VectorSource, such as Dense")
        encoded = source.encode_queries(queries, session)
        scores, held = np.zeros(len(hits.codes), dtype=np.float32), np.zeros(len(hits.codes), dtype=np.bool_)
        step = max(1, _GATHERED // max(1, encoded.vectors.shape[1]))
        for start in range(0, len(hits.codes), step):
            part = slice(start, start + step)
            distinct, places = np.unique(hits.codes[part], return_inverse=True)
            vectors, known = source.document_vectors(hits.ids.take(distinct))
            asked, stored = encoded.vectors[hits.rows[part]].astype(np.float64), vectors[places].astype(np.float64)
            scores[part], held[part] = np.einsum("ij,ij->i", asked, stored), known[places]
        return Compared(scores, held, np.zeros_like(held), encoded)
