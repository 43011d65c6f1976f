"""Progress on standard error, with the time left: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from rankloom.progress import Advance, Progress

_SECONDS_BETWEEN_LINES = 10.0


def stderr_progress() -> Progress:
    """The reporter that suits standard error."""
    return BarProgress() if sys.stderr.isatty() else LineProgress()


class BarProgress:
    """Bars on a terminal, one for each piece of work under way; they go when the outermost piece is done."""

    def __init__(self) -> None:
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._open = 0
        self._lock = threading.Lock()

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Advance]:
        """Show a bar while the block runs."""
        with self._lock:
            self._open += 1
            if self._open == 1:
                self._bars.start()
        bar = self._bars.add_task(label, total=total)
        try:
            yield lambda done: self._bars.advance(bar, done)
        finally:
            self._bars.remove_task(bar)
            with self._lock:
                self._open -= 1
                if self._open == 0:
                    self._bars.stop()


class LineProgress:
    """Lines for logs: work that takes long says now and then how far it is, and how long it will go on.

    Args:
        seconds: Least time between two lines.
        clock: Tells the time in seconds.
    """

    def __init__(self, seconds: float = _SECONDS_BETWEEN_LINES, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._said = clock()

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Advance]:
        """Write a line when there has been none for some time."""
        done = 0
        pace = _Pace(self._clock)

        def advance(units: int) -> None:
            nonlocal done
            done += units
            now = self._clock()
            left = pace.left(done, total)
            if now - self._said >= self._seconds:
                self._said = now
                sys.stderr.write(f"{label}: {done} of {total}{left}\n")

        yield advance


class _Pace:
    """Estimates the time left from the units done since the first report.

    What the first report counts is left out: it is what came from the cache, in no time.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._first: tuple[int, float] | None = None

    def left(self, done: int, total: int) -> str:
        """The time left in words; nothing while it can not be told."""
        now = self._clock()
        if self._first is None:
            self._first = done, now
        units, begun = self._first
        if done <= units or done >= total:
            return ""
        return f", about {in_words((now - begun) / (done - units) * (total - done))} left"


def in_words(seconds: float) -> str:
    """A duration as people say it.

    >>> in_words(42), in_words(200), in_words(7500)
    ('42 s', '3 min 20 s', '2 h 5 min')
    """
    whole = math.ceil(seconds)
    minutes, hours = whole // 60, whole // 3600
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
