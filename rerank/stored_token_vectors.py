"""Late interaction without a model that reads documents: reranking by the token vectors of an index.

Any first stage finds, and MaxSim over stored vectors decides, in the time that reading these takes. Reduced vectors
(`rankloom.reduction`) make the index small enough to be kept for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, Unpack

import numpy as np

from rankloom.corpus import Corpus
from rankloom.parameter_kinds import ModelName
from rankloom.records import Query
from rankloom.registry import stage_class
from rankloom.rerank.stored_reranker import Compared, Hits, StoredReranker
from rankloom.session import Session
from rankloom.sources import TokenVectorSource
from rankloom.token_encoder import DEFAULT_TOKEN_MODEL, TokenEncoderOptions
from rankloom.token_vectors import maxsim

_TOGETHER = 256  # hits of a query whose vectors are held at a time: 13 MB of 100 vectors of 128 numbers each


class StoredTokenVectors(StoredReranker):
    """Rerank by MaxSim of the query's token vectors with the stored ones of the hits.

    A hit whose vectors are not stored keeps its place among its like, below those that are scored, and is noted as
    `unread_document`; one of which nothing counts has a score of 0 and is noted as `no_vectors`; a query without text
    is not reranked, and noted.

    Args:
        retriever: Whose vectors are read, and whose encoder reads the queries: `MultiVector`, or another
            `TokenVectorSource`.
        depth: How many hits of each query are scored; 1000 as for `stored_vectors`.

    Raises:
        UsageError: depth is not a positive whole number.

    Example:
        >>> from rankloom import Document, Run
        >>> corpus = Corpus.of([Document("d1", "Bread needs yeast."), Document("d2", "Tides follow the moon.")])
        >>> session = Session(offline=True)
        >>> stage = StoredTokenVectors.for_corpus(corpus, session, model="all-MiniLM-L6-v2", untrained=True)
        >>> stage.run(Run.from_documents("what makes the sea rise", list(corpus)))["q1"].doc_ids
        ['d2', 'd1']
    """

    name = "stored_token_vectors"
    reads = TokenVectorSource

    @classmethod
    def for_corpus(
        cls,
        corpus: Corpus,
        session: Session,
        *,
        model: ModelName = DEFAULT_TOKEN_MODEL,
        storage: str = "float16",
        bits: int | None = None,
        search: str | None = None,
        centroids: int | None = None,
        depth: int = 1000,
        **encoder: Unpack[TokenEncoderOptions],
    ) -> Self:
        """A reranker by the token vectors of a corpus.

        With the parameters of a `multi_vector` stage it reads that stage's index; so it does without `search` where
        that stage searches exactly, and came first.

        Args:
            corpus: The documents.
            session: Its cache keeps the index.
            model: A multi-vector encoder; see `rankloom.token_encoder`.
            storage: As what vectors are stored, as for the next three; see `rankloom.retrieval.MultiVector`.
            bits: For residual storage: bits of each number.
            search: Whose index is read: `exact`, `centroids` or `none`. None takes that of `exact` if the cache holds
                one, otherwise `none`: an index that keeps nothing but the vectors.
            centroids: For residual storage and for an index that is searched by centroids: how many there are.
            depth: How many hits of each query are scored.
            encoder: Parameters of `TokenEncoder`, such as `reduction`.

        Raises:
            NotFoundError: The model is not to be had.
            DataError: It gives no token vectors; or a document is longer than it reads, and the session's policy is
                `error`.
            UsageError: There is no such storage or search, or a parameter does not go with it.
        """
        multi_vector: Any = stage_class("multi_vector")
        index = {"storage": storage, "bits": bits, "search": search, "centroids": centroids}
        return cls(multi_vector.reading(corpus, session, model=model, **index, **encoder), depth=depth)

    def _compare(self, queries: Sequence[Query], hits: Hits, session: Session) -> Compared:
        """MaxSim of hits with their queries; a block of a query's hits at a time."""
        source = self.retriever
        if not isinstance(source, TokenVectorSource):
            raise self._no_source("a retriever that is a TokenVectorSource, such as MultiVector")
        encoded = source.encode_queries(queries, session)
        scores = np.zeros(len(hits.codes), dtype=np.float32)
        held, bare = np.zeros(len(hits.codes), dtype=np.bool_), np.zeros(len(hits.codes), dtype=np.bool_)
        borders = np.searchsorted(hits.rows, np.arange(len(queries) + 1))
        for number, query in enumerate(encoded.vectors):
            for start in range(borders[number], borders[number + 1], _TOGETHER):
                part = slice(start, min(start + _TOGETHER, borders[number + 1]))
                documents, held[part] = source.document_token_vectors(hits.ids.take(hits.codes[part]))
                scores[part] = maxsim(query, documents)
                bare[part] = (documents.lengths == 0) | (len(query) == 0)
        return Compared(scores, held, bare, encoded)
