"""Units of work on several threads, with the same results as one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextvars import copy_context
from typing import TypeVar

Unit = TypeVar("Unit")
Result = TypeVar("Result")


def completed(
    work: Callable[[Unit], Result],
    units: Sequence[Unit],
    *,
    threads: int = 1,
    begin: Callable[[], None] | None = None,
) -> Iterator[tuple[Unit, Result]]:
    """Do some work for every unit; each comes with its result as soon as it is done.

    On one thread the units come in order, otherwise in any. When one fails, those that have not begun are given up,
    those that are under way still come, and then the error of the first that failed (in order) is raised.

    Args:
        work: What to do; must be fit to be called from several threads at once.
        units: For what.
        threads: How many at a time, at least 1.
        begin: What each thread does first; then all is done by threads that begin here, and never by the caller's.

    Example:
        >>> sorted(completed(len, ["a", "bcd"], threads=2))
        [('a', 1), ('bcd', 3)]
    """
    if begin is None and (threads == 1 or len(units) < 2):
        for unit in units:
            yield unit, work(unit)
        return
    pool = ThreadPoolExecutor(max(1, min(threads, len(units))), initializer=begin)
    try:
        numbers: dict[Future[Result], int] = {
            pool.submit(copy_context().run, work, unit): number for number, unit in enumerate(units)
        }
        failed: dict[int, BaseException] = {}
        for future in as_completed(numbers):
            if future.cancelled():
                continue
            error = future.exception()
            if error is None:
                yield units[numbers[future]], future.result()
                continue
            failed[numbers[future]] = error
            for other in numbers:
                other.cancel()
        if failed:
            raise failed[min(failed)]
    finally:
        pool.shutdown(cancel_futures=True)
