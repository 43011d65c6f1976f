"""Haystack: pipelines as retrievers, rerankers and pruners as rankers (extra `haystack`).

`facts` says what `meta` of the documents that come back holds. A component can be written to YAML if its stages are
given in the words of YAML, or can be told in them. Haystack reads components of other packages if it is allowed to:
`Pipeline.loads(text, allowed_modules=["rankloom.*"])`.
"""
# Annotations are not postponed here: Haystack makes the sockets of components from them.

import asyncio
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from rankloom.checks import whole
from rankloom.config import PipelineBuilder
from rankloom.corpus import Corpus
from rankloom.errors import UsageError
from rankloom.extras import require
from rankloom.serving.adapters import documents as shared
from rankloom.serving.adapters.facts import Given
from rankloom.serving.adapters.words import imported_by_words, session_in_words, stage_in_words
from rankloom.session import Session
from rankloom.stage import Stage

require("haystack", extra="haystack", stage="adapters.haystack")

from haystack import Document, component, default_from_dict, default_to_dict  # noqa: E402  # after the error
from haystack.core.serialization import import_class_by_name  # noqa: E402

_STAGE = "adapters.haystack"
_Component = TypeVar("_Component")


@component
class RankloomRetriever:
    """A pipeline as a Haystack retriever.

    Args:
        pipeline: What searches: a retriever over a corpus with texts, and whatever stands behind it; or the same in
            the words of YAML, such as `["bm25", {"top": 50}, "bi_encoder"]`, over `corpus`.
        corpus: For words: the documents, or the folder of a corpus. Indexes are built on first use; with a cache, once.
        top_k: How many documents at most.
        session: How to carry it out, or the parameters of a session, such as `{"cache": "folder"}`.

    Raises:
        CompositionError: The pipeline does not search, or brings no texts.
        ConfigError: A word or a parameter is unknown.
        UsageError: `top_k` is not a whole number of at least 1, or words come without a corpus.
    """

    def __init__(
        self,
        pipeline: Stage | Sequence[Any],
        corpus: Corpus | str | Path | None = None,
        top_k: int = 10,
        session: Session | Mapping[str, Any] | None = None,
    ) -> None:
        self.pipeline, self.corpus = pipeline, corpus
        self.top_k = whole(top_k, least=1, stage=_STAGE, parameter="top_k")
        self.session = _session(session)
        self._lock, self._built = threading.Lock(), pipeline if isinstance(pipeline, Stage) else None
        self._words = [] if isinstance(pipeline, Stage) else list(pipeline)
        if isinstance(pipeline, Stage):
            shared.check_retriever(pipeline)
        elif corpus is None:
            raise UsageError("a pipeline in words needs documents", stage=_STAGE, fix="pass corpus=")
        else:
            PipelineBuilder({}).check(self._words, at=("pipeline",))

    def warm_up(self) -> None:
        """Open or build the indexes and load the models."""
        self._searches().warm_up(self.session)

    @component.output_types(documents=list[Document])  # type: ignore[untyped-decorator]  # the host's types are not read
    def run(self, query: str, top_k: int | None = None) -> dict[str, list[Document]]:
        """The best documents.

        Args:
            query: What to look for.
            top_k: Another number of documents than the component's.
        """
        hits = self._searches().search(query, top_k or self.top_k, session=self.session)
        return {"documents": [_as_document(one) for one in shared.found(hits)]}

    @component.output_types(documents=list[Document])  # type: ignore[untyped-decorator]  # likewise
    async def run_async(self, query: str, top_k: int | None = None) -> dict[str, list[Document]]:
        """The same without blocking the event loop."""
        pipeline = await asyncio.to_thread(self._searches)
        hits = await pipeline.asearch(query, top_k or self.top_k, session=self.session)
        return {"documents": [_as_document(one) for one in await asyncio.to_thread(shared.found, hits)]}

    def to_dict(self) -> dict[str, Any]:
        """The component as Haystack writes it to YAML.

        Raises:
            UsageError: A stage or a corpus lives in this process alone.
        """
        pipeline = stage_in_words(self.pipeline) if isinstance(self.pipeline, Stage) else self._words
        corpus = self.corpus.directory if isinstance(self.corpus, Corpus) else self.corpus
        if corpus is None:
            fix = "name the folder of a corpus: Corpus.build(documents, folder)"
            raise UsageError("its documents are in memory alone", stage=_STAGE, fix=fix)
        written: dict[str, Any] = default_to_dict(
            self, pipeline=pipeline, corpus=str(corpus), top_k=self.top_k, session=session_in_words(self.session)
        )
        return written

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "RankloomRetriever":
        """The component that `to_dict` has written."""
        return _read(cls, data)

    def _build(self) -> Stage:
        """The pipeline that the words stand for."""
        corpus = self.corpus if isinstance(self.corpus, Corpus) else Corpus.open(str(self.corpus))
        built = PipelineBuilder({}).build(self._words, corpus=corpus, session=self.session)
        shared.check_retriever(built)
        return built

    def _searches(self) -> Stage:
        """The pipeline; the first call builds it."""
        with self._lock:
            if self._built is None:
                self._built = self._build()
            return self._built


