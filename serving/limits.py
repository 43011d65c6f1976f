"""What a request passes before anything is done for it: its key, its size, and whether there is room."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rankloom.errors import UsageError
from rankloom.loopback import on_loopback
from rankloom.records import Document
from rankloom.serving.config import Limits
from rankloom.serving.problems import problem

if TYPE_CHECKING:
    from rankloom.serving.server import Server

#: What everybody is told, whoever they are, and however much there is to do: whether the server is well, what it
#: understands, and the page on which one can type a question and a key.
OPEN = frozenset({"/", "/health", "/ready", "/openapi.json"})
OPEN_FOLDER = "/playground/"


class Gate:
    """ASGI middleware: keys (401, 403), sizes (413), slow clients (408), too many at a time (429).

    A body is read whole before the request counts as under way, so that a slow client takes nobody's place.

    Args:
        app: What stands behind it.
        server: Whose limits and keys count.
    """

    def __init__(self, app: ASGIApp, server: Server) -> None:
        self._app, self._server = app, server
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.monotonic(), 500
        limits = self._server.limits

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            async with asyncio.timeout(limits.body_seconds):  # a client that takes nothing is let go
                await send(message)

        try:
            await self._passed(scope, receive, sent, limits)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._server.metrics.request(route, status, time.monotonic() - begun)

    async def _passed(self, scope: Scope, receive: Receive, send: Send, limits: Limits) -> None:
        """Let a request through, or answer it."""
        path: str = scope["path"]
        if path in OPEN or path.startswith(OPEN_FOLDER):
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if not self._server.keyed and not on_loopback(f"http://{headers.get(b'host', '')}"):
            # a page of another site whose name has been made to lead here
            fix = "serve with `keys` to be called by other names"
            said = "this is no name of a server without keys"
            answer = problem(403, said, stage="host", accepted="localhost or a loopback address", fix=fix)
            await answer(scope, receive, send)
            return
        if not self._server.takes(_key(headers)):
            asked = {"WWW-Authenticate": "Bearer"}
            accepted = "Authorization: Bearer KEY, or X-API-Key: KEY"
            answer = problem(401, "a key is needed", headers=asked, stage="keys", accepted=accepted)
            await answer(scope, receive, send)
            return
        body = await _body(scope, receive, limits)
        if isinstance(body, int):
            about = {413: f"at most {limits.body_bytes} bytes", 408: f"a body within {limits.body_seconds:g} seconds"}
            answer = problem(body, HTTPStatus(body).phrase.lower(), stage="request", accepted=about.get(body))
            await answer(scope, receive, send)
            return
        if self._under_way >= limits.concurrency:
            accepted = f"{limits.concurrency} requests at a time"
            wait = {"Retry-After": "1"}
            answer = problem(429, "the server is busy", headers=wait, stage="request", accepted=accepted)
            await answer(scope, receive, send)
            return
        self._under_way += 1
        self._server.metrics.under_way(self._under_way)
        try:
            with self._server.service.tracing.request(path, headers):
                await self._app(scope, _given(body, receive), send)
        finally:
            self._under_way -= 1
            self._server.metrics.under_way(self._under_way)


def _key(headers: Mapping[bytes, str]) -> str:
    """The key that a request brings; empty if none."""
    scheme, _, key = headers.get(b"authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else headers.get(b"x-api-key", "")


async def _body(scope: Scope, receive: Receive, limits: Limits) -> bytes | int:
    """The body of a request, or the status to refuse it with."""
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    if not declared.isdigit():
        return 400
    if int(declared) > limits.body_bytes:
        return 413
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.body_seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return 400
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > limits.body_bytes:
                    return 413
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        return 408


def _given(body: bytes, receive: Receive) -> Receive:
    """A body that has been read, as what stands behind reads it."""
    told = False

    async def again() -> Message:
        nonlocal told
        if told:
            return await receive()  # waits for the client to leave
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


# --- what a request asks for ---------------------------------------------------------------------------------------


class TooLargeError(UsageError):
    """More is asked for than the server's limits allow."""


def check_query(query: str, limits: Limits) -> str:
    """The question, if it is one and not too long.

    Raises:
        UsageError: It is empty.
        TooLargeError: It is too long.
    """
    if not query.strip():
        raise UsageError("the query is empty", stage="request", fix="ask for something")
    _most(len(query), limits.query_chars, "characters of the query")
    return query


def check_k(k: int, limits: Limits) -> int:
    """How many hits are asked for, if there may be so many."""
    _most(k, limits.k, "hits")
    return k


def check_documents(documents: Sequence[Document], limits: Limits) -> tuple[Document, ...]:
    """The documents, if there are some, not too many, and none is too long.

    Raises:
        UsageError: There is none, or its metadata is not JSON.
        TooLargeError: There are too many, or one is too long.
    """
    if not documents:
        raise UsageError("there is no document", stage="request", fix="send one at least")
    _most(len(documents), limits.documents, "documents")
    for place, one in enumerate(documents):
        length = len(one.text) + len(one.title) + len(one.id) + (len(_json(one)) if one.metadata else 0)
        _most(length, limits.document_chars, f"characters of document {place}")
    return tuple(documents)


def check_tokens(tokens: int, limits: Limits) -> int:
    """How many tokens are asked for, if there may be so many."""
    _most(tokens, limits.context_tokens, "tokens of a context")
    return tokens


def _most(count: int, limit: int, what: str) -> None:
    """Refuse more than there may be."""
    if count > limit:
        raise TooLargeError(f"too many {what}", stage="request", value=count, accepted=f"at most {limit}")


def _json(document: Document) -> str:
    """The metadata as it is kept.

    Raises:
        UsageError: It holds what JSON or UTF-8 can not.
    """
    try:
        text = json.dumps(dict(document.metadata), ensure_ascii=False, allow_nan=False)
        text.encode()
    except (ValueError, RecursionError) as error:
        raise UsageError(f"metadata can not be kept: {error}", stage="request") from error
    return text
