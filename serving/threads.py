"""Work in threads that do not keep the process from ending: a model or an endpoint may hang for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

_T = TypeVar("_T")


def in_thread(work: Callable[[], _T]) -> asyncio.Future[_T]:
    """The result of a function that runs in a thread of its own from now on, also where nobody waits for it any more.

    Threads of `asyncio.to_thread` and of anyio are joined at the end of the process; these are not.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()

    def settle(result: _T | None, error: BaseException | None) -> None:
        if future.done():  # cancelled
            return
        if error is None:
            future.set_result(result)  # type: ignore[arg-type]  # a result without an error is one
        else:
            future.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as caught:  # it is raised where the result is awaited
            error = caught
        with suppress(RuntimeError):  # the loop is closed: the server has ended
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="rankloom-work", daemon=True).start()
    return future
