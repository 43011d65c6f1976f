"""Search: hits of a pipeline, at once or as each stage finds them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

from rankloom.serving import schemas
from rankloom.serving.answers import search_answer
from rankloom.serving.batching import Batcher
from rankloom.serving.limits import check_k, check_query
from rankloom.serving.problems import problem_of
from rankloom.serving.routes.parts import ServerOf, answered, problems
from rankloom.serving.server import Server
from rankloom.serving.tasks import Found, Task
from rankloom.serving.threads import in_thread

router = APIRouter()
_LINES = "application/x-ndjson"


@router.post(
    "/v1/search",
    response_model=schemas.SearchAnswer,
    responses=problems(404, 503, 504) | {200: {"content": {_LINES: {"schema": {"type": "string"}}}}},
)
async def search(asked: schemas.SearchRequest, server: ServerOf) -> Response:
    """The best hits of a pipeline for a question.

    With `stream`, lines of JSON: `{"after": STAGES, "answer": ...}` for what there is after each stage, and at last
    `{"done": true, "answer": ...}`, or `{"done": true, "problem": ...}`.
    """
    batcher = server.batcher(asked.pipeline, "search")
    query, k = check_query(asked.query, server.limits), check_k(asked.k, server.limits)
    task = Task(query, k, server.seconds(asked.deadline_ms))
    if asked.stream:
        return StreamingResponse(_lines(server, batcher, task, trace=asked.trace), media_type=_LINES)
    found = await server.ask(batcher, task)
    return await answered(lambda: search_answer(batcher.name, found, trace=asked.trace))


async def _lines(server: Server, batcher: Batcher, task: Task, *, trace: bool) -> AsyncIterator[bytes]:
    """What there is after each stage, and at last the answer."""
    task.steps = asyncio.Queue()
    asking = asyncio.create_task(server.ask(batcher, task))
    try:
        while not (asking.done() and task.steps.empty()):
            coming = asyncio.ensure_future(task.steps.get())
            await asyncio.wait({coming, asking}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                coming.cancel()
                continue
            step = coming.result()
            if step.rest:  # what comes after the last stage is the answer
                yield await _line(batcher.name, step, trace=trace, after=step.after)
        yield await _line(batcher.name, await asking, trace=trace, done=True)
    except Exception as error:
        told = json.loads(bytes(problem_of(error).body))
        yield json.dumps({"done": True, "problem": told}).encode() + b"\n"
    finally:
        asking.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await asking


async def _line(name: str, found: Found, *, trace: bool, **said: object) -> bytes:
    """One line."""
    answer = await in_thread(lambda: search_answer(name, found, trace=trace).model_dump_json())
    return f'{json.dumps(said)[:-1]}, "answer": {answer}}}\n'.encode()
