"""LlamaIndex: pipelines as retrievers, rerankers and pruners as node postprocessors (extra `llamaindex`).

`facts` says what the metadata of the nodes that come back holds. Those names are kept out of what language models
and embedding models are shown of a node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Self

from pydantic import ConfigDict, Field, model_validator

from rankloom.checks import whole
from rankloom.errors import UsageError
from rankloom.extras import require
from rankloom.serving.adapters import documents as shared
from rankloom.serving.adapters.facts import NAMES, Given
from rankloom.session import Session
from rankloom.stage import Stage

require("llama_index.core", extra="llamaindex", stage="adapters.llama_index")

from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload  # noqa: E402  # after the error
from llama_index.core.instrumentation import get_dispatcher  # noqa: E402
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent  # noqa: E402
from llama_index.core.postprocessor.types import BaseNodePostprocessor  # noqa: E402
from llama_index.core.retrievers import BaseRetriever  # noqa: E402
from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, QueryBundle, TextNode  # noqa: E402

_dispatcher = get_dispatcher(__name__)


class RankloomRetriever(BaseRetriever):  # type: ignore[misc]  # the host's types are not read
    """A pipeline as a LlamaIndex retriever.

    Args:
        pipeline: What searches: a retriever over a corpus with texts, and whatever stands behind it.
        k: How many nodes at most.
        session: How to carry it out.
        callback_manager: The host's.

    Raises:
        CompositionError: The pipeline does not search, or brings no texts.
        UsageError: `k` is not a whole number of at least 1.

    Example:
        >>> from rankloom import Document
        >>> from rankloom.retrieval import BM25
        >>> notes = [Document("a", "The ferry leaves at nine."), Document("b", "Bread needs yeast.")]
        >>> [found] = RankloomRetriever(BM25.of(notes)).retrieve("ferry")
        >>> found.node_id, found.text, found.metadata["rank"]
        ('a', 'The ferry leaves at nine.', 1)
    """

    def __init__(
        self,
        pipeline: Stage,
        *,
        k: int = 10,
        session: Session | None = None,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        super().__init__(callback_manager=callback_manager)
        shared.check_retriever(pipeline)
        self.pipeline, self.session = pipeline, session
        self.k = whole(k, least=1, stage="adapters.llama_index", parameter="k")

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        """The best nodes."""
        hits = self.pipeline.search(query_bundle.query_str, self.k, session=self.session)
        return [_new_node(one) for one in shared.found(hits)]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        """The same without blocking the event loop."""
        hits = await self.pipeline.asearch(query_bundle.query_str, self.k, session=self.session)
        return [_new_node(one) for one in await asyncio.to_thread(shared.found, hits)]


class RankloomPostprocessor(BaseNodePostprocessor):  # type: ignore[misc]  # likewise
    """Rerankers and pruners as a LlamaIndex node postprocessor.

    Callbacks and instrumentation are told of it as of any reranking. Stages read a node's text alone, without metadata,
    so that offsets point into it.

    Args:
        stage: What reranks or prunes.
        top_n: At most so many nodes come back.
        threshold: Only nodes with at least this `relevance_score` come back.
        title_key: The key of the metadata that holds a node's title, which rerankers read; None for none.
        session: How to carry it out.

    Raises:
        CompositionError: The stage can not begin with nodes that are there already.

    Example:
        >>> from rankloom.rerank import SentencePruner
        >>> sky = NodeWithScore(node=TextNode(text="Air scatters blue light, so the sky is blue. Bread needs yeast."))
        >>> pruner = RankloomPostprocessor(stage=SentencePruner(), session=Session(offline=True))
        >>> [found] = pruner.postprocess_nodes([sky], query_str="why is the sky blue")
        >>> found.text, found.metadata["citations"][0]["end"], sky.metadata
        ('Air scatters blue light, so the sky is blue.', 44, {})
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    stage: Stage = Field(exclude=True)
    top_n: int | None = Field(default=None, ge=1)
    threshold: float | None = None
    title_key: str | None = "title"
    session: Session | None = Field(default=None, exclude=True)

    @model_validator(mode="after")
    def _reranks(self) -> Self:
        """Refuse a stage that does not."""
        shared.check_reranker(self.stage)
        return self

    @classmethod
    def class_name(cls) -> str:
        """The host's name for it."""
        return "RankloomPostprocessor"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        """Copies of the nodes that are left, best first."""
        if query_bundle is None:
            raise UsageError("reranks for a question", stage="adapters.llama_index", fix="pass query_str=")
        query, top_n = query_bundle.query_str, self.top_n or len(nodes)
        _dispatcher.event(ReRankStartEvent(query=query_bundle, nodes=nodes, top_n=top_n, model_name=self.stage.name))
        payload: dict[str, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.QUERY_STR: query,
            EventPayload.TOP_K: top_n,
            EventPayload.MODEL_NAME: self.stage.name,
        }
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            found = self._postprocessed(nodes, query)
            event.on_end(payload={EventPayload.NODES: found})
        _dispatcher.event(ReRankEndEvent(nodes=found))
        return found

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        """The same without blocking the event loop."""
        return await asyncio.to_thread(self._postprocess_nodes, nodes, query_bundle)

    def _postprocessed(self, nodes: Sequence[NodeWithScore], query: str) -> list[NodeWithScore]:
        """What is left of the nodes."""
        given = [
            Given(
                one.node.get_content(metadata_mode=MetadataMode.NONE),
                doc_id=one.node.node_id,
                metadata=one.node.metadata,
                title=shared.title_of(one.node.metadata, self.title_key),
                score=one.score,
            )
            for one in nodes
        ]
        ranked = shared.rerank(
            self.stage, query, given, top_n=self.top_n, threshold=self.threshold, session=self.session
        )
        return [_copied(one, nodes[one.place]) for one in ranked]


def _new_node(found: shared.Ranked) -> NodeWithScore:
    """A node of a hit."""
    node = TextNode(id_=found.doc_id, text=found.text, metadata=found.metadata)
    return NodeWithScore(node=_hidden(node, found), score=found.score)


def _copied(found: shared.Ranked, original: NodeWithScore) -> NodeWithScore:
    """A copy of a host's node; relationships and embedding are those of the whole text."""
    node = original.node
    copy = node.model_copy(update={"metadata": found.metadata, "relationships": dict(node.relationships)})
    if found.text != node.get_content(metadata_mode=MetadataMode.NONE):
        copy.set_content(found.text)
    return original.model_copy(update={"node": _hidden(copy, found), "score": found.score})


def _hidden(node: BaseNode, found: shared.Ranked) -> BaseNode:
    """A node whose added metadata is not shown to models."""
    added = sorted(NAMES & found.metadata.keys())
    node.excluded_llm_metadata_keys = [*dict.fromkeys([*node.excluded_llm_metadata_keys, *added])]
    node.excluded_embed_metadata_keys = [*dict.fromkeys([*node.excluded_embed_metadata_keys, *added])]
    return node
