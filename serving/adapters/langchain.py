"""LangChain: pipelines as retrievers, rerankers and pruners as document compressors (extra `langchain`).

`facts` says what the metadata of the documents that come back holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import ConfigDict, Field, model_validator

from rankloom.extras import require
from rankloom.serving.adapters import documents as shared
from rankloom.serving.adapters.facts import Given
from rankloom.session import Session
from rankloom.stage import Stage

require("langchain_core", extra="langchain", stage="adapters.langchain")

from langchain_core.callbacks import (  # noqa: E402  # after the error that names the extra
    AsyncCallbackManager,
    AsyncCallbackManagerForRetrieverRun,
    CallbackManager,
    CallbackManagerForRetrieverRun,
    Callbacks,
)
from langchain_core.documents import BaseDocumentCompressor, Document  # noqa: E402
from langchain_core.retrievers import BaseRetriever  # noqa: E402

#: Where retrievers of other makers put their scores, the first that is there.
_SCORES = ("relevance_score", "score")


class RankloomRetriever(BaseRetriever):  # type: ignore[misc]  # the host's types are not read
    """A pipeline as a LangChain retriever.

    Args:
        pipeline: What searches: a retriever over a corpus with texts, and whatever stands behind it.
        k: How many documents at most; one call takes another number by `invoke(query, k=3)`.
        session: How to carry it out.

    Raises:
        CompositionError: The pipeline does not search, or brings no texts.

    Example:
        >>> from rankloom import Document
        >>> from rankloom.retrieval import BM25
        >>> notes = [Document("a", "The ferry leaves at nine."), Document("b", "Bread needs yeast.")]
        >>> [found] = RankloomRetriever(pipeline=BM25.of(notes)).invoke("ferry")
        >>> found.id, found.page_content, found.metadata["rank"]
        ('a', 'The ferry leaves at nine.', 1)
    """

    pipeline: Stage
    k: int = Field(default=10, ge=1)
    session: Session | None = None

    @model_validator(mode="after")
    def _searches(self) -> Self:
        """Refuse a pipeline that does not."""
        shared.check_retriever(self.pipeline)
        return self

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002  # no stage has callbacks of its own
        k: int | None = None,
    ) -> list[Document]:
        """The best documents, as copies."""
        hits = self.pipeline.search(query, self.k if k is None else k, session=self.session)
        return [_as_document(one) for one in shared.found(hits)]

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,  # noqa: ARG002  # likewise
        k: int | None = None,
    ) -> list[Document]:
        """The same without blocking the event loop."""
        hits = await self.pipeline.asearch(query, self.k if k is None else k, session=self.session)
        return [_as_document(one) for one in await asyncio.to_thread(shared.found, hits)]


class RankloomCompressor(BaseDocumentCompressor):  # type: ignore[misc]  # likewise
    """Rerankers and pruners as a LangChain document compressor, for any retriever's documents.

    Callbacks are told of it as of a chain, whose inputs and outputs are the query and the documents.

    Args:
        stage: What reranks or prunes.
        top_n: At most so many documents come back.
        threshold: Only documents with at least this `relevance_score` come back.
        title_key: The key of the metadata that holds a document's title, which rerankers read; None for none.
        session: How to carry it out.

    Raises:
        CompositionError: The stage can not begin with documents that are there already.

    Example:
        >>> from rankloom.rerank import SentencePruner
        >>> sky = Document("Air scatters blue light, so the sky is blue. Bread needs yeast.")
        >>> compressor = RankloomCompressor(stage=SentencePruner(), session=Session(offline=True))
        >>> [found] = compressor.compress_documents([sky], "why is the sky blue")
        >>> found.page_content, found.metadata["citations"][0]["end"], sky.metadata
        ('Air scatters blue light, so the sky is blue.', 44, {})
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    stage: Stage
    top_n: int | None = Field(default=None, ge=1)
    threshold: float | None = None
    title_key: str | None = "title"
    session: Session | None = None

    @model_validator(mode="after")
    def _reranks(self) -> Self:
        """Refuse a stage that does not."""
        shared.check_reranker(self.stage)
        return self

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks = None
    ) -> list[Document]:
        """Copies of the documents that are left, best first."""
        manager = CallbackManager.configure(callbacks).on_chain_start(
            None, {"query": query, "documents": list(documents)}, name=type(self).__name__
        )
        try:
            found = self._compressed(documents, query)
        except BaseException as error:
            manager.on_chain_error(error)
            raise
        manager.on_chain_end({"documents": found})
        return found

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks = None
    ) -> list[Document]:
        """The same without blocking the event loop."""
        manager = await AsyncCallbackManager.configure(callbacks).on_chain_start(
            None, {"query": query, "documents": list(documents)}, name=type(self).__name__
        )
        try:
            found = await asyncio.to_thread(self._compressed, documents, query)
        except BaseException as error:
            await manager.on_chain_error(error)
            raise
        await manager.on_chain_end({"documents": found})
        return found

    def _compressed(self, documents: Sequence[Document], query: str) -> list[Document]:
        """What is left of the documents."""
        given = [
            Given(
                one.page_content,
                doc_id=one.id or "",
                metadata=one.metadata,
                title=shared.title_of(one.metadata, self.title_key),
                score=_score(one.metadata),
            )
            for one in documents
        ]
        ranked = shared.rerank(
            self.stage, query, given, top_n=self.top_n, threshold=self.threshold, session=self.session
        )
        return [_as_document(one, documents[one.place]) for one in ranked]


def _as_document(found: shared.Ranked, original: Document | None = None) -> Document:
    """A new document; a copy of the host's, if there is one, whatever class that has."""
    changes: dict[str, Any] = {"id": found.doc_id, "page_content": found.text, "metadata": found.metadata}
    return Document(**changes) if original is None else original.model_copy(update=changes)


def _score(metadata: Mapping[str, Any]) -> float | None:
    """The score that a document comes with."""
    told = [metadata.get(name) for name in _SCORES]
    return next((float(one) for one in told if isinstance(one, int | float) and not isinstance(one, bool)), None)
