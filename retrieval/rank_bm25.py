"""The package rank-bm25 as a stage: a slow reference in plain Python and NumPy, to check other engines against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import between, choice, whole
from rankloom.corpus import Corpus
from rankloom.extras import require
from rankloom.fingerprint import digest
from rankloom.ledger import Note
from rankloom.order import top_order
from rankloom.ranking import Ranking
from rankloom.records import Documents
from rankloom.retrieval.analysis import Analyzer, EnglishAnalyzer
from rankloom.retrieval.analyzers import analyzer_of
from rankloom.run import Run
from rankloom.session import Session
from rankloom.stage import Retriever

Variant = Literal["okapi", "plus", "l"]
_CLASSES: dict[Variant, str] = {"okapi": "BM25Okapi", "plus": "BM25Plus", "l": "BM25L"}


class RankBM25(Retriever):
    """Retrieve by the scores of rank-bm25; needs the extra `reference`.

    Every query scores every document in Python, and the index is made anew in memory by every process: a reference
    for small collections. What it computes is rank-bm25's, on our analyzer's terms. Hits are the documents that hold
    a term of the query (rank-bm25 itself scores all others too, by BM25+ and BM25L even above zero). Scores of
    `okapi` may be negative where a term stands in most documents.

    It reads the text of a query only: rank-bm25 knows no weighted terms, so feedback by terms can not precede it.

    Args:
        corpus: The documents; `Document.contents` is what is indexed.
        analyzer: What makes terms of texts; by default `EnglishAnalyzer()`.
        k: How many hits a query gets at most; 1,000 as in TREC.
        variant: `okapi`, `plus` (BM25+) or `l` (BM25L), with rank-bm25's defaults for epsilon and delta.
        k1: How soon more occurrences of a term stop to matter; rank-bm25's default.
        b: How much long documents are discounted, 0 to 1; rank-bm25's default.

    Raises:
        UsageError: A parameter is out of range.

    Example:
        >>> from rankloom import Document
        >>> corpus = Corpus.of([Document("d1", "The sky is blue."), Document("d2", "Tides."), Document("d3", "Bread.")])
        >>> RankBM25(corpus).search("the blue sky")[0].doc_id
        'd1'
    """

    name = "rank_bm25"
    requires = ("rank_bm25",)

    def __init__(
        self,
        corpus: Corpus,
        *,
        analyzer: Analyzer | None = None,
        k: int = 1000,
        variant: Variant = "okapi",
        k1: float = 1.5,
        b: float = 0.75,
    ) -> None:
        self.corpus = corpus
        self.analyzer = analyzer or EnglishAnalyzer()
        self.k = whole(k, least=1, stage=self.name, parameter="k")
        self.variant: Variant = choice(variant, get_args(Variant), stage=self.name, parameter="variant")  # type: ignore[assignment]  # it is one of them
        self.k1 = between(k1, 0.0, 1e6, stage=self.name, parameter="k1")
        self.b = between(b, 0.0, 1.0, stage=self.name, parameter="b")

    @classmethod
    def for_corpus(
        cls,
        corpus: Corpus,
        session: Session,  # noqa: ARG003  # nothing is kept
        *,
        k: int = 1000,
        variant: Variant = "okapi",
        k1: float = 1.5,
        b: float = 0.75,
        analyzer: str = "english",
    ) -> Self:
        """Search a corpus; the parameters are those of the constructor, with the analyzer by its name."""
        return cls(corpus, analyzer=analyzer_of(analyzer), k=k, variant=variant, k1=k1, b=b)

    def fingerprint(self) -> str:
        """A digest of the class, its parameters and the version of rank-bm25, whose arithmetic it is."""
        return digest(super().fingerprint(), _installed())

    @property
    def documents(self) -> Documents | None:
        """The corpus."""
        return self.corpus

    def warm_up(self, session: Session | None = None) -> None:  # noqa: ARG002  # nothing depends on it here
        """Make the index."""
        _ = self._engine

    def close(self) -> None:
        """Free the index."""
        self.__dict__.pop("_engine", None)

    def __call__(self, run: Run) -> Run:
        """The best k documents of every query; a query that finds none is noted in the ledger.

        Raises:
            MissingExtraError: rank-bm25 is not installed.
        """
        codes: list[NDArray[np.int32]] = []
        scores: list[NDArray[np.float32]] = []
        notes: list[Note] = []
        for query in run.queries:
            terms = self.analyzer(query.text)
            found, values = self._scored(terms)
            best = top_order(found, values, self.k)
            codes.append(found[best])
            scores.append(values[best])
            if not terms:
                notes.append(Note(self.name, "empty_query", query.id, detail="nothing is left after analysis"))
            elif not len(best):
                notes.append(Note(self.name, "no_hits", query.id, detail="no document holds a term of it"))
        ranking = Ranking.build(
            self.corpus.ids,
            np.cumsum([0, *map(len, codes)], dtype=np.int64),
            np.concatenate([np.zeros(0, dtype=np.int32), *codes]),
            np.concatenate([np.zeros(0, dtype=np.float32), *scores]),
            stage=self.name,
        )
        return replace(run, queries=tuple(query.as_typed() for query in run.queries)).ranked(ranking).noted(*notes)

    def _scored(self, terms: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The documents that hold a term, ascending, and their scores."""
        engine, wanted = self._engine, set(terms)
        if engine is None or not wanted:
            return np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32)
        holding = [code for code, counts in enumerate(engine.doc_freqs) if not wanted.isdisjoint(counts)]
        found = np.array(holding, dtype=np.int32)
        return found, engine.get_scores(list(terms))[found].astype(np.float32)

    @cached_property
    def _engine(self) -> Any:
        """The library's object; None where no document has a term, by which it would divide."""
        library = require("rank_bm25", extra="reference", stage=self.name)
        documents = [self.analyzer(document.contents) for document in self.corpus]
        return getattr(library, _CLASSES[self.variant])(documents, k1=self.k1, b=self.b) if any(documents) else None


def _installed() -> str:
    """The version of rank-bm25; without it, the stage can be made and described, but not carried out."""
    try:
        return version("rank-bm25")
    except PackageNotFoundError:
        return "none"
