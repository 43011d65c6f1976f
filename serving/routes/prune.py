"""Pruning: what of given documents helps to answer a question."""

from __future__ import annotations

from fastapi import APIRouter, Response

from rankloom.records import Document
from rankloom.serving import schemas
from rankloom.serving.answers import prune_answer
from rankloom.serving.limits import check_documents, check_query
from rankloom.serving.routes.parts import ServerOf, answered, problems
from rankloom.serving.service import uses
from rankloom.serving.tasks import Task

router = APIRouter()


@router.post("/v1/prune", response_model=schemas.PruneAnswer, responses=problems(404, 503, 504))
async def prune(asked: schemas.PruneRequest, server: ServerOf) -> Response:
    """The sentences of each document that a pruner keeps, as text and as offsets."""
    batcher = server.batcher(asked.pipeline, "prune")
    query = check_query(asked.query, server.limits)
    texts = [schemas.Text(text=one) if isinstance(one, str) else one for one in asked.documents]
    given = [Document(str(place), one.text, one.title) for place, one in enumerate(texts)]
    documents = check_documents(given, server.limits)
    found = await server.ask(batcher, Task(query, len(documents), server.seconds(asked.deadline_ms), documents))
    reranks = "rerank" in uses(batcher)
    return await answered(lambda: prune_answer(batcher.name, found, documents, reranks=reranks))
