"""What routes share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from pydantic import BaseModel

from rankloom.serving import schemas
from rankloom.serving.problems import MEDIA_TYPE
from rankloom.serving.server import Server
from rankloom.serving.threads import in_thread

_PROBLEMS = {
    400: "The body is not JSON.",
    401: "A key is needed.",
    403: "A server without keys was called by a name of another machine.",
    404: "There is no such pipeline or document.",
    408: "The body came too slowly.",
    409: "A document is there already.",
    413: "The body is too large.",
    422: "The request is not valid, or asks for more than the limits allow.",
    429: "Too many requests at a time.",
    500: "A stage failed.",
    501: "An extra is not installed on the server.",
    503: "A stage hangs; try again later.",
    504: "The deadline has passed.",
    507: "The disk of the server is full.",
}


def problems(*more: int) -> dict[int | str, dict[str, Any]]:
    """The errors that every route may answer with, and some more, for OpenAPI."""
    known = (400, 401, 403, 408, 413, 422, 429, 500, 501, *more)
    content = {MEDIA_TYPE: {"schema": schemas.Problem.model_json_schema()}}
    return {status: {"description": _PROBLEMS[status], "content": content} for status in sorted(known)}


def _server(request: Request) -> Server:
    """The server of an application."""
    server: Server = request.app.state.server
    return server


ServerOf = Annotated[Server, Depends(_server)]


async def answered(make: Callable[[], BaseModel]) -> Response:
    """An answer that is made in a thread: texts are read from disk for it."""
    body = await in_thread(lambda: make().model_dump_json())
    return Response(body, media_type="application/json")
