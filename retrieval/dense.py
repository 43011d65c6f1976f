"""Dense retrieval: one vector a document, exact inner products.

Karpukhin et al.: Dense Passage Retrieval for Open-Domain Question Answering, EMNLP 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rankloom.cached_index import opened_or_built
from rankloom.checks import whole
from rankloom.corpus import Corpus
from rankloom.encoders import DEFAULT_MODEL, Encoded, SentenceEncoder, truncation_note
from rankloom.errors import CompositionError, DataError
from rankloom.fingerprint import digest
from rankloom.ledger import Note
from rankloom.parameter_kinds import ModelName
from rankloom.ranking import Ranking
from rankloom.records import Documents, Query
from rankloom.retrieval.vectors.index import VectorIndex
from rankloom.run import Run
from rankloom.session import Session
from rankloom.sources import VectorSource
from rankloom.stage import Retriever


class Dense(Retriever, VectorSource):
    """Rank documents by the inner product of their vector with the query's.

    Reads the query's vector of its space if feedback has written one, otherwise encodes the text. Results are exact:
    nothing is approximated, and ties go by document id.

    Args:
        index: Vectors of a corpus; see `Dense.build` and `Dense.open`.
        k: Depth of the rankings, 1000 as TREC runs have it.

    Raises:
        UsageError: k is not a positive whole number.

    Example:
        >>> from rankloom import Document
        >>> corpus = Corpus.of([Document("d1", "Tides follow the moon."), Document("d2", "Bread needs yeast.")])
        >>> dense = Dense.for_corpus(corpus, Session(offline=True))
        >>> dense.search("why does the sea rise twice a day", 1)[0].doc_id
        'd1'
    """

    name = "dense"
    requires = ("sentence_transformers", "faiss")
    accepts = frozenset({"vectors"})

    def __init__(self, index: VectorIndex, *, k: int = 1000) -> None:
        self.index = index
        self.k = whole(k, least=1, stage=self.name, parameter="k")

    # --- ways in ---------------------------------------------------------------------------------------------

    @classmethod
    def of(cls, corpus: Corpus, *, model: str = DEFAULT_MODEL, session: Session | None = None, **params: Any) -> Self:
        """Encode a corpus into an index in memory, and search it; the parameters are those of `build`."""
        return cls(VectorIndex.of(corpus, encoder=SentenceEncoder(model, stage=cls.name), session=session), **params)

    @classmethod
    def build(
        cls,
        corpus: Corpus,
        path: str | Path,
        *,
        model: str = DEFAULT_MODEL,
        session: Session | None = None,
        **params: Any,
    ) -> Self:
        """Encode a corpus, write the index to a folder, and search it.

        A build that was killed goes on where it stopped. Documents that are longer than the model reads are listed
        in `index.ledger`.

        Args:
            corpus: The documents; `Document.contents` is what is encoded.
            path: Where the index shall live; an existing one is replaced.
            model: A sentence encoder; see `rankloom.models.resolve_model`.
            session: How to carry it out.
            params: Parameters of the stage.

        Raises:
            NotFoundError: The model is not to be had.
            DataError: A document is longer than the model reads, and the session's policy is `error`.
        """
        encoder = SentenceEncoder(model, stage=cls.name)
        return cls(VectorIndex.build(corpus, path, encoder=encoder, session=session), **params)

    @classmethod
    def open(cls, path: str | Path, corpus: Corpus | None = None, *, model: str | None = None, **params: Any) -> Self:
        """Search an index that `build` has written.

        Args:
            path: Where the index lives.
            corpus: The corpus it was made from, so that hits have texts; by default the one beside the index, if
                there is one.
            model: Where the model is to be found, if not under the name that the index was built with.
            params: Parameters of the stage.

        Raises:
            NotFoundError: There is no such folder.
            DamagedIndexError: It is no index, is of another version, or a file is missing or damaged.
            UsageError: The index was made with another model or from another corpus.
        """
        encoder = None if model is None else SentenceEncoder(model, stage=cls.name)
        return cls(VectorIndex.open(path, corpus=corpus, encoder=encoder), **params)

    @classmethod
    def for_corpus(cls, corpus: Corpus, session: Session, *, model: ModelName = DEFAULT_MODEL, k: int = 1000) -> Self:
        """A retriever over a corpus, by an index that the session's cache holds or is given now.

        Without a cache the index lives in memory.

        Args:
            corpus: The documents.
            session: Its cache keeps the index.
            model: A sentence encoder; see `rankloom.models.resolve_model`.
            k: Depth of the rankings.

        Raises:
            NotFoundError: The model is not to be had.
            DataError: A document is longer than the model reads, and the session's policy is `error`.
        """
        encoder = SentenceEncoder(model, stage=cls.name)
        if session.cache is None:
            return cls.of(corpus, model=model, session=session, k=k)
        encoder.resolve(session)
        path = session.cache.index_directory(cls.name, digest(encoder, corpus, session.dtype))
        index = opened_or_built(
            path,
            lambda there: VectorIndex.open(there, corpus=corpus, encoder=encoder),
            lambda there: VectorIndex.build(corpus, there, encoder=encoder, session=session),
        )
        index.check_truncation(session)
        return cls(index, k=k)

    # --- a stage ---------------------------------------------------------------------------------------------

    def __call__(self, run: Run) -> Run:
        """Rank the corpus for every query."""
        asked = [number for number, query in enumerate(run.queries) if not query.blank]
        encoded, notes = self._encoded([run.queries[number] for number in asked], run.session)
        found = dict(zip(asked, self.index.search(encoded.vectors, self.k), strict=True))
        hits = [found[number] for number in asked]
        counts = [len(found[number][0]) if number in found else 0 for number in range(len(run))]
        ranking = Ranking.build(
            self.index.ids,
            np.cumsum([0, *counts], dtype=np.int64),
            np.concatenate([codes for codes, _ in hits]) if hits else np.zeros(0, dtype=np.int32),
            np.concatenate([scores for _, scores in hits]) if hits else np.zeros(0, dtype=np.float32),
            stage=self.name,
        )
        blank = [Note(self.name, "empty_query", query.id) for query in run.queries if query.blank]
        typed = replace(run, queries=tuple(query.as_typed() for query in run.queries))
        return (
            typed.ranked(ranking)
            .noted(*blank, *notes)
            .counted(inputs=len(run), calls=encoded.calls, tokens=int(encoded.tokens.sum()))
        )

    @property
    def documents(self) -> Documents | None:
        """The corpus, if the index was opened with it."""
        return self.index.documents

    @property
    def model_name(self) -> str:
        """The encoder's model."""
        return self.index.encoder.model

    @property
    def index_bytes(self) -> int:
        """Bytes of the index."""
        return self.index.nbytes

    def warm_up(self, session: Session | None = None) -> None:
        """Load the model."""
        self._load(session or Session())

    def close(self) -> None:
        """Free the model."""
        self.index.encoder.close()

    # --- a source of vectors for feedback -------------------------------------------------------------------

    @property
    def space(self) -> str:
        """The encoder's fingerprint: the key of `Query.vectors` that this retriever reads."""
        return self.index.space

    def query_vectors(self, queries: Sequence[Query], session: Session) -> NDArray[np.float32]:
        """A vector for each query, float32 of shape (queries, dimensions): the query's own, or that of its text.

        Raises:
            CompositionError: A query has only vectors of other spaces.
            DataError: A query's vector has not the index's dimensions, or is not finite.
        """
        return self._encoded(queries, session)[0].vectors

    def document_vectors(self, doc_ids: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Stored vectors, float32 (documents, dimensions), zero for unknown ones; and whether each is known, bool."""
        codes = self.index.ids.codes(list(doc_ids))
        held = codes >= 0
        vectors = np.zeros((len(codes), self.index.dimensions), dtype=np.float32)
        vectors[held] = self.index.vectors(codes[held])
        return vectors, held

    # --- inside ------------------------------------------------------------------------------------------------

    def _encoded(self, queries: Sequence[Query], session: Session) -> tuple[Encoded, list[Note]]:
        """Vectors of queries, and notes of those that were cut; the model sees only those without a vector."""
        vectors = np.zeros((len(queries), self.index.dimensions), dtype=np.float32)
        tokens, truncated = np.zeros(len(queries), dtype=np.int64), np.zeros(len(queries), dtype=np.int64)
        texts = [number for number, query in enumerate(queries) if not query.vectors]
        for number, query in enumerate(queries):
            if query.vectors:
                vectors[number] = self._given(query)
        calls = 0
        if texts:
            encoder = self._load(session)
            some = encoder.encode([queries[number].text for number in texts], role="query", session=session)
            vectors[texts], tokens[texts], truncated[texts], calls = some
        notes = [
            truncation_note(session, stage=self.name, tokens=int(truncated[number]), query_id=queries[number].id)
            for number in np.flatnonzero(truncated).tolist()
        ]
        return Encoded(vectors, tokens, truncated, calls), notes

    def _given(self, query: Query) -> NDArray[np.float32]:
        """The vector that feedback has written into a query."""
        vector = query.vectors.get(self.space)
        if vector is None:
            raise CompositionError(
                "the query holds vectors of another encoder",
                stage=self.name,
                value=", ".join(query.vectors),
                accepted=self.space,
                fix="put a retriever over the same index behind the feedback",
            )
        if np.shape(vector) != (self.index.dimensions,) or not np.isfinite(vector).all():
            raise DataError(
                f"the query's vector must hold {self.index.dimensions} finite numbers", stage=self.name, value=query.id
            )
        return np.asarray(vector, dtype=np.float32)

    def _load(self, session: Session) -> SentenceEncoder:
        """The encoder with its model in memory, which is the one the index was made with."""
        encoder = self.index.encoder
        encoder.resolve(session)
        self.index.check_encoder()
        encoder.load(session)
        return encoder
