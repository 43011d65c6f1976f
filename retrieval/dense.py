"""Dense retrieval: documents by the inner product of their vector with the query's, exactly or approximately.

Karpukhin et al.: Dense Passage Retrieval for Open-Domain Question Answering, EMNLP 2020.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray

from rankloom.cached_index import opened_or_built
from rankloom.checks import choice, whole
from rankloom.corpus import Corpus
from rankloom.encoders import DEFAULT_MODEL, Encoded, Encoder, Pooling, Precision, SentenceEncoder, truncation_notes
from rankloom.fingerprint import digest
from rankloom.ledger import Note
from rankloom.parameter_kinds import ModelName, NamesModel
from rankloom.records import Documents, Query
from rankloom.retrieval.encoded import chosen_encoder, loaded, ranking_of, taken, too_few
from rankloom.retrieval.made_by import vectors_digest
from rankloom.retrieval.query_vectors import encode_queries
from rankloom.retrieval.vectors.commit import VERSION
from rankloom.retrieval.vectors.index import VectorIndex
from rankloom.retrieval.vectors.row_kinds import AUTO, KINDS, check_effort, check_kind, check_rescore
from rankloom.run import Run
from rankloom.session import Session
from rankloom.sources import VectorSource
from rankloom.stage import Retriever

#: What of the parameters is the encoder's, and what belongs to building the index; the others are the stage's.
_ENCODER_PARAMETERS = frozenset(
    {
        "query_model",
        "precision",
        "dimensions",
        "query_prompt",
        "document_prompt",
        "normalize",
        "pooling",
        "window",
        "stride",
    }
)
_BUILD_SETTINGS = frozenset({"nlist", "code_bytes", "links"})


class Dense(Retriever, VectorSource):
    """Rank documents by the inner product of their vector with the query's.

    Reads the query's vector of its space if feedback has written one, otherwise encodes the text. What searches the
    vectors is the index's kind: an exact kind leaves nothing out; an approximate one is asked for by name, and where it
    finds fewer documents than it was asked for, a note says so. Ties go by document id.

    Args:
        index: Vectors of a corpus; see `Dense.build` and `Dense.open`.
        k: Depth of the rankings, 1000 as TREC runs have it.
        rescore: How many rows that an approximate search finds are scored anew by the stored vectors, for each query;
            0 for none, otherwise at least `k`. None takes the kind's own number.
        nprobe: For kinds with lists: how many of them are searched. None takes the kind's own number.
        ef: For HNSW: how many rows the search keeps in sight (efSearch). None takes the kind's own number.

    Raises:
        UsageError: A parameter is out of range, or the index's kind does not have it.

    Example:
        >>> from rankloom import Document
        >>> corpus = Corpus.of([Document("d1", "Tides follow the moon."), Document("d2", "Bread needs yeast.")])
        >>> dense = Dense.for_corpus(corpus, Session(offline=True))
        >>> dense.search("why does the sea rise twice a day", 1)[0].doc_id
        'd1'
    """

    name = "dense"
    requires = ("sentence_transformers",)
    accepts = frozenset({"vectors"})

    def __init__(
        self,
        index: VectorIndex,
        *,
        k: int = 1000,
        rescore: int | None = None,
        nprobe: int | None = None,
        ef: int | None = None,
    ) -> None:
        self.index = index
        self.k = whole(k, least=1, stage=self.name, parameter="k")
        self.rescore = self._or_none("rescore", rescore, least=0)
        self.nprobe = self._or_none("nprobe", nprobe, least=1)
        self.ef = self._or_none("ef", ef, least=1)
        index.check_search(k=self.k, rescore=rescore, effort={"nprobe": nprobe, "ef": ef})

    def _or_none(self, parameter: str, value: int | None, *, least: int) -> int | None:
        """The value, if it is None or a whole number of at least `least`."""
        return None if value is None else whole(value, least=least, stage=self.name, parameter=parameter)

    # --- ways in ---------------------------------------------------------------------------------------------

    @classmethod
    def of(
        cls,
        corpus: Corpus,
        *,
        model: str | None = None,
        encoder: Encoder | None = None,
        kind: str = AUTO,
        session: Session | None = None,
        **params: Any,
    ) -> Self:
        """Encode a corpus into an index in memory, and search it; the parameters are those of `build`."""
        encoder = _encoder(encoder, model, taken(params, _ENCODER_PARAMETERS))
        settings = taken(params, _BUILD_SETTINGS)
        cls._check(kind, params)
        return cls(VectorIndex.of(corpus, encoder=encoder, session=session, kind=kind, settings=settings), **params)

    @classmethod
    def build(
        cls,
        corpus: Corpus,
        path: str | Path,
        *,
        model: str | None = None,
        encoder: Encoder | None = None,
        kind: str = AUTO,
        session: Session | None = None,
        **params: Any,
    ) -> Self:
        """Encode a corpus, write the index to a folder, and search it.

        A build that was killed goes on where it stopped. Documents that are longer than the model reads are listed
        in `index.ledger`.

        Args:
            corpus: The documents; `Document.contents` is what is encoded.
            path: Where the index shall live; an existing one is replaced.
            model: A sentence encoder, by default all-MiniLM-L6-v2; see `rankloom.models.resolve_model`.
            encoder: What encodes, in place of a model: any `rankloom.encoders.Encoder`.
            kind: What searches the vectors: `auto` for an exact search that suits their number (`index.kind` says
                which it is), or a kind of `rankloom.retrieval.vectors.row_kinds.KINDS`.
            session: How to carry it out.
            params: Parameters of the stage, of `SentenceEncoder` (such as `precision` or `window`), and build settings
                of the kind (`nlist`, `code_bytes`, `links`).

        Raises:
            NotFoundError: The model is not to be had.
            DataError: A document is longer than the model reads, and the session's policy is `error`.
            UsageError: There is no such kind, or it has no such setting.
        """
        encoder = _encoder(encoder, model, taken(params, _ENCODER_PARAMETERS))
        settings = taken(params, _BUILD_SETTINGS)
        cls._check(kind, params)
        index = VectorIndex.build(corpus, path, encoder=encoder, session=session, kind=kind, settings=settings)
        return cls(index, **params)

    @classmethod
    def open(
        cls,
        path: str | Path,
        corpus: Corpus | None = None,
        *,
        model: str | None = None,
        encoder: Encoder | None = None,
        **params: Any,
    ) -> Self:
        """Search an index that `build` has written.

        Args:
            path: Where the index lives.
            corpus: The corpus it was made from, so that hits have texts; by default the one beside the index, if
                there is one.
            model: Where the model is to be found, if not under the name that the index was built with.
            encoder: What encodes queries, in place of a model.
            params: Parameters of the stage, and of `SentenceEncoder` where they shall be others than the index was
                built with.

        Raises:
            NotFoundError: There is no such folder.
            DamagedIndexError: It is no index, is of another version, or a file is missing or damaged.
            UsageError: The index was made with another model or from another corpus; or with an encoder that is no
                sentence encoder, and none is given.
        """
        options = taken(params, _ENCODER_PARAMETERS)
        if encoder is not None:
            _encoder(encoder, model, options)
        index = VectorIndex.open(path, corpus=corpus, encoder=encoder, model=model, options=options)
        return cls(index, **params)

    @classmethod
    def for_corpus(
        cls,
        corpus: Corpus,
        session: Session,
        *,
        model: ModelName = DEFAULT_MODEL,
        query_model: Annotated[str | None, NamesModel()] = None,
        precision: Precision | None = None,
        dimensions: int | None = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        normalize: bool | None = None,
        pooling: Pooling | None = None,
        window: int | None = None,
        stride: int | None = None,
        encoder: Encoder | None = None,
        kind: str = AUTO,
        nlist: int | None = None,
        code_bytes: int | None = None,
        links: int | None = None,
        k: int = 1000,
        rescore: int | None = None,
        nprobe: int | None = None,
        ef: int | None = None,
    ) -> Self:
        """A retriever over a corpus, by an index that the session's cache holds or is given now.

        Without a cache the index lives in memory. Parameters of the search (`k`, `rescore`, `nprobe`, `ef`) are no part
        of the index: other values of them search the one that is there. The cache keeps the vectors beside the index,
        which doubles the disk it takes, so that an index of another kind or `nlist` is built without encoding again.

        Args:
            corpus: The documents.
            session: Its cache keeps the index.
            model: A sentence encoder; see `rankloom.models.resolve_model`.
            query_model: As for `SentenceEncoder`, as the next eight: another model for queries.
            precision: What vectors are computed with; None for the session's dtype.
            dimensions: How many numbers of each vector are kept.
            query_prompt: Put before each query.
            document_prompt: Put before each document.
            normalize: Whether vectors are brought to length 1.
            pooling: How token vectors become one.
            window: Tokens of the windows of long documents; a document's best window counts.
            stride: Tokens from one window to the next.
            encoder: As for `build`; for Python only.
            kind: As for `build`.
            nlist: For kinds with lists: how many. None takes the kind's rule, as for the next two.
            code_bytes: For IVF-PQ: bytes of a row's code.
            links: For HNSW: links of a row (M).
            k: Depth of the rankings.
            rescore: As for the constructor.
            nprobe: As for the constructor.
            ef: As for the constructor.

        Raises:
            NotFoundError: The model is not to be had.
            DataError: A document is longer than the model reads, and the session's policy is `error`.
            UsageError: There is no such kind, or it does not have one of the parameters.
        """
        settings: dict[str, Any] = {"nlist": nlist, "code_bytes": code_bytes, "links": links}
        params: dict[str, Any] = {"k": k, "rescore": rescore, "nprobe": nprobe, "ef": ef}
        check_kind(kind, settings, stage=cls.name)
        cls._check(kind, params)
        options: dict[str, Any] = {"query_model": query_model, "precision": precision, "dimensions": dimensions}
        options.update(query_prompt=query_prompt, document_prompt=document_prompt, normalize=normalize)
        options.update(pooling=pooling, window=window, stride=stride)
        encoder = _encoder(encoder, model if encoder is None else None, options)
        if session.cache is None:
            return cls.of(corpus, encoder=encoder, kind=kind, session=session, **settings, **params)
        encoder.resolve(session)
        vectors = digest(VERSION, vectors_digest(encoder, session), corpus)
        made_of = digest(vectors, kind, settings)
        shards = session.cache.index_directory("dense_shards", vectors)
        index = opened_or_built(
            session.cache.index_directory(cls.name, made_of),
            lambda there: VectorIndex.open(there, corpus=corpus, encoder=encoder),
            lambda there: VectorIndex.build(
                corpus, there, encoder=encoder, session=session, kind=kind, settings=settings, shards=shards
            ),
        )
        index.check_truncation(session)
        return cls(index, **params)

    @classmethod
    def _check(cls, kind: str, params: Mapping[str, Any]) -> None:
        """Refuse parameters of the search before anything is encoded, for which an index of their kind would be wrong.

        Raises:
            UsageError: There is no such parameter, it is out of range, or the kind does not have it.
        """
        known = signature(cls).parameters
        for name in params:
            choice(name, [*known, *_ENCODER_PARAMETERS, *_BUILD_SETTINGS], stage=cls.name, parameter="parameter")
        choice(kind, [AUTO, *KINDS], stage=cls.name, parameter="kind")
        k = whole(params.get("k", known["k"].default), least=1, stage=cls.name, parameter="k")
        check_effort(kind, {name: params.get(name) for name in ("nprobe", "ef")}, stage=cls.name)
        exact = kind == AUTO or kind.startswith("exact_")
        check_rescore(kind, params.get("rescore"), k, exact=exact, stage=cls.name)

    # --- a stage ---------------------------------------------------------------------------------------------

    def __call__(self, run: Run) -> Run:
        """Rank the corpus for every query."""
        asked = [number for number, query in enumerate(run.queries) if not query.blank]
        queries = [run.queries[number] for number in asked]
        encoded = self.encode_queries(queries, run.session)
        effort = {name: value for name, value in (("nprobe", self.nprobe), ("ef", self.ef)) if value is not None}
        hits = self.index.search(encoded.vectors, self.k, rescore=self.rescore, effort=effort)
        ranking = ranking_of(len(run), asked, self.index.ids, hits, stage=self.name)
        ids = [query.id for query in queries]
        missing = too_few(
            self.name, min(self.k, len(self.index)), zip(ids, np.diff(hits.offsets).tolist(), strict=True)
        )
        blank = [Note(self.name, "empty_query", query.id) for query in run.queries if query.blank]
        notes = truncation_notes(run.session, queries, encoded.truncated, stage=self.name)
        typed = replace(run, queries=tuple(query.as_typed() for query in run.queries))
        return (
            typed.ranked(ranking)
            .noted(*blank, *notes, *missing)
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

    def encode_queries(self, queries: Sequence[Query], session: Session) -> Encoded:
        """A vector for each query: its own, or that of its text; the model sees only those without one.

        Raises:
            CompositionError: A query has only vectors of other spaces.
            DataError: A query's vector has not the index's dimensions, or is not finite.
        """
        space, dimensions = self.space, self.index.dimensions
        return encode_queries(queries, self._load, session, space=space, dimensions=dimensions, stage=self.name)

    def encode_passages(self, texts: Sequence[str], session: Session) -> Encoded:
        """A vector for each text, encoded as the documents are; a long one by its beginning, not by windows."""
        return self._load(session).encode(list(texts), role="document", session=session)

    def document_vectors(self, doc_ids: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Stored vectors, float32 (documents, dimensions), zero for unknown ones; and whether each is known, bool."""
        codes = self.index.ids.codes(list(doc_ids))
        held = codes >= 0
        vectors = np.zeros((len(codes), self.index.dimensions), dtype=np.float32)
        vectors[held] = self.index.vectors(codes[held])
        return vectors, held

    # --- inside ------------------------------------------------------------------------------------------------

    def _load(self, session: Session) -> Encoder:
        """The encoder with its model in memory, which is the one the index was made with."""
        return loaded(self.index.encoder, self.index.check_encoder, session)


def _encoder(encoder: Encoder | None, model: str | None, options: Mapping[str, Any]) -> Encoder:
    """The encoder that is given, or a sentence encoder."""
    return chosen_encoder(encoder, model, options, SentenceEncoder, default=DEFAULT_MODEL, stage=Dense.name)
