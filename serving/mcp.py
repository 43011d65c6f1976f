"""MCP: the pipelines of a server as tools for assistants (extra `mcp`), by the Model Context Protocol.

There is one tool for each use that some pipeline of the server has; none changes documents. Limits and deadlines are
those of the configuration.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

import rankloom
from rankloom.errors import RankloomError
from rankloom.records import Document
from rankloom.serving import answers
from rankloom.serving.limits import check_documents, check_k, check_query, check_tokens
from rankloom.serving.mcp_schemas import (
    Best,
    Most,
    Name,
    Order,
    Packed,
    Passage,
    Passages,
    Placed,
    Question,
    Shortened,
    ShortenedTexts,
    Texts,
    Tokens,
    said,
)
from rankloom.serving.server import Server
from rankloom.serving.service import Use, uses
from rankloom.serving.tasks import Task
from rankloom.serving.threads import in_thread

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _telling(tool: Callable[_P, Awaitable[_T]]) -> Callable[_P, Awaitable[_T]]:
    """A tool whose errors reach the assistant: what is wrong, what is accepted, and the fix."""

    @wraps(tool)
    async def told(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return await tool(*args, **kwargs)
        except RankloomError as error:
            raise ToolError(str(error)) from error

    return told


class Tools:
    """What assistants may call; they read the docstrings.

    Args:
        server: Whose pipelines.
    """

    def __init__(self, server: Server) -> None:
        self.server = server

    @_telling
    async def search(self, query: Question, k: Most = 5, pipeline: Name = None) -> Passages:
        """Find the documents that answer a question, best first."""
        batcher = self.server.batcher(pipeline, "search")
        found = await self.server.ask(batcher, self._search(query, k))
        whole = await in_thread(lambda: answers.search_answer(batcher.name, found, trace=False))
        passages = [
            Passage(
                rank=hit.rank,
                doc_id=hit.doc_id,
                score=hit.score,
                title=hit.title,
                text=hit.text if hit.pruned_text is None else hit.pruned_text,
                shortened=hit.pruned_text not in (None, hit.text),
            )
            for hit in whole.hits
        ]
        return Passages(passages=passages, **said(whole))

    @_telling
    async def context(self, query: Question, max_tokens: Tokens = 1500, k: Most = 10, pipeline: Name = None) -> Packed:
        """Get the passages that answer a question as one text under a budget of tokens, numbered for citations."""
        batcher, most = self.server.batcher(pipeline, "search"), check_tokens(max_tokens, self.server.limits)
        found = await self.server.ask(batcher, self._search(query, k))
        whole = await in_thread(lambda: answers.context_answer(batcher.name, found, max_tokens=most, cite=True))
        return Packed(
            context=whole.context,
            tokens=whole.tokens,
            citations=whole.citations,
            documents_left_out=whole.documents_left_out,
            **said(whole),
        )

    @_telling
    async def rerank(self, query: Question, documents: Texts, top_n: Best = None, pipeline: Name = None) -> Order:
        """Put texts that you have in the order in which they answer a question."""
        batcher, task = self.server.batcher(pipeline, "rerank"), self._given(query, documents, top_n)
        found = await self.server.ask(batcher, task)
        whole = answers.rerank_answer(batcher.name, found, task, documents=None, warnings=[], version="2")
        placed = [Placed(index=one.index, score=one.relevance_score) for one in whole.results]
        return Order(results=placed, **said(whole.meta.rankloom))

    @_telling
    async def prune(self, query: Question, documents: Texts, pipeline: Name = None) -> ShortenedTexts:
        """Keep of texts that you have only the sentences that help to answer a question."""
        batcher, task = self.server.batcher(pipeline, "prune"), self._given(query, documents, None)
        found = await self.server.ask(batcher, task)
        reranks = "rerank" in uses(batcher)
        whole = answers.prune_answer(batcher.name, found, task.documents or (), reranks=reranks)
        left = [Shortened(index=one.index, text=one.text, score=one.score) for one in whole.documents]
        return ShortenedTexts(documents=left, compression=whole.compression, **said(whole))

    def _search(self, query: str, k: int) -> Task:
        """A search within the limits."""
        limits = self.server.limits
        return Task(check_query(query, limits), check_k(k, limits), self.server.seconds(None))

    def _given(self, query: str, texts: list[str], top_n: int | None) -> Task:
        """A question about given texts, within the limits."""
        limits = self.server.limits
        documents = check_documents([Document(str(at), text) for at, text in enumerate(texts)], limits)
        k = min(top_n or len(texts), len(texts))
        return Task(check_query(query, limits), k, self.server.seconds(None), documents)


def create_mcp(server: Server) -> MCPServer[None]:
    """The pipelines of a server as an MCP server, which closes it when it ends.

    Args:
        server: What it serves.
    """

    @asynccontextmanager
    async def lifespan(_: MCPServer[None]) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await server.close()

    made: MCPServer[None] = MCPServer(
        "rankloom",
        version=rankloom.__version__,
        instructions="Search documents, and rerank or shorten texts. Cite documents by their ids.",
        lifespan=lifespan,
        log_level="WARNING",
    )
    tools = Tools(server)
    offered: list[tuple[Use, Callable[..., Any]]] = [
        ("search", tools.search),
        ("search", tools.context),
        ("rerank", tools.rerank),
        ("prune", tools.prune),
    ]
    for use, tool in offered:
        names = [name for name, batcher in server.service.batchers.items() if use in uses(batcher)]
        if names:
            description = f"{tool.__doc__} Pipelines: {', '.join(names)}."
            reads = ToolAnnotations(read_only_hint=True, open_world_hint=False)
            made.add_tool(tool, description=description, annotations=reads)
    return made
