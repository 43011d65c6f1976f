"""Context: what a search finds, packed for a language model under a budget of tokens, with citations."""

from __future__ import annotations

from fastapi import APIRouter, Response

from rankloom.serving import schemas
from rankloom.serving.answers import context_answer
from rankloom.serving.limits import check_k, check_query, check_tokens
from rankloom.serving.routes.parts import ServerOf, answered, problems
from rankloom.serving.tasks import Task

router = APIRouter()


@router.post("/v1/context", response_model=schemas.ContextAnswer, responses=problems(404, 503, 504))
async def context(asked: schemas.ContextRequest, server: ServerOf) -> Response:
    """The best passages for a question; numbers in the text lead to documents and offsets."""
    batcher = server.batcher(asked.pipeline, "search")
    query, k = check_query(asked.query, server.limits), check_k(asked.k, server.limits)
    tokens = check_tokens(asked.max_tokens, server.limits)
    found = await server.ask(batcher, Task(query, k, server.seconds(asked.deadline_ms)))
    return await answered(lambda: context_answer(batcher.name, found, max_tokens=tokens, cite=asked.cite))
