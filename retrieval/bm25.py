"""BM25: the lexical first stage."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from rankloom.cached_index import opened_or_built
from rankloom.checks import between, choice, same_corpus, whole
from rankloom.corpus import Corpus, corpus_beside
from rankloom.errors import DataError, UsageError
from rankloom.files import atomic_path
from rankloom.fingerprint import digest
from rankloom.ledger import Note
from rankloom.ranking import Ranking, concatenate
from rankloom.records import Document, Documents, Query
from rankloom.retrieval.analysis import Analyzer, EnglishAnalyzer
from rankloom.retrieval.analyzers import analyzer_of
from rankloom.retrieval.bm25_fields import (
    check_index_fields,
    checked_lengths,
    checked_weights,
    field_names,
    warn_of_empty,
)
from rankloom.retrieval.bm25_parts import BM25Parts, made_of_corpus
from rankloom.retrieval.bm25_scoring import VARIANTS, BM25Scoring, Variant
from rankloom.retrieval.index import segment
from rankloom.retrieval.index.buffer import Texts
from rankloom.retrieval.index.commit import FORMAT, VERSION
from rankloom.retrieval.index.impact_index import ImpactIndex
from rankloom.retrieval.index.writer import ImpactIndexWriter
from rankloom.run import Run
from rankloom.score_parts import ScoreExplainer, ScoreParts, missing_terms, parts_in_order
from rankloom.session import Session
from rankloom.sources import CountedTermSource
from rankloom.stage import Retriever

_KEPT_SETTINGS = 16  # of queries that bring some: enough for a sweep, and a bound on memory


class BM25(Retriever, CountedTermSource, ScoreExplainer):
    """Retrieve by BM25, with Anserini's defaults and scores (see `bm25_scoring` for the formulas).

    A query is its text, analysed as the index was (a repeated term counts as often as it stands there); a feedback
    stage's weighted terms (`Query.terms`) take the text's place. Documents are indexed by title and text, as one text,
    or with `fields` each by itself: BM25F (see `bm25f_scoring`), where a term's frequencies in all fields are added up
    by the fields' weights before they are saturated.

    k1, b, variant and delta belong to the search, not to the index: `bm25.replace(k1=1.2)` and stages of other settings
    in YAML search the same index, and a query may bring its own k1, b and delta in its metadata, as
    `{"stage_settings": {"bm25": {"k1": 1.2}}}`.

    Args:
        index: An index of frequencies.
        corpus: The documents of the index, for stages that read texts. None: hits have ids and scores only.
        analyzer: The analyzer that the index was made with; by default `EnglishAnalyzer()`.
        k: How many hits a query gets at most; 1,000 as in TREC.
        k1: How soon more occurrences of a term stop to matter, 0 or more; Anserini's default.
        b: How much long documents are discounted, 0 to 1; Anserini's default.
        variant: `lucene`, `robertson`, `atire`, `bm25+` or `bm25l`; see `bm25_scoring`.
        delta: The least that an occurrence counts, for `bm25+` and `bm25l`; None takes their authors' 1 and 0.5.
        fields: Fields of documents (`title`, `text`, keys of metadata) and their weights, above 0. The index must have
            been made with these fields, and possibly others; weights belong to the search.
        field_b: `b` of some of the fields; the others take `b`.

    Raises:
        UsageError: A parameter is out of range, the index is none, or it was made with another analyzer, from another
            corpus, or without one of the fields.

    Example:
        >>> from rankloom import Document
        >>> sky = Document("d1", "The sky scatters blue light.")
        >>> bm25 = BM25.of(Corpus.of([sky, Document("d2", "The tides follow the moon.")]))
        >>> [hit.doc_id for hit in bm25.search("Why is the sky blue?")]
        ['d1']
    """

    name = "bm25"
    accepts = frozenset({"terms"})
    by_query = frozenset({"k1", "b", "delta", "fields", "field_b"})
    parallel = True

    def __init__(
        self,
        index: ImpactIndex,
        *,
        corpus: Documents | None = None,
        analyzer: Analyzer | None = None,
        k: int = 1000,
        k1: float = 0.9,
        b: float = 0.4,
        variant: Variant = "lucene",
        delta: float | None = None,
        fields: Mapping[str, float] | None = None,
        field_b: Mapping[str, float] | None = None,
    ) -> None:
        if not isinstance(index, ImpactIndex):
            raise UsageError(
                "searches an index, and this is none",
                stage=self.name,
                value=index,
                accepted="an ImpactIndex",
                fix="BM25.of(documents), BM25.for_corpus(corpus, session), or BM25.open(directory)",
            )
        self.index = index
        self.corpus = corpus
        self.analyzer = analyzer or EnglishAnalyzer()
        self.k = whole(k, least=1, stage=self.name, parameter="k")
        self.k1 = between(k1, 0.0, 1e6, stage=self.name, parameter="k1")
        self.b = between(b, 0.0, 1.0, stage=self.name, parameter="b")
        self.variant = cast("Variant", choice(variant, VARIANTS, stage=self.name, parameter="variant"))
        self.delta = None if delta is None else between(delta, 0.0, 1e6, stage=self.name, parameter="delta")
        self.fields = None if fields is None else checked_weights(fields, stage=self.name)
        self.field_b = None if field_b is None else checked_lengths(field_b, fields, stage=self.name)
        check_index_fields(self.index.fields, fields, stage=self.name)
        self._check_origin()

    # --- ways in ---------------------------------------------------------------------------------------------

    @classmethod
    def open(cls, directory: str | Path, **parameters: Any) -> Self:
        """Search an index that `build` has written.

        Args:
            directory: Where the index lives.
            parameters: As for the constructor. Without `corpus`, the one in the folder `corpus` beside the index is
                taken, if the index was made from it.

        Raises:
            NotFoundError: There is no such directory.
            DamagedIndexError: It holds no index, one of another version, or a damaged one.
        """
        index = ImpactIndex.open(directory)
        if parameters.get("corpus") is None:
            parameters["corpus"] = corpus_beside(directory, index.about.get("corpus"))
        return cls(index, **parameters)

    @classmethod
    def build(
        cls,
        corpus: Corpus,
        directory: str | Path,
        *,
        analyzer: Analyzer | None = None,
        term_vectors: bool = False,
        session: Session | None = None,
        **parameters: Any,
    ) -> Self:
        """Index a corpus into a directory, which appears whole or not at all, and search it.

        Parts that other processes have indexed before (see `bm25_parts`; they lie beside the directory, under its name
        and `.parts`) are taken over and then removed; the index holds the same bytes.

        Args:
            corpus: The documents.
            directory: Where the index shall live; an existing directory is replaced.
            analyzer: What makes terms of texts.
            term_vectors: Whether the index keeps the terms of each document together as well, for feedback on single
                queries in microseconds a document, not a pass over all postings; three quarters more on disk.
            session: Shows progress.
            parameters: As for the constructor; with `fields`, the index is made of these.

        Raises:
            DataError: No document has one of the fields.
        """
        analyzer, fields = analyzer or EnglishAnalyzer(), field_names(parameters.get("fields"), stage=cls.name)
        corpus.check_fields(fields)
        parts = BM25Parts.beside(directory, corpus, analyzer, fields=fields, term_vectors=term_vectors)
        session = session or Session()
        with (
            atomic_path(Path(directory)) as temporary,
            ImpactIndexWriter(
                temporary,
                analyzer=analyzer,
                term_vectors=term_vectors,
                fields=fields,
                about=parts.about,
            ) as writer,
            session.progress.task("bm25 index", len(corpus)) as advance,
        ):
            for number in range(len(parts)):
                if (kept := parts.kept(number)) is not None:
                    writer.add_index(kept)
                    continue
                for doc_ids, texts in parts.columns(number):
                    writer.add_columns(doc_ids, texts)
                    advance(len(doc_ids))
            writer.merge()
        shutil.rmtree(parts.folder, ignore_errors=True)
        index = ImpactIndex.open(directory)
        warn_of_empty(index, stage=cls.name)
        return cls(index, corpus=corpus, analyzer=analyzer, **parameters)

    @classmethod
    def of(
        cls,
        corpus: Corpus | Iterable[Document],
        *,
        analyzer: Analyzer | None = None,
        term_vectors: bool = False,
        session: Session | None = None,
        **parameters: Any,
    ) -> Self:
        """Index a corpus, or a list of documents, in memory; the other parameters are those of `build`."""
        corpus = corpus if isinstance(corpus, Corpus) else Corpus.of(corpus)
        analyzer = analyzer or EnglishAnalyzer()
        fields, about = field_names(parameters.get("fields"), stage=cls.name), made_of_corpus(corpus, analyzer)
        index = ImpactIndex.of_texts(
            _columns(corpus, session or Session(), fields),
            analyzer,
            fields=fields,
            term_vectors=term_vectors,
            about=about,
        )
        warn_of_empty(index, stage=cls.name)
        return cls(index, corpus=corpus, analyzer=analyzer, **parameters)

    @classmethod
    def for_corpus(
        cls,
        corpus: Corpus,
        session: Session,
        *,
        k: int = 1000,
        k1: float = 0.9,
        b: float = 0.4,
        variant: Variant = "lucene",
        delta: float | None = None,
        fields: Mapping[str, float] | None = None,
        field_b: Mapping[str, float] | None = None,
        analyzer: str = "english",
        term_vectors: bool = False,
    ) -> Self:
        """Search a corpus, with an index that is built once and kept in the session's cache (or, without, in memory).

        Args:
            corpus: The documents.
            session: Where the index is kept.
            k: As for the constructor.
            k1: As for the constructor.
            b: As for the constructor.
            variant: As for the constructor.
            delta: As for the constructor.
            fields: As for the constructor.
            field_b: As for the constructor.
            analyzer: Name of an analyzer; see `rankloom.retrieval.analyzers.analyzer_of`.
            term_vectors: As for `build`.

        Raises:
            UsageError: A parameter is out of range, or there is no such analyzer.
            DataError: No document has one of the fields.
        """
        made_with = analyzer_of(analyzer)
        params: dict[str, Any] = {"k": k, "k1": k1, "b": b, "variant": variant, "delta": delta, "analyzer": made_with}
        params |= {"fields": fields, "field_b": field_b}
        if session.cache is None:
            return cls.of(corpus, session=session, term_vectors=term_vectors, **params)
        made_of: list[Any] = [FORMAT, VERSION, segment.VERSION, made_of_corpus(corpus, made_with)]
        made_of += ["term vectors"] if term_vectors else []
        made_of += [names] if (names := field_names(fields, stage=cls.name)) else []
        directory = session.cache.index_directory("bm25", digest(*made_of))
        return opened_or_built(
            directory,
            lambda path: cls.open(path, corpus=corpus, **params),
            lambda path: cls.build(corpus, path, session=session, term_vectors=term_vectors, **params),
        )

    # --- searching -------------------------------------------------------------------------------------------

    @property
    def documents(self) -> Documents | None:
        """The corpus."""
        return self.corpus

    @property
    def index_bytes(self) -> int:
        """Bytes of the index."""
        return self.index.nbytes

    def warm_up(self, session: Session | None = None) -> None:  # noqa: ARG002  # nothing depends on it here
        """Load the compiled kernels, which are compiled now if they never were; some seconds, once."""
        self.scoring.search([{"": 1.0}], 1)

    def __call__(self, run: Run) -> Run:
        """The best k documents of every query; a query that finds none is noted in the ledger."""
        terms = [self._terms(query) for query in run.queries]
        ranking = self._ranking(run.queries, terms)
        notes: list[Note] = []
        for query, asked, count in zip(run.queries, terms, np.diff(ranking.offsets).tolist(), strict=True):
            if not asked:
                notes.append(Note(self.name, "empty_query", query.id, detail="nothing is left after analysis"))
            elif not count:
                notes.append(Note(self.name, "no_hits", query.id, detail="no document holds a term of it"))
        return replace(run, queries=tuple(query.as_typed() for query in run.queries)).ranked(ranking).noted(*notes)

    def _ranking(self, queries: Sequence[Query], terms: Sequence[Mapping[str, float]]) -> Ranking:
        """The best documents of every query; queries of other settings are searched for apart."""
        groups: dict[BM25, list[int]] = {self: []}
        for place, query in enumerate(queries):
            groups.setdefault(self._set_for(query), []).append(place)
        parts = [
            Ranking(self.index.ids, *stage.scoring.search([terms[place] for place in places], self.k))
            for stage, places in groups.items()
        ]
        if len(parts) == 1:
            return parts[0]
        return concatenate(parts).select(np.argsort(list(chain.from_iterable(groups.values()))))

    def _set_for(self, query: Query) -> BM25:
        """This stage with the settings that a query brings.

        Raises:
            DataError: A query's setting is unknown or out of range.
        """
        settings = dict(query.settings(self.name))
        if not settings:
            return self
        if not settings.keys() <= self.by_query:
            unknown = min(settings.keys() - self.by_query)
            raise DataError(
                f"query {query.id!r} sets an unknown parameter",
                stage=self.name,
                value=unknown,
                accepted=", ".join(sorted(self.by_query)),
            )
        try:
            name = digest(settings)
            stage = self._other_settings.pop(name, None) or self.replace(**settings)
            _ = stage.scoring  # a delta without a variant that has one is found here
        except UsageError as error:
            raise DataError(f"query {query.id!r} brings settings that can not be: {error}") from error
        self._other_settings[name] = stage  # the last used stand last
        for old in list(self._other_settings)[:-_KEPT_SETTINGS]:
            self._other_settings.pop(old, None)  # another thread may have been faster
        return stage

    @cached_property
    def _other_settings(self) -> dict[str, BM25]:
        """This stage with the settings of queries, by their digest; those used last are kept."""
        return {}

    def score_parts(self, query: Query, doc_id: str, session: Session) -> ScoreParts | None:  # noqa: ARG002  # the protocol's
        """What each term adds to the score of a document; see `ScoreExplainer`."""
        code = self.index.ids.find(doc_id)
        if code is None:
            return None
        asked, own = self._terms(query), self._set_for(query)
        score, parts = own.scoring.explain(asked, code)
        facts: dict[str, float | str] = {**own.scoring.facts(code), "k1": own.k1, "b": own.b}
        if self.variant != "lucene":
            facts["variant"] = self.variant
        terms = parts_in_order(parts)
        return ScoreParts(self.name, doc_id, float(score), terms, missing_terms(asked, terms), facts)

    @cached_property
    def scoring(self) -> BM25Scoring:
        """The formula over the index."""
        if self.fields is not None:
            from rankloom.retrieval.bm25f_scoring import BM25FScoring

            own: dict[str, Any] = {"k1": self.k1, "b": self.b, "variant": self.variant, "delta": self.delta}
            return BM25FScoring(self.index, self.fields, field_b=self.field_b or {}, **own)
        return BM25Scoring(self.index, k1=self.k1, b=self.b, variant=self.variant, delta=self.delta)

    def _terms(self, query: Query) -> Mapping[str, float]:
        """What is searched for: weights by term."""
        return Counter(self.analyzer(query.text)) if query.terms is None else query.terms

    # --- what term-based feedback reads ------------------------------------------------------------------------

    @property
    def document_count(self) -> int:
        """How many documents the index holds."""
        return len(self.index)

    def analyze(self, text: str) -> list[str]:
        """The index's terms of a text, repeated as they occur."""
        return self.analyzer(text)

    def term_vectors(self, doc_ids: Sequence[str]) -> list[Mapping[str, float] | None]:
        """Terms and their frequencies, for each document; None for one that the index does not hold."""
        codes = self.index.ids.codes(doc_ids)
        vectors = iter(self.scoring.term_vectors(codes[codes >= 0]))
        return [None if code < 0 else next(vectors) for code in codes.tolist()]

    def document_frequencies(self, terms: Sequence[str]) -> NDArray[np.int64]:
        """In how many documents each term occurs, int64 of shape (terms,)."""
        return self.scoring.document_frequencies(terms)

    def collection_frequencies(self, terms: Sequence[str]) -> NDArray[np.int64]:
        """How often each term occurs in all documents together, int64 of shape (terms,)."""
        return self.scoring.collection_frequencies(terms)

    @property
    def collection_length(self) -> int:
        """How many terms all documents have together, repeated as they occur."""
        return self.scoring.collection_length

    def _check_origin(self) -> None:
        """Refuse an index that was made otherwise than this stage would search it."""
        made_with = self.index.about.get("analyzer", self.analyzer.fingerprint())
        if made_with != self.analyzer.fingerprint():
            raise UsageError(
                "the index was made with another analyzer",
                stage=self.name,
                value=self.analyzer,
                fix="pass the analyzer= that the index was built with, or build it again",
            )
        same_corpus(self.corpus, self.index.about.get("corpus", ""), stage=self.name)


def _columns(corpus: Corpus, session: Session, fields: Sequence[str]) -> Iterator[tuple[list[str], Texts]]:
    """Ids and contents of the documents, or their fields, a batch at a time."""
    batches: Iterator[Texts] = corpus.fields(fields) if fields else corpus.contents()
    start = 0
    with session.progress.task("bm25 index", len(corpus)) as advance:
        for texts in batches:
            size = len(next(iter(texts.values())) if isinstance(texts, Mapping) else texts)
            yield corpus.ids.array.slice(start, size).to_pylist(), texts
            start += size
            advance(size)
