"""Short pieces of work split evenly between threads that stand ready."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from types import TracebackType
from typing import Any, Self


class Crew:
    """Threads for kernels that let go of Python's lock; with one thread, the caller does everything itself.

    Args:
        threads: How many work at a time, the caller among them.

    Example:
        >>> done = []
        >>> with Crew(2) as crew:
        ...     crew.spread(5, lambda begin, end: done.append((begin, end)))
        >>> sorted(done)
        [(0, 2), (2, 5)]
    """

    def __init__(self, threads: int) -> None:
        self._threads = max(threads, 1)
        self._pool = ThreadPoolExecutor(self._threads - 1) if self._threads > 1 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def spread(self, count: int, work: Callable[[int, int], object]) -> None:
        """Call `work(begin, end)` for ranges that make up 0 to `count`, at the same time; returns when all are done."""
        if self._pool is None or count < 2:
            work(0, count)
            return
        ends = [count * number // self._threads for number in range(self._threads + 1)]
        *others, last = [(begin, end) for begin, end in pairwise(ends) if begin < end]
        pending = [self._pool.submit(work, begin, end) for begin, end in others]
        work(*last)
        for one in pending:
            one.result()


def alone() -> None:
    """Let matrix products of the calling thread run on this thread alone, for the rest of its life."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.get_num_threads()  # sets the number for a new thread, and would undo what follows
    controller = _controller()
    if controller is not None:
        controller.limit(limits=1, user_api="openmp")


@cache
def _controller() -> Any:
    """The thread pools of libraries in this process, which torch's are among; None where there is no way to them."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController()
