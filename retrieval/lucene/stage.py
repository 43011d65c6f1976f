"""Lucene's BM25 as a stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rankloom.cached_index import opened_or_built
from rankloom.checks import between, same_corpus, whole
from rankloom.corpus import Corpus, corpus_beside
from rankloom.fingerprint import digest
from rankloom.ledger import Note
from rankloom.ranking import Ranking
from rankloom.records import Documents, Query
from rankloom.retrieval.lucene.analyzer import LuceneAnalyzer, Stemmer
from rankloom.retrieval.lucene.index import FORMAT, VERSION, Found, LuceneIndex
from rankloom.run import Run
from rankloom.score_parts import ScoreExplainer, ScoreParts, TermPart, missing_terms, parts_in_order
from rankloom.session import Session
from rankloom.sources import CountedTermSource
from rankloom.stage import Retriever


class Lucene(Retriever, CountedTermSource, ScoreExplainer):
    """Retrieve by Lucene's own BM25, as Anserini and pyserini set it up; needs the extra `lucene`.

    Texts are taken as bags of words, a repeated term counting as often as it stands there. A feedback stage's
    weighted terms take the text's place, so `lucene >> RM3() >> lucene` works. Results are exact: rankings are
    ordered by score, then by document id, also where k cuts between equal scores.

    Args:
        index: A Lucene index; see `Lucene.build`, `Lucene.open` and `Lucene.of`.
        corpus: The documents of the index, for stages that read texts. None: hits have ids and scores only.
        k: How many hits a query gets at most; 1,000 as in TREC.
        k1: How soon more occurrences of a term stop to matter, 0 or more; Anserini's default.
        b: How much long documents are discounted, 0 to 1; Anserini's default.

    Raises:
        UsageError: A parameter is out of range, or the index was made from another corpus.

    Example:
        >>> from rankloom import Document
        >>> sky = Document("d1", "The sky scatters blue light.")
        >>> lucene = Lucene.of(Corpus.of([sky, Document("d2", "Tides follow the moon.")]))  # doctest: +SKIP
        >>> lucene.search("Why is the sky blue?")[0].doc_id  # doctest: +SKIP
        'd1'
    """

    name = "lucene"
    requires = ("pyserini",)
    accepts = frozenset({"terms"})

    def __init__(
        self,
        index: LuceneIndex,
        *,
        corpus: Documents | None = None,
        k: int = 1000,
        k1: float = 0.9,
        b: float = 0.4,
    ) -> None:
        self.index = index
        self.corpus = corpus
        self.k = whole(k, least=1, stage=self.name, parameter="k")
        self.k1 = between(k1, 0.0, 1e6, stage=self.name, parameter="k1")
        self.b = between(b, 0.0, 1.0, stage=self.name, parameter="b")
        same_corpus(corpus, index.corpus, stage=self.name)

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
        index = LuceneIndex.open(directory)
        if parameters.get("corpus") is None:
            parameters["corpus"] = corpus_beside(directory, index.corpus)
        return cls(index, **parameters)

    @classmethod
    def build(
        cls,
        corpus: Corpus,
        directory: str | Path,
        *,
        analyzer: LuceneAnalyzer | None = None,
        session: Session | None = None,
        **parameters: Any,
    ) -> Self:
        """Index a corpus into a folder, which appears whole or not at all, and search it.

        Args:
            corpus: The documents.
            directory: Where the index shall live; an existing one is replaced.
            analyzer: What makes terms of texts; by default Anserini's English.
            session: Shows progress.
            parameters: As for the constructor.
        """
        index = LuceneIndex.build(corpus, directory, analyzer=analyzer, session=session)
        return cls(index, corpus=corpus, **parameters)

    @classmethod
    def of(
        cls,
        corpus: Corpus,
        *,
        analyzer: LuceneAnalyzer | None = None,
        session: Session | None = None,
        **parameters: Any,
    ) -> Self:
        """Index a corpus into a temporary folder, and search it; the other parameters are those of `build`."""
        return cls(LuceneIndex.of(corpus, analyzer=analyzer, session=session), corpus=corpus, **parameters)

    @classmethod
    def for_corpus(
        cls,
        corpus: Corpus,
        session: Session,
        *,
        k: int = 1000,
        k1: float = 0.9,
        b: float = 0.4,
        language: str = "en",
        stemmer: Stemmer = "porter",
        stop_words: bool = True,
    ) -> Self:
        """Search a corpus, with an index that is built once and kept in the session's cache.

        Without a cache the index lives in a temporary folder.

        Args:
            corpus: The documents.
            session: Where the index is kept.
            k: As for the constructor.
            k1: As for the constructor.
            b: As for the constructor.
            language: As for `LuceneAnalyzer`.
            stemmer: As for `LuceneAnalyzer`.
            stop_words: As for `LuceneAnalyzer`.
        """
        analyzer = LuceneAnalyzer(language, stemmer, stop_words)
        return cls(_cached_index(corpus, analyzer, session), corpus=corpus, k=k, k1=k1, b=b)

    # --- searching -------------------------------------------------------------------------------------------

    @property
    def documents(self) -> Documents | None:
        """The corpus."""
        return self.corpus

    def warm_up(self, session: Session | None = None) -> None:  # noqa: ARG002  # nothing depends on it here
        """Start Java and open the index."""
        self.index.warm_up()

    def close(self) -> None:
        """Close the index; Java ends with the last index that is open."""
        self.index.close()

    def __call__(self, run: Run) -> Run:
        """The best k documents of every query; a query that finds none is noted in the ledger."""
        questions = [query.text if query.terms is None else query.terms for query in run.queries]
        found = self.index.search(questions, k=self.k, k1=self.k1, b=self.b)
        ranking = Ranking.build(
            self.index.ids,
            np.cumsum([0, *(len(one.codes) for one in found)], dtype=np.int64),
            np.concatenate([np.zeros(0, dtype=np.int32), *(one.codes for one in found)]),
            np.concatenate([np.zeros(0, dtype=np.float32), *(one.scores for one in found)]),
            stage=self.name,
        )
        notes = [note for query, one in zip(run.queries, found, strict=True) for note in self._notes(query, one)]
        return replace(run, queries=tuple(query.as_typed() for query in run.queries)).ranked(ranking).noted(*notes)

    def score_parts(self, query: Query, doc_id: str, session: Session) -> ScoreParts | None:  # noqa: ARG002  # the protocol's
        """What each term adds to the score of a document, as Lucene explains it; see `ScoreExplainer`."""
        code = self.index.ids.find(doc_id)
        if code is None:
            return None
        told = self.index.explain(query.text if query.terms is None else query.terms, code, k1=self.k1, b=self.b)
        weights, parts = told["weights"], told["parts"]
        terms = parts_in_order(
            [TermPart(term, float(weights[term]), one["freq"], one["idf"], one["part"]) for term, one in parts.items()]
        )
        facts: dict[str, float | str] = {"k1": self.k1, "b": self.b}
        if parts:
            facts = {"length": told["dl"], "average length": told["avgdl"], **facts}
        score = float(np.float32(sum(one.part for one in terms)))
        return ScoreParts(self.name, doc_id, score, terms, missing_terms(weights, terms), facts)

    def _notes(self, query: Query, found: Found) -> list[Note]:
        """What is to be said of a query without hits."""
        if not found.terms:
            return [Note(self.name, "empty_query", query.id, detail="nothing is left after analysis")]
        if not len(found.codes):
            return [Note(self.name, "no_hits", query.id, detail="no document holds a term of it")]
        return []

    # --- what term-based feedback reads ------------------------------------------------------------------------

    @property
    def document_count(self) -> int:
        """How many documents the index holds."""
        return len(self.index)

    def analyze(self, text: str) -> list[str]:
        """The index's terms of a text, repeated as they occur."""
        return self.index.analyze(text)

    def term_vectors(self, doc_ids: Sequence[str]) -> list[Mapping[str, float] | None]:
        """Terms and their frequencies, for each document; None for one that the index does not hold."""
        return self.index.term_vectors(doc_ids)

    def document_frequencies(self, terms: Sequence[str]) -> NDArray[np.int64]:
        """In how many documents each term occurs, int64 of shape (terms,)."""
        return np.array(self.index.document_frequencies(terms), dtype=np.int64)

    def collection_frequencies(self, terms: Sequence[str]) -> NDArray[np.int64]:
        """How often each term occurs in all documents together, int64 of shape (terms,)."""
        return np.array(self.index.collection_frequencies(terms), dtype=np.int64)

    @property
    def collection_length(self) -> int:
        """How many terms all documents have together, repeated as they occur."""
        return self.index.collection_length


def _cached_index(corpus: Corpus, analyzer: LuceneAnalyzer, session: Session) -> LuceneIndex:
    """The index of a corpus from the session's cache, built there if need be."""
    if session.cache is None:
        return LuceneIndex.of(corpus, analyzer=analyzer, session=session)
    directory = session.cache.index_directory("lucene", digest(FORMAT, VERSION, corpus, analyzer))
    return opened_or_built(
        directory,
        LuceneIndex.open,
        lambda path: LuceneIndex.build(corpus, path, analyzer=analyzer, session=session),
    )
