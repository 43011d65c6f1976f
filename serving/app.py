"""The HTTP application of a server."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI

import rankloom
from rankloom.errors import RankloomError
from rankloom.serving.limits import Gate
from rankloom.serving.problems import add_handlers
from rankloom.serving.routes import context, documents, health, playground, prune, rerank, search
from rankloom.serving.server import Server

_log = logging.getLogger("rankloom")


def create_app(server: Server) -> FastAPI:
    """The application of a server, for uvicorn or any other ASGI host.

    It reads the configuration again on SIGHUP, and waits for requests under way when it ends.

    Args:
        server: What it serves.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with suppress(
            NotImplementedError, RuntimeError, ValueError, AttributeError
        ):  # no such signal, or no main thread
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _reload, server, reloads)
        yield
        await server.close()

    reloads: set[asyncio.Task[None]] = set()
    app = FastAPI(
        title="rankloom",
        version=rankloom.__version__,
        description="Search, reranking, pruning and context by the pipelines of one configuration.",
        docs_url=None,  # that page loads its scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.server = server
    app.add_middleware(Gate, server=server)
    add_handlers(app)
    for part in (search, rerank, prune, context, documents, health, playground):
        app.include_router(part.router)
    return app


def _reload(server: Server, reloads: set[asyncio.Task[None]]) -> None:
    """Read the configuration again; what is wrong with it is logged."""

    async def reloaded() -> None:
        try:
            await server.reload()
        except (RankloomError, OSError) as error:
            _log.error("the configuration stays as it was: %s", error)  # the message says it all

    task = asyncio.create_task(reloaded())
    reloads.add(task)
    task.add_done_callback(reloads.discard)
