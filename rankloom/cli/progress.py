"""Progress on standard error: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from rankloom.progress import Advance, Progress

_SECONDS_BETWEEN_LINES = 10.0


def stderr_progress() -> Progress:
    """The reporter that suits standard error."""
    return BarProgress() if sys.stderr.isatty() else LineProgress()


class BarProgress:
    """Bars on a terminal, one for each piece of work under way; they go when the outermost piece is done."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bars = Bars(*columns, console=Console(stderr=True), transient=True)
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
    """Lines for logs: work that takes long says now and then how far it is.

    Args:
        seconds: Least time between two lines.
    """

    def __init__(self, seconds: float = _SECONDS_BETWEEN_LINES) -> None:
        self._seconds = seconds
        self._said = time.monotonic()

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Advance]:
        """Write a line when there has been none for some time."""
        done = 0

        def advance(units: int) -> None:
            nonlocal done
            done += units
            now = time.monotonic()
            if now - self._said >= self._seconds:
                self._said = now
                sys.stderr.write(f"{label}: {done} of {total}\n")

        yield advance
