"""Multi-vector retrieval (late interaction): a vector for each token, compared by MaxSim.

Khattab and Zaharia: ColBERT, SIGIR 2020 (arXiv:2004.12832). A text's vectors may be reduced to a few when it is encoded
(`rankloom.reduction`), which is what CRISP models are trained for (arXiv:2505.11471). The index is `TokenIndex`; the
search is exact, or by centroids as in PLAID (arXiv:2205.09707).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any, Self, Unpack

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import choice, whole
from rankloom.corpus import Corpus
from rankloom.encoders import truncation_notes
from rankloom.errors import CompositionError, DataError, UsageError
from rankloom.ledger import Note
from rankloom.parameter_kinds import ModelName
from rankloom.records import Document, Documents, Query
from rankloom.retrieval.encoded import chosen_encoder, loaded, ranking_of, taken, too_few
from rankloom.retrieval.token_index.exact_search import ExactSearch
from rankloom.retrieval.token_index.index import TokenIndex
from rankloom.retrieval.token_index.kinds import BUILD_SETTINGS, NO_SEARCH, SEARCHES, check_effort, check_kinds
from rankloom.run import Run
from rankloom.session import Session
from rankloom.sources import TokenSource
from rankloom.stage import Retriever
from rankloom.token_encoder import DEFAULT_TOKEN_MODEL, TokenEncoder, TokenEncoderOptions, TokensEncoded
from rankloom.token_vectors import TokenVectors

#: What of the parameters is the encoder's; others are the stage's, or belong to building the index.
_ENCODER_PARAMETERS = frozenset(TokenEncoderOptions.__annotations__)
_COUNTED_TOGETHER = 4096  # documents whose tokens are counted at once
_BUILD_PARAMETERS = {"storage": "float16", "search": "exact"}


class MultiVector(Retriever, TokenSource):
    """Rank documents by MaxSim: for each vector of the query its largest product with the document's, added up.

    Exact unless the index was built with `search="centroids"`; then documents can be missed, and where fewer are found
    than were asked for, a note says so. A document without vectors, as a blank one is, scores 0 in an
    exact search, and `index.ledger` names it. Ties go by document id.

    Args:
        index: Token vectors of a corpus; see `MultiVector.build` and `MultiVector.open`.
        k: Depth of the rankings, 1000 as TREC runs have it.
        nprobe: For a search by centroids: how many are probed for each query vector. None goes by `k`; see
            `rankloom.retrieval.token_index.effort`.
        candidates: For a search by centroids: documents scored by their vectors, at least `k`. None goes by `k`.

    Raises:
        UsageError: A parameter is out of range, or the index's kind of search does not have it.

    Example:
        >>> from rankloom import Document
        >>> corpus = Corpus.of([Document("d1", "Tides follow the moon."), Document("d2", "Bread needs yeast.")])
        >>> stage = MultiVector.of(corpus, model="mini/crisp", session=Session(offline=True))
        >>> stage.search("why does the sea rise twice a day", 1)[0].doc_id
        'd1'
    """

    name = "multi_vector"
    requires = ("sentence_transformers",)
    accepts = frozenset({"vectors"})

    def __init__(
        self, index: TokenIndex, *, k: int = 1000, nprobe: int | None = None, candidates: int | None = None
    ) -> None:
        self.index = index
        self.k = whole(k, least=1, stage=self.name, parameter="k")
        self.nprobe, self.candidates = nprobe, candidates
        self._frequencies: Counter[str] | None = None
        check_effort(index.contents.search.kind, self._effort, self.k, stage=self.name)

    # --- ways in ---------------------------------------------------------------------------------------------

    @classmethod
    def of(
        cls,
        corpus: Corpus,
        *,
        model: str | None = None,
        encoder: TokenEncoder | None = None,
        session: Session | None = None,
        **params: Any,
    ) -> Self:
        """Encode a corpus into an index in memory, and search it; the parameters are those of `build`."""
        encoder, built, settings = cls._parts(encoder, model, params)
        index = TokenIndex.of(corpus, encoder=encoder, session=session, settings=settings, **built)
        return cls(index, **params)

    @classmethod
    def build(
        cls,
        corpus: Corpus,
        path: str | Path,
        *,
        model: str | None = None,
        encoder: TokenEncoder | None = None,
        session: Session | None = None,
        **params: Any,
    ) -> Self:
        """Encode a corpus, write the index to a folder, and search it.

        A build that was killed goes on where it stopped. Documents that are longer than the model reads are listed
        in `index.ledger`.

        Args:
            corpus: The documents; `Document.contents` is what is encoded.
            path: Where the index shall live; an existing one is replaced.
            model: A multi-vector encoder, by default `mini/colbert`; see `TokenEncoder`.
            encoder: What encodes, in place of a model.
            session: How to carry it out.
            params: Parameters of the stage, of `TokenEncoder` (such as `reduction`), and of building: `storage`
                (`float16`, `int8` or `residual`), `search` (`exact` or `centroids`), `bits`, `centroids`; see
                `TokenIndex.build`.

        Raises:
            NotFoundError: The model is not to be had.
            DataError: It gives no token vectors; or a document is longer than it reads, and the session's policy is
                `error`.
            UsageError: There is no such parameter, or it does not go with the others.
        """
        encoder, built, settings = cls._parts(encoder, model, params)
        index = TokenIndex.build(corpus, path, encoder=encoder, session=session, settings=settings, **built)
        return cls(index, **params)

    @classmethod
    def open(
        cls,
        path: str | Path,
        corpus: Corpus | None = None,
        *,
        model: str | None = None,
        encoder: TokenEncoder | None = None,
        **params: Any,
    ) -> Self:
        """Search an index that `build` has written.

        Args:
            path: Where the index lives.
            corpus: The corpus it was made from, so that hits have texts; by default the one beside the index, if
                there is one.
            model: Where the model is to be found, if not under the name that the index was built with.
            encoder: What encodes queries, in place of a model.
            params: Parameters of the stage, and of `TokenEncoder` where they shall be others than the index was built
                with: all that concerns queries may be, such as `query_tokens=16`, or `reduction="C64x32"` over an
                index of `C8x32`; what is done to documents may not.

        Raises:
            NotFoundError: There is no such folder.
            DamagedIndexError: It is no token index, is of another version, or a file is missing or damaged.
            UsageError: The index was made with another model or from another corpus.
        """
        options = taken(params, _ENCODER_PARAMETERS)
        if encoder is not None:
            _encoder(encoder, model, options)
        index = TokenIndex.open(path, corpus=corpus, encoder=encoder, model=model, options=options)
        return cls(index, **params)

    @classmethod
    def for_corpus(
        cls,
        corpus: Corpus,
        session: Session,
        *,
        model: ModelName = DEFAULT_TOKEN_MODEL,
        storage: str = "float16",
        bits: int | None = None,
        search: str = "exact",
        centroids: int | None = None,
        k: int = 1000,
        nprobe: int | None = None,
        candidates: int | None = None,
        **encoder: Unpack[TokenEncoderOptions],
    ) -> Self:
        """A retriever over a corpus, by an index that the session's cache holds or is given now.

        Without a cache the index lives in memory. The cache keeps the vectors (float32) beside the index, so that an
        index of another storage or search is built without encoding again. Whatever is done to queries, the index is
        the same.

        Args:
            corpus: The documents.
            session: Its cache keeps the index.
            model: A multi-vector encoder, by default `mini/colbert`; see `TokenEncoder`.
            storage: As what vectors are kept: `float16`, `int8`, or `residual`.
            bits: For residual storage: bits of each number, 1, 2 or 4. None takes 2.
            search: `exact`, or `centroids`: approximate, with exact scores of candidates.
            centroids: For residual storage and for a search by centroids: how many there are. None goes by the vectors.
            k: Depth of the rankings.
            nprobe: As for the constructor.
            candidates: As for the constructor.
            encoder: Parameters of `TokenEncoder`, such as `reduction`.

        Raises:
            NotFoundError: The model is not to be had.
            DataError: It gives no token vectors; or a document is longer than it reads, and the session's policy is
                `error`.
            UsageError: There is no such storage or search, or a parameter does not go with it.
        """
        settings: dict[str, Any] = {"bits": bits, "centroids": centroids}
        params: dict[str, Any] = {"k": k, "nprobe": nprobe, "candidates": candidates}
        choice(search, SEARCHES, stage=cls.name, parameter="search")
        cls._check(storage, search, settings, params)
        made = TokenEncoder(model, stage=cls.name, **encoder)
        built: dict[str, Any] = {"storage": storage, "searches": [search], "settings": settings}
        return cls(TokenIndex.for_corpus(corpus, session, encoder=made, **built), **params)

    @classmethod
    def reading(
        cls,
        corpus: Corpus,
        session: Session,
        *,
        model: ModelName = DEFAULT_TOKEN_MODEL,
        storage: str = "float16",
        bits: int | None = None,
        search: str | None = None,
        centroids: int | None = None,
        **encoder: Unpack[TokenEncoderOptions],
    ) -> Self:
        """The stored vectors of a corpus, for stages that read them and search nothing.

        Args:
            corpus: The documents.
            session: Its cache keeps the index.
            model: As for `for_corpus`, and so the others.
            storage: As what vectors are kept.
            bits: For residual storage.
            search: Whose index is read. None takes one that the cache holds for exact search; where it holds none, an
                index is built that can not be searched, and keeps nothing but vectors.
            centroids: For residual storage, and for a search by centroids.
            encoder: Parameters of `TokenEncoder`.

        Raises:
            NotFoundError: The model is not to be had.
            DataError: It gives no token vectors; or a document is longer than it reads, and the session's policy is
                `error`.
            UsageError: There is no such storage or search, or a parameter does not go with it.
        """
        settings: dict[str, Any] = {"bits": bits, "centroids": centroids}
        searches = [ExactSearch.kind, NO_SEARCH] if search is None else [search]
        cls._check(storage, searches[-1], settings, {})
        made = TokenEncoder(model, stage=cls.name, **encoder)
        built: dict[str, Any] = {"storage": storage, "searches": searches, "settings": settings}
        return cls(TokenIndex.for_corpus(corpus, session, encoder=made, **built))

    @classmethod
    def _parts(
        cls, encoder: TokenEncoder | None, model: str | None, params: dict[str, Any]
    ) -> tuple[TokenEncoder, dict[str, Any], dict[str, Any]]:
        """The encoder, what the index is to be, and its settings, taken out of parameters; the stage's are left.

        Raises:
            UsageError: A parameter is unknown, out of range, or does not go with the others.
        """
        made = _encoder(encoder, model, taken(params, _ENCODER_PARAMETERS))
        built = {**_BUILD_PARAMETERS, **taken(params, frozenset(_BUILD_PARAMETERS))}
        settings = taken(params, frozenset(BUILD_SETTINGS))
        cls._check(built["storage"], built["search"], settings, params)
        return made, built, settings

    @classmethod
    def _check(cls, storage: str, search: str, settings: Mapping[str, Any], params: Mapping[str, Any]) -> None:
        """Refuse parameters before anything is encoded for which the index would be wrong."""
        known = signature(cls).parameters
        for name in params:
            accepted = [*known, *sorted(_ENCODER_PARAMETERS), *_BUILD_PARAMETERS, *BUILD_SETTINGS]
            choice(name, accepted, stage=cls.name, parameter="parameter")
        check_kinds(storage, search, settings, stage=cls.name)
        k = whole(params.get("k", known["k"].default), least=1, stage=cls.name, parameter="k")
        effort = {name: params.get(name) for name in ("nprobe", "candidates")}
        check_effort(search, effort, k, stage=cls.name)

    # --- a stage ---------------------------------------------------------------------------------------------

    def __call__(self, run: Run) -> Run:
        """Rank the corpus for every query."""
        asked = [number for number, query in enumerate(run.queries) if not query.blank]
        queries = [run.queries[number] for number in asked]
        encoded = self.encode_queries(queries, run.session)
        effort = {name: value for name, value in self._effort.items() if value is not None}
        hits = self.index.search(encoded.vectors, self.k, effort=effort, session=run.session)
        ranking = ranking_of(len(run), asked, self.index.ids, hits, stage=self.name)
        bare = [queries[place].id for place in np.flatnonzero(encoded.vectors.lengths == 0).tolist()]
        empty = [*(query.id for query in run.queries if query.blank), *bare]
        notes = truncation_notes(run.session, queries, encoded.truncated, stage=self.name)
        typed = replace(run, queries=tuple(query.as_typed() for query in run.queries))
        return (
            typed.ranked(ranking)
            .noted(*(Note(self.name, "empty_query", query_id) for query_id in empty), *notes)
            .noted(*self._missing([query.id for query in queries], np.diff(hits.offsets), set(bare)))
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
        """Free the model, and the memory of accelerators."""
        self.index.close()

    # --- a source of token vectors -----------------------------------------------------------------------------

    @property
    def space(self) -> str:
        """What encoded the documents: the key of `Query.vectors` that this retriever reads."""
        return self.index.space

    def encode_queries(self, queries: Sequence[Query], session: Session) -> TokensEncoded:
        """The vectors of each query: its own, or those of its text; the model sees only those without.

        Raises:
            CompositionError: A query has only vectors of other spaces.
            DataError: A query's vectors are not finite numbers of shape (vectors, dimensions).
        """
        vectors = [self._given(query) for query in queries]
        tokens, truncated = np.zeros(len(queries), dtype=np.int64), np.zeros(len(queries), dtype=np.int64)
        texts = [number for number, own in enumerate(vectors) if own is None]
        calls = 0
        if texts:
            typed = [queries[number].text for number in texts]
            encoded = self._load(session).encode(typed, role="query", session=session)
            tokens[texts], truncated[texts], calls = encoded.tokens, encoded.truncated, encoded.calls
            for number, own in zip(texts, encoded.vectors, strict=True):
                vectors[number] = own
        held = TokenVectors.of([own for own in vectors if own is not None], self.index.dimensions)
        return TokensEncoded(held, tokens, truncated, calls)

    def document_token_vectors(self, doc_ids: Sequence[str]) -> tuple[TokenVectors, NDArray[np.bool_]]:
        """Stored vectors, none of unknown documents; and whether each is known, bool of shape (documents,)."""
        codes = self.index.ids.codes(list(doc_ids))
        held = codes >= 0
        places = np.where(
            held, np.cumsum(held) - 1, int(held.sum())
        )  # behind the known ones stands one without vectors
        some = self.index.vectors(codes[held])
        return TokenVectors(some.vectors, np.append(some.offsets, some.offsets[-1])).take(places), held

    @property
    def document_count(self) -> int:
        """How many documents the index holds."""
        return len(self.index)

    def document_tokens(self, doc_ids: Sequence[str], session: Session) -> list[list[str]]:
        """The token of each stored vector of each document; none of an unknown one. Texts are tokenised anew.

        Raises:
            UsageError: Vectors are means of several tokens, or the index was opened without its corpus.
        """
        held = [doc_id for doc_id, code in zip(doc_ids, self.index.ids.codes(list(doc_ids)), strict=True) if code >= 0]
        tokens = dict(zip(held, self._tokens(self._texts().get(held), session), strict=True))
        return [tokens.get(doc_id, []) for doc_id in doc_ids]

    def token_document_frequencies(self, tokens: Sequence[str], session: Session) -> NDArray[np.int64]:
        """In how many documents each token has a vector; counted over the whole corpus when first asked for."""
        if self._frequencies is None:
            counted: Counter[str] = Counter()
            corpus = self._texts()
            for start in range(0, len(self.index), _COUNTED_TOGETHER):
                codes = np.arange(start, min(start + _COUNTED_TOGETHER, len(self.index)), dtype=np.int32)
                documents = corpus.get(self.index.ids.take(codes))
                counted.update(token for own in self._tokens(documents, session) for token in set(own))
            self._frequencies = counted
        return np.array([self._frequencies[token] for token in tokens], dtype=np.int64)

    def _tokens(self, documents: Sequence[Document], session: Session) -> list[list[str]]:
        """The tokens of documents that have a vector in the index; a blank one has none."""
        texts = [document.contents for document in documents]
        found = self.index.encoder.tokens(texts, session=session)
        return [tokens if text.strip() else [] for text, tokens in zip(texts, found, strict=True)]

    def _texts(self) -> Documents:
        """The corpus."""
        if self.index.documents is None:
            raise UsageError(
                "tokens are read from the texts, and the index was opened without its corpus",
                stage=self.name,
                fix="pass corpus= to open",
            )
        return self.index.documents

    # --- inside ------------------------------------------------------------------------------------------------

    @property
    def _effort(self) -> dict[str, int | None]:
        """The settings of a search by centroids."""
        return {"nprobe": self.nprobe, "candidates": self.candidates}

    def _given(self, query: Query) -> NDArray[np.float32] | None:
        """The vectors that feedback has written into a query; None for none."""
        if not query.vectors:
            return None
        vectors, dimensions = query.vectors.get(self.space), self.index.dimensions
        if vectors is None:
            raise CompositionError(
                "the query holds vectors of another encoder",
                stage=self.name,
                value=", ".join(query.vectors),
                accepted=self.space,
                fix="put a retriever over the same vectors behind the feedback",
            )
        if np.ndim(vectors) != 2 or np.shape(vectors)[1] != dimensions or not np.isfinite(vectors).all():
            reason = f"the query's vectors must be finite numbers of shape (vectors, {dimensions})"
            raise DataError(reason, stage=self.name, value=query.id)
        return np.asarray(vectors, dtype=np.float32)

    def _missing(self, query_ids: Sequence[str], counts: NDArray[np.int64], bare: set[str]) -> list[Note]:
        """Notes of an approximate search that has met too few documents.

        A document without vectors is in no list, and not to be had, whatever is probed.
        """
        due = min(self.k, int(np.count_nonzero(np.diff(self.index.contents.offsets))))
        found = zip(query_ids, counts.tolist(), strict=True)
        return too_few(self.name, due, ((query_id, count) for query_id, count in found if query_id not in bare))

    def _load(self, session: Session) -> TokenEncoder:
        """The encoder with its model in memory, which is the one the index was made with."""
        return loaded(self.index.encoder, self.index.check_encoder, session)


def _encoder(encoder: TokenEncoder | None, model: str | None, options: Mapping[str, Any]) -> TokenEncoder:
    """The encoder that is given, or one of a model."""
    return chosen_encoder(encoder, model, options, TokenEncoder, default=DEFAULT_TOKEN_MODEL, stage=MultiVector.name)
