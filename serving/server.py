"""A server: the service of the moment, put in the place of another when the configuration is read again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rankloom.errors import UsageError
from rankloom.serving.batching import Batcher
from rankloom.serving.config import Limits, ServeFile
from rankloom.serving.live_index import LiveIndex
from rankloom.serving.metrics import Metrics
from rankloom.serving.service import Service, Use
from rankloom.serving.tasks import Found, Task
from rankloom.serving.threads import in_thread

_T = TypeVar("_T")
_log = logging.getLogger("rankloom")


class Server:
    """What routes ask. Opened by its constructor, which takes as long as models take to load.

    Args:
        file: The configuration.
        cache: Folder for the indexes of a `collection`; None keeps them in memory.
        offline: As for `Session`.

    Raises:
        RankloomError: As `Service.open` raises it.
    """

    def __init__(self, file: ServeFile, *, cache: Path | None = None, offline: bool | None = None) -> None:
        self.file, self._cache, self._offline = file, cache, offline
        self.metrics = Metrics()
        self.service = self._opened(file, None)
        self.ready = True
        self._changing = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def limits(self) -> Limits:
        """What may be asked for."""
        return self.service.config.limits

    @property
    def keyed(self) -> bool:
        """Whether only those who have a key are served."""
        return self.service.keys is not None

    def takes(self, key: str) -> bool:
        """Whether a request with this key is served."""
        return self.service.keys is None or self.service.keys.takes(key)

    async def ask(self, batcher: Batcher, task: Task) -> Found:
        """The answer of a pipeline, cut off at what was asked for; see `Batcher.ask`."""
        found = await batcher.ask(task)
        for note in found.hits.notes:
            self.metrics.note(note.stage, note.kind)
        return found

    def seconds(self, deadline_ms: float | None) -> float:
        """How long a request may take: as it says, but not longer than the server does."""
        most = self.service.config.deadline_seconds
        return most if deadline_ms is None else min(most, deadline_ms / 1000)

    def batcher(self, name: str | None, use: Use) -> Batcher:
        """See `Service.batcher`."""
        return self.service.batcher(name, use)

    # --- changing --------------------------------------------------------------------------------------------

    @property
    def live(self) -> LiveIndex:
        """The live index.

        Raises:
            UsageError: Documents of this server do not change.
        """
        if self.service.live is None:
            raise UsageError("documents of this server do not change", stage="documents", fix="serve with `live: true`")
        return self.service.live

    async def change(self, make: Callable[[LiveIndex], _T]) -> _T:
        """Change the live index, and let searches from now on see it; one change at a time."""
        async with self._changing:
            live = self.live
            result = await in_thread(lambda: make(live))
            pipelines = await in_thread(self.service.renewed)
            for name, pipeline in pipelines.items():
                self.service.batchers[name].swap(pipeline)
            self.metrics.documents(len(live))
            return result

    async def reload(self) -> None:
        """Read the configuration again, and serve by it from when its models are loaded; requests under way go on.

        Raises:
            ConfigError: It is not valid, or comes from no file; all stays as it was.
        """
        async with self._changing:
            file = await in_thread(self.file.again)
            before = self.service
            self.service = await in_thread(lambda: self._opened(file, before.live))
            self.file = file
            leaving = asyncio.create_task(self._let_go(before))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
        _log.info("serving %s as it is now", file.locations.file)

    async def close(self) -> None:
        """Wait for requests under way, and free what is held."""
        self.ready = False
        for leaving in list(self._leaving):
            await leaving
        await self.service.drained()
        self.service.close()
        if self.service.live is not None:
            self.service.live.close()

    async def _let_go(self, service: Service) -> None:
        """Free a service once its last request has its answer."""
        await service.drained()
        service.close()
        if service.live is not None and service.live is not self.service.live:
            service.live.close()

    def _opened(self, file: ServeFile, live: LiveIndex | None) -> Service:
        """A service by a configuration."""
        return Service.open(file, metrics=self.metrics, cache=self._cache, offline=self._offline, live=live)
