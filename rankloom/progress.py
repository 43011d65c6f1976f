"""Progress, through one injectable reporter: silent in applications, a bar on standard error in the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], None]


class Progress(Protocol):
    """Shows how far a long piece of work has come."""

    def task(self, label: str, total: int) -> AbstractContextManager[Advance]:
        """Open a piece of work of `total` units; the block calls what it is given with the units just done."""
        ...


class Silent:
    """Shows nothing."""

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Advance]:
        """Accept a piece of work and show nothing of it."""
        yield lambda _: None


SILENT = Silent()
