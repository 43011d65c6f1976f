"""Short pieces of work split evenly between threads that stand ready."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from types import TracebackType
from typing import Any, Self, TypeVar

Item = TypeVar("Item")


class Crew:
    """Threads for kernels that let go of Python's lock; with one thread, the caller does everything itself.

    Args:
        threads: How many work at a time, the caller among them.
        products: Whether the work is products of torch. Then each thread multiplies alone, and the caller only waits:
            threads of one product go on spinning for a while when they are done, on processors others could use.

    Example:
        >>> done = []
        >>> with Crew(2) as crew:
        ...     crew.spread(5, lambda begin, end: done.append((begin, end)))
        >>> sorted(done)
        [(0, 2), (2, 5)]
    """

    def __init__(self, threads: int, *, products: bool = False) -> None:
        self._threads, self._products = max(threads, 1), products
        self._pool: ThreadPoolExecutor | None = None
        if self._threads > 1:
            self._pool = ThreadPoolExecutor(
                self._threads if products else self._threads - 1, initializer=alone if products else None
            )

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
        shares = [(begin, end) for begin, end in pairwise(ends) if begin < end]
        mine = None if self._products else shares.pop()
        pending = [self._pool.submit(work, begin, end) for begin, end in shares]
        if mine is not None:
            work(*mine)
        for one in pending:
            one.result()

    def each(self, items: Iterable[Item], work: Callable[[Item], object]) -> None:
        """Call `work(item)` for every item, several at the same time; returns when all are done.

        A thread that is done with one takes the next.
        """
        left = deque(items)

        def take() -> None:
            while True:
                try:
                    item = left.popleft()
                except IndexError:
                    return
                work(item)

        if self._pool is None:
            take()
            return
        pending = [self._pool.submit(take) for _ in range(self._threads if self._products else self._threads - 1)]
        if not self._products:
            take()
        for one in pending:
            one.result()


def threads() -> int:
    """Threads of a search: torch's number where torch is loaded, otherwise the processors this process may use."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.get_num_threads())
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
