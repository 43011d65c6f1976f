"""Dense, learned sparse, BM25 and hybrid search in Milvus as a stage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Self, get_args

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import choice, same_corpus
from rankloom.corpus import Corpus
from rankloom.encoders import DEFAULT_MODEL, Encoded, Encoder, Pooling, Precision, SentenceEncoder
from rankloom.errors import CompositionError, StageError, UsageError
from rankloom.fingerprint import digest
from rankloom.ids import DocIds
from rankloom.ledger import Note
from rankloom.order import top_order
from rankloom.parameter_kinds import NamesModel
from rankloom.ranking import Ranking, ScoreKind
from rankloom.records import Document, Documents, Query
from rankloom.retrieval.made_by import vectors_digest
from rankloom.retrieval.milvus.collection import MilvusCollection
from rankloom.retrieval.milvus.connection import STAGE
from rankloom.retrieval.milvus.contents import Field, Index, IndexSettings
from rankloom.retrieval.milvus.loading import add_documents, build_collection, delete_documents, temporary_collection
from rankloom.retrieval.milvus.parameters import Kind, check_meant, check_search, kind_of, whole_number
from rankloom.retrieval.milvus.queries import Asked, ask_bm25, ask_dense, ask_sparse, dense_vectors
from rankloom.retrieval.milvus.search import MOST, Found, hybrid_search, search
from rankloom.retrieval.sparse_encoder import SparseEncoder, TermEncoder
from rankloom.run import Run
from rankloom.session import Session
from rankloom.sources import VectorSource
from rankloom.stage import Retriever, Traits

_CANDIDATES, _EF, _NPROBE = 1000, 128, 32
_READS: Mapping[str, Traits] = {"dense": frozenset({"vectors"}), "sparse": frozenset({"terms"})}


class Milvus(Retriever, VectorSource):
    """Search a collection in Milvus; needs the extra `milvus`.

    Scores are inner products (dense, sparse), BM25 as Milvus computes it, or sums of reciprocal ranks (hybrid). Equal
    scores go by document id, also where k cuts between them. With the index `flat` dense search leaves nothing out, as
    learned sparse search never does; scores are float32 sums in the engine's order, so that they can differ from
    another engine's in the last digits.

    Args:
        index: A collection; see `Milvus.build`, `Milvus.open` and `Milvus.of`.
        corpus: The documents it was made from, for stages that read texts. None: hits have ids and scores only.
        kind: What to search: `dense`, `sparse`, `bm25`, or all that there is, fused by Milvus with reciprocal ranks
            (`hybrid`; a query that has nothing to ask one of them is asked of the others). By default what the
            collection holds. Milvus ranks documents of equal score within each list in an order of its own; where that
            matters, or weights do, fuse two stages over one collection by `rrf` or `interpolate`.
        k: How many hits a query gets at most; 1,000 as in TREC.
        candidates: For `hybrid`: how many documents each kind gives; None for 1,000.
        ef: For the index `hnsw`: how many candidates the search keeps; None for 128. It is k, if that is more.
        nprobe: For the index `ivf_flat`: how many clusters are looked into; None for 32.
        queries: Where learned sparse vectors are searched: what makes terms of query texts; by default the model of the
            documents.

    Raises:
        UsageError: A parameter is out of range or has no meaning for what is searched, the collection does not hold
            that, or it was made from another corpus.

    Example:
        >>> from rankloom import Document
        >>> sky = Document("d1", "The sky scatters blue light.")
        >>> corpus = Corpus.of([sky, Document("d2", "Tides follow the moon.")])
        >>> milvus = Milvus.build(corpus, "corpus.db", collection="corpus")  # doctest: +SKIP
        >>> milvus.search("Why is the sky blue?")[0].doc_id  # doctest: +SKIP
        'd1'
    """

    name = STAGE
    requires = ("pymilvus",)
    accepts = frozenset({"vectors", "terms"})

    def __init__(
        self,
        index: MilvusCollection,
        *,
        corpus: Corpus | None = None,
        kind: Kind | None = None,
        k: int = 1000,
        candidates: int | None = None,
        ef: int | None = None,
        nprobe: int | None = None,
        queries: TermEncoder | None = None,
    ) -> None:
        self.index = index
        self.corpus = corpus
        self.kind = kind_of(kind, index.contents.fields)
        self.k = whole_number("k", k, most=MOST)
        self.candidates = None if candidates is None else whole_number("candidates", candidates, most=MOST)
        self.ef = None if ef is None else whole_number("ef", ef)
        self.nprobe = None if nprobe is None else whole_number("nprobe", nprobe)
        self.queries = queries
        built = index.contents.settings["index"] if "dense" in self._fields else None
        check_search(self.kind, built, candidates=candidates, ef=ef, nprobe=nprobe)
        check_meant(queries, "queries", f"search of kind {self.kind}", "learned sparse", meant="sparse" in self._fields)
        self.accepts = _READS.get(self.kind, frozenset())
        same_corpus(corpus, index.contents.corpus, stage=self.name)

    # --- ways in ---------------------------------------------------------------------------------------------

    @classmethod
    def build(
        cls,
        corpus: Corpus,
        uri: str | Path,
        *,
        collection: str,
        model: str | None = DEFAULT_MODEL,
        encoder: Encoder | None = None,
        sparse: SparseEncoder | None = None,
        bm25: bool = False,
        settings: IndexSettings | None = None,
        timeout: float = 60.0,
        session: Session | None = None,
        **params: Any,
    ) -> Self:
        """Load a corpus into a collection, or what is missing of it, and search it.

        Args:
            corpus: The documents.
            uri: A file of Milvus Lite, whose name ends in `.db`, or `http://HOST:PORT` of a server; the token comes
                from the environment variable MILVUS_TOKEN.
            collection: The name there.
            model: A sentence encoder for dense vectors; None for none.
            encoder: The encoder itself, in place of `model`.
            sparse: A sparse encoder, for learned sparse vectors.
            bm25: Whether Milvus indexes the texts for its own BM25.
            settings: How dense vectors are found; by default exactly.
            timeout: Seconds that a request may take.
            session: How to carry it out.
            params: Parameters of the stage.

        Raises:
            RankloomError: As `build_collection` raises it.
        """
        if encoder is None and model is not None:
            encoder = SentenceEncoder(model, stage=cls.name)
        made: dict[str, Any] = {"encoder": encoder, "sparse": sparse, "bm25": bm25, "settings": settings}
        index = build_collection(corpus, uri, collection=collection, timeout=timeout, session=session, **made)
        return cls(index, corpus=corpus, **params)

    @classmethod
    def open(
        cls,
        uri: str | Path,
        *,
        collection: str,
        corpus: Corpus | None = None,
        encoder: Encoder | None = None,
        sparse: SparseEncoder | None = None,
        timeout: float = 60.0,
        session: Session | None = None,
        **params: Any,
    ) -> Self:
        """Search a collection that `build` has made.

        Args:
            uri: As for `build`.
            collection: The name there.
            corpus: The corpus it was made from, so that hits have texts.
            encoder: The dense encoder; by default the one it was made with, under the same name.
            sparse: The sparse encoder, likewise.
            timeout: Seconds that a request may take.
            session: Tells whether the network may be used.
            params: Parameters of the stage.

        Raises:
            RankloomError: As `MilvusCollection.open` raises it.
        """
        made: dict[str, Any] = {"encoder": encoder, "sparse": sparse, "timeout": timeout, "session": session}
        return cls(MilvusCollection.open(uri, collection=collection, corpus=corpus, **made), corpus=corpus, **params)

    @classmethod
    def for_corpus(
        cls,
        corpus: Corpus,
        session: Session,
        *,
        uri: str | None = None,
        collection: str | None = None,
        kind: Kind = "dense",
        model: Annotated[str | None, NamesModel()] = None,
        query_model: Annotated[str | None, NamesModel()] = None,
        precision: Precision | None = None,
        dimensions: int | None = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        normalize: bool | None = None,
        pooling: Pooling | None = None,
        sparse_model: Annotated[str | None, NamesModel()] = None,
        index: Index | None = None,
        links: int | None = None,
        ef_construction: int | None = None,
        nlist: int | None = None,
        timeout: float = 60.0,
        k: int = 1000,
        candidates: int | None = None,
        ef: int | None = None,
        nprobe: int | None = None,
    ) -> Self:
        """Search a corpus in a collection that is loaded once and then found again.

        Args:
            corpus: The documents.
            session: How to carry it out; its cache keeps the file of Milvus Lite where no `uri` is given.
            uri: As for `build`. By default a file of Milvus Lite in the session's cache, or a temporary one without.
            collection: The name there; by default `rankloom_` and a digest of corpus, models and index.
            kind: As for the constructor. `hybrid` is dense with `sparse_model`, or with BM25 if there is none.
            model: A sentence encoder, for `dense` and `hybrid`; None for all-MiniLM-L6-v2.
            query_model: As for `SentenceEncoder`, as the next six: another model for queries.
            precision: What vectors are computed with; None for the session's dtype.
            dimensions: How many numbers of each vector are kept.
            query_prompt: Put before each query.
            document_prompt: Put before each document.
            normalize: Whether vectors are brought to length 1.
            pooling: How token vectors become one.
            sparse_model: A sparse encoder, for `sparse` and `hybrid`.
            index: How dense vectors are found; see `IndexSettings`. None for `flat`.
            links: As for `IndexSettings`.
            ef_construction: As for `IndexSettings`.
            nlist: As for `IndexSettings`.
            timeout: Seconds that a request may take.
            k: As for the constructor.
            candidates: As for the constructor.
            ef: As for the constructor.
            nprobe: As for the constructor.

        Raises:
            UsageError: A parameter has no meaning for the kind or the index, or is missing.
            RankloomError: As `build_collection` raises it.
        """
        choice(kind, get_args(Kind), stage=cls.name, parameter="kind")
        dense, having = kind in ("dense", "hybrid"), f"search of kind {kind}"
        settings = IndexSettings(index or "flat", links, ef_construction, nlist)
        options: dict[str, Any] = {"query_model": query_model, "precision": precision, "dimensions": dimensions}
        options.update(query_prompt=query_prompt, document_prompt=document_prompt, normalize=normalize, pooling=pooling)
        options = {name: value for name, value in options.items() if value is not None}
        for name, value in {"model": model, "index": index, **options}.items():
            check_meant(value, name, having, "dense and hybrid", meant=dense)
        check_meant(sparse_model, "sparse_model", having, "sparse and hybrid", meant=kind in ("sparse", "hybrid"))
        check_search(kind, settings.index if dense else None, candidates=candidates, ef=ef, nprobe=nprobe)
        if kind == "sparse" and sparse_model is None:
            raise UsageError("sparse search needs a model", stage=cls.name, fix="give sparse_model")
        encoder = SentenceEncoder(model or DEFAULT_MODEL, stage=cls.name, **options) if dense else None
        sparse = None if sparse_model is None else SparseEncoder(sparse_model, stage=cls.name)
        bm25 = kind == "bm25" or (kind == "hybrid" and sparse is None)
        for one in (encoder, sparse):
            if one is not None:
                one.resolve(session)
        made = {"encoder": encoder, "sparse": sparse, "bm25": bm25, "settings": settings}
        made_by = encoder and vectors_digest(encoder, session)
        identity = digest(corpus, made_by, sparse, bm25, settings.described())
        if uri is None and session.cache is not None:
            uri = str(session.cache.index_directory(cls.name, f"{identity}.db"))
        given: dict[str, Any] = {**made, "timeout": timeout, "session": session}
        if uri is None:
            held = temporary_collection(corpus, **given)
        else:
            held = build_collection(corpus, uri, collection=collection or f"rankloom_{identity}", **given)
        return cls(held, corpus=corpus, kind=kind, k=k, candidates=candidates, ef=ef, nprobe=nprobe)

    def add(
        self, documents: Iterable[Document], *, corpus: Corpus | None = None, session: Session | None = None
    ) -> Self:
        """Add documents to the collection; one whose id is there already takes the old one's place.

        Args:
            documents: As many as wanted; they are streamed.
            corpus: The corpus with all documents that are there now, so that hits have texts.
            session: How to carry it out.

        Returns:
            A stage over the collection as it is now. This stage is not to be used any more: caches remember its results
            for what the collection was.

        Raises:
            RankloomError: As `add_documents` raises it.
        """
        return self.replace(index=add_documents(self.index, documents, session=session), corpus=corpus)

    def delete(self, doc_ids: Sequence[str], *, corpus: Corpus | None = None, session: Session | None = None) -> Self:
        """Delete documents from the collection.

        Args:
            doc_ids: Their ids.
            corpus: As for `add`.
            session: Tells whether the network may be used.

        Returns:
            A stage over the collection as it is now; see `add`.

        Raises:
            RankloomError: As `delete_documents` raises it.
        """
        return self.replace(index=delete_documents(self.index, doc_ids, session=session), corpus=corpus)

    # --- a stage ---------------------------------------------------------------------------------------------

    @property
    def documents(self) -> Documents | None:
        """The corpus."""
        return self.corpus

    @property
    def model_name(self) -> str:
        """The models that encode queries."""
        contents = self.index.contents
        names = {"dense": contents.model, "sparse": contents.sparse_model, "bm25": ""}
        return names.get(self.kind, " + ".join(filter(None, (contents.model, contents.sparse_model))))

    def warm_up(self, session: Session | None = None) -> None:
        """Load the models and open the connection."""
        session = session or Session()
        self.index.connection.check_offline(session)
        for encoder in (self.index.encoder, self.index.sparse):
            if encoder is not None:
                encoder.load(session)
        len(self.index)

    def close(self) -> None:
        """Free the models and close the connection."""
        self.index.close()

    def __call__(self, run: Run) -> Run:
        """The best k documents of every query; a query that finds none is noted in the ledger."""
        self.index.connection.check_offline(run.session)
        asked = {field: self._asked(field, run.queries, run.session) for field in self._fields}
        found = self._found(asked)
        notes = [note for one in asked.values() for note in one.notes]
        for place, query in enumerate(run.queries):
            fields = [field for field, one in asked.items() if one.values[place] is not None]
            notes += self._notes(query, fields, found.get(place))
        typed = replace(run, queries=tuple(query.as_typed() for query in run.queries))
        ranking = self._ranking([found.get(place) for place in range(len(run))])
        calls, tokens = (sum(getattr(one, name) for one in asked.values()) for name in ("calls", "tokens"))
        ranked = typed.ranked(ranking).noted(*notes)
        return ranked.counted(inputs=len(run), calls=calls, tokens=tokens) if calls else ranked

    # --- a source of vectors for feedback -----------------------------------------------------------------------

    @property
    def space(self) -> str:
        """The dense encoder's fingerprint: the key of `Query.vectors` that this retriever reads.

        Raises:
            CompositionError: The stage does not search dense vectors.
        """
        if self.kind != "dense":
            raise CompositionError(f"searches {self.kind}, not dense vectors", stage=self.name, fix="set kind='dense'")
        return self.index.space

    def encode_queries(self, queries: Sequence[Query], session: Session) -> Encoded:
        """A vector for each query: its own, or that of its text."""
        self.index.connection.check_offline(session)
        return dense_vectors(self.index, queries, session)

    def encode_passages(self, texts: Sequence[str], session: Session) -> Encoded:
        """A vector for each text, encoded as the documents are."""
        return self.index.dense_encoder(session).encode(list(texts), role="document", session=session)

    def document_vectors(self, doc_ids: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Stored vectors, float32 (documents, dimensions), zero for unknown ones; and whether each is known, bool."""
        stored = self.index.vectors(doc_ids)
        vectors = np.zeros((len(doc_ids), self.index.contents.dimensions), dtype=np.float32)
        held = np.array([doc_id in stored for doc_id in doc_ids], dtype=np.bool_)
        for place in np.flatnonzero(held).tolist():
            vectors[place] = stored[doc_ids[place]]
        return vectors, held

    # --- inside ------------------------------------------------------------------------------------------------

    @property
    def _fields(self) -> tuple[Field, ...]:
        """What is searched."""
        return self.index.contents.fields if self.kind == "hybrid" else (self.kind,)

    def _asked(self, field: Field, queries: Sequence[Query], session: Session) -> Asked:
        """What the queries ask of a field."""
        if field == "dense":
            return ask_dense(self.index, queries, session)
        if field == "sparse":
            return ask_sparse(self.index, queries, session, self.queries)
        return ask_bm25(queries)

    def _found(self, asked: Mapping[Field, Asked]) -> dict[int, Found]:
        """The hits of the queries that ask something of a field, by their places."""
        together: dict[tuple[Field, ...], list[int]] = {}
        for place in range(len(next(iter(asked.values())).values)):
            fields = tuple(field for field, one in asked.items() if one.values[place] is not None)
            together.setdefault(fields, []).append(place)
        found: dict[int, Found] = {}
        for fields, places in together.items():
            if fields:
                values = {field: [asked[field].values[place] for place in places] for field in fields}
                found.update(zip(places, self._searched(values), strict=True))
        return found

    def _searched(self, values: Mapping[Field, Sequence[Any]]) -> list[Found]:
        """The hits of queries that ask something of the same fields."""
        options = {field: self._options(field) for field in values}
        if self.kind == "hybrid":
            return hybrid_search(self.index, values, self._candidates, options)
        return search(self.index, self.kind, values[self.kind], self.k, options[self.kind])

    @property
    def _candidates(self) -> int:
        """How many documents each kind gives to `hybrid`."""
        return _CANDIDATES if self.candidates is None else self.candidates

    def _options(self, field: Field) -> dict[str, int]:
        """Milvus' search parameters."""
        index = self.index.contents.settings.get("index") if field == "dense" else None
        if index == "hnsw":
            return {"ef": max(self.ef or _EF, self._candidates if self.kind == "hybrid" else 0)}
        return {"nprobe": self.nprobe or _NPROBE} if index == "ivf_flat" else {}

    def _missing(self, fields: Sequence[Field], count: int) -> int:
        """How many documents a search of some fields should have found beside `count`.

        Dense search ranks all documents. Search by terms ranks those that hold one, and leaves out some of them only
        where `hybrid` takes no more than its candidates.
        """
        due = min(self.k, self.index.contents.documents)
        cut = self.kind == "hybrid" and count >= self._candidates
        return max(0, due - count) if "dense" in fields or cut else 0

    def _notes(self, query: Query, fields: Sequence[Field], found: Found | None) -> list[Note]:
        """What is to be said of a query that has asked something of some fields."""
        if found is None:
            return [Note(self.name, "empty_query", query.id, detail="there is nothing to look for")]
        missing = self._missing(fields, len(found.doc_ids))
        if missing:
            detail = "the search has met too few documents"
            return [Note(self.name, "approximate", query.id, amount=missing, detail=detail)]
        if not found.doc_ids:
            return [Note(self.name, "no_hits", query.id, detail="no document holds a term of it")]
        if not found.settled:
            detail = f"more documents share the score of the last hit than the {MOST:,} hits that Milvus returns"
            return [Note(self.name, "approximate", query.id, detail=detail)]
        return []

    def _ranking(self, found: Sequence[Found | None]) -> Ranking:
        """The best k of each query's hits.

        Raises:
            StageError: A hit is not in the corpus.
        """
        per_query = [one or Found([], np.zeros(0, dtype=np.float32)) for one in found]
        ids, codes = DocIds.encode([doc_id for one in per_query for doc_id in one.doc_ids])
        self._check_known(ids)
        parts: list[tuple[NDArray[np.int32], NDArray[np.float32]]] = []
        start = 0
        for one in per_query:
            mine = codes[start : start + len(one.doc_ids)]
            best = top_order(mine, one.scores, self.k)
            parts.append((mine[best], one.scores[best]))
            start += len(one.doc_ids)
        return Ranking.build(
            ids,
            np.cumsum([0, *(len(codes) for codes, _ in parts)], dtype=np.int64),
            np.concatenate([np.zeros(0, dtype=np.int32), *(codes for codes, _ in parts)]),
            np.concatenate([np.zeros(0, dtype=np.float32), *(scores for _, scores in parts)]),
            stage=self.name,
            kind=ScoreKind.RANK if self.kind == "hybrid" else ScoreKind.SIMILARITY,
        )

    def _check_known(self, ids: DocIds) -> None:
        """Refuse hits that have no text: whoever reads them would fail, or drop them."""
        if self.corpus is None:
            return
        unknown = np.flatnonzero(self.corpus.ids.codes(list(ids)) < 0)
        if len(unknown):
            raise StageError(
                f"{len(unknown)} of the documents found are not in the corpus",
                stage=self.name,
                value=ids[int(unknown[0])],
                fix="open the collection with the corpus that it holds now, or without corpus=",
            )
