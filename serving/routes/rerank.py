"""Reranking of given documents, in the shape of Cohere's rerank endpoints (v1, v2) and of Jina's."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Response

from rankloom.errors import UsageError
from rankloom.records import Document
from rankloom.serving import schemas
from rankloom.serving.answers import rerank_answer
from rankloom.serving.limits import check_documents, check_query
from rankloom.serving.routes.parts import ServerOf, answered, problems
from rankloom.serving.server import Server
from rankloom.serving.tasks import Task

router = APIRouter()
_ERRORS = problems(404, 503, 504)


@router.post("/v1/rerank", response_model=schemas.RerankAnswer, responses=_ERRORS)
async def rerank(asked: schemas.RerankRequest, server: ServerOf) -> Response:
    """Documents in the order of their relevance, as Cohere's v1 and Jina's clients ask for it."""
    return await _reranked(asked, server, version="1")


@router.post("/v2/rerank", response_model=schemas.RerankAnswer, responses=_ERRORS)
async def rerank_v2(asked: schemas.RerankRequest, server: ServerOf) -> Response:
    """Documents in the order of their relevance, as Cohere's v2 clients ask for it."""
    return await _reranked(asked, server, version="2")


async def _reranked(asked: schemas.RerankRequest, server: Server, *, version: str) -> Response:
    """The answer; what a client sends besides has no effect, and the answer says so."""
    batcher = server.batcher(asked.model, "rerank")
    query = check_query(asked.query, server.limits)
    texts = [_text(one) for one in asked.documents]
    documents = check_documents([Document(str(at), text) for at, text in enumerate(texts)], server.limits)
    task = Task(query, min(asked.top_n or len(texts), len(texts)), server.seconds(asked.deadline_ms), documents)
    found = await server.ask(batcher, task)
    sent_back = None
    if asked.return_documents:
        sent_back = [{"text": one} if isinstance(one, str) else one for one in asked.documents]
    warnings = [f"{name} has no effect here" for name in sorted(asked.model_extra or {})]
    return await answered(
        lambda: rerank_answer(batcher.name, found, task, documents=sent_back, warnings=warnings, version=version)
    )


def _text(document: str | dict[str, Any]) -> str:
    """The text of a document.

    Raises:
        UsageError: It has none.
    """
    if isinstance(document, str):
        return document
    text = document.get("text")
    if not isinstance(text, str):
        raise UsageError("a document has no text", stage="request", value=document, accepted='a string, or {"text": …}')
    try:
        schemas.writable(json.dumps(document, ensure_ascii=False))  # it may be sent back
    except ValueError as error:
        raise UsageError(f"a document is {error}", stage="request", value=document) from error
    return text