@component
class RankloomRanker:
    """Rerankers and pruners as a Haystack ranker, for any retriever's documents.

    Args:
        stage: What reranks or prunes; or the same in the words of YAML, such as `["bi_encoder", {"top": 5}]`.
        top_k: At most so many documents come back; None for no limit.
        threshold: Only documents with at least this `relevance_score` come back.
        title_key: The key of `meta` that holds a document's title, which rerankers read; None for none.
        session: How to carry it out, or the parameters of a session, such as `{"cache": "folder"}`.

    Raises:
        CompositionError: The stage can not begin with documents that are there already.
        ConfigError: A word or a parameter is unknown.
        UsageError: `top_k` is not a whole number of at least 1.

    Example:
        >>> from rankloom.rerank import SentencePruner
        >>> sky = Document(content="Air scatters blue light, so the sky is blue. Bread needs yeast.")
        >>> ranker = RankloomRanker(SentencePruner(), session=Session(offline=True))
        >>> [found] = ranker.run("why is the sky blue", [sky])["documents"]
        >>> found.content, found.meta["citations"][0]["end"], sky.meta
        ('Air scatters blue light, so the sky is blue.', 44, {})
    """

    def __init__(
        self,
        stage: Stage | Sequence[Any],
        top_k: int | None = None,
        threshold: float | None = None,
        title_key: str | None = "title",
        session: Session | Mapping[str, Any] | None = None,
    ) -> None:
        self.stage, self.threshold, self.title_key = stage, threshold, title_key
        self.top_k = None if top_k is None else whole(top_k, least=1, stage=_STAGE, parameter="top_k")
        self.session = _session(session)
        built = PipelineBuilder({}).build
        self._reranks = stage if isinstance(stage, Stage) else built(list(stage), corpus=None, session=self.session)
        shared.check_reranker(self._reranks)

    def warm_up(self) -> None:
        """Load the models."""
        self._reranks.warm_up(self.session)

    @component.output_types(documents=list[Document])  # type: ignore[untyped-decorator]  # likewise
    def run(
        self, query: str, documents: list[Document], top_k: int | None = None, threshold: float | None = None
    ) -> dict[str, list[Document]]:
        """Copies of the documents that are left, best first.

        Args:
            query: The question.
            documents: The documents.
            top_k: Another number of documents than the component's.
            threshold: Another least score than the component's.
        """
        given = [
            Given(
                one.content or "",
                doc_id=one.id,
                metadata=one.meta,
                title=shared.title_of(one.meta, self.title_key),
                score=one.score,
            )
            for one in documents
        ]
        ranked = shared.rerank(
            self._reranks,
            query,
            given,
            top_n=self.top_k if top_k is None else top_k,
            threshold=self.threshold if threshold is None else threshold,
            session=self.session,
        )
        return {"documents": [_copied(one, documents[one.place]) for one in ranked]}

    @component.output_types(documents=list[Document])  # type: ignore[untyped-decorator]  # likewise
    async def run_async(
        self, query: str, documents: list[Document], top_k: int | None = None, threshold: float | None = None
    ) -> dict[str, list[Document]]:
        """The same without blocking the event loop."""
        return await asyncio.to_thread(self.run, query, documents, top_k, threshold)

    def to_dict(self) -> dict[str, Any]:
        """The component as Haystack writes it to YAML.

        Raises:
            UsageError: A stage holds what no file can hold.
        """
        written: dict[str, Any] = default_to_dict(
            self,
            stage=stage_in_words(self.stage) if isinstance(self.stage, Stage) else list(self.stage),
            top_k=self.top_k,
            threshold=self.threshold,
            title_key=self.title_key,
            session=session_in_words(self.session),
        )
        return written

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "RankloomRanker":
        """The component that `to_dict` has written."""
        return _read(cls, data)


def _session(told: Session | Mapping[str, Any] | None) -> Session:
    """A session of what a component is told."""
    return told if isinstance(told, Session) else Session(**(told or {}))


def _read(cls: type[_Component], data: dict[str, Any]) -> _Component:
    """A component of what was written; what its words import (`module:Class`) must be allowed, as components must."""
    parameters = data.get("init_parameters", {})
    for name in imported_by_words([parameters.get("pipeline"), parameters.get("stage")]):
        import_class_by_name(name)
    component: _Component = default_from_dict(cls, data)
    return component


def _as_document(found: shared.Ranked) -> Document:
    """A document of a hit."""
    return Document(id=found.doc_id, content=found.text, meta=found.metadata, score=found.score)


def _copied(found: shared.Ranked, original: Document) -> Document:
    """A copy of a host's document, under its id; an embedding is that of the whole text."""
    content = found.text if original.content is not None else None
    return replace(original, content=content, meta=found.metadata, score=found.score)
