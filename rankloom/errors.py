"""Errors of rankloom: one class for each exit code of the command line.

Every error names the stage it came from, the offending value, what would have been accepted and how to
mend it, as far as each is known.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

_UNSET: Final = object()
_LONGEST_VALUE = 300  # characters of a value that an error shows


class RankloomError(Exception):
    """Base of all errors raised on purpose.

    Args:
        problem: What went wrong, one sentence without a full stop.
        stage: Name of the stage, file reader or command that found it.
        value: The offending value, shown by `repr`.
        accepted: What would have been accepted.
        fix: What the user can do about it.
    """

    exit_code = 6

    def __init__(
        self,
        problem: str,
        *,
        stage: str | None = None,
        value: object = _UNSET,
        accepted: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.problem, self.stage, self.accepted, self.fix = problem, stage, accepted, fix
        self.value = None if value is _UNSET else _short(value)
        parts = [f"{stage}: {problem}" if stage else problem]
        if self.value is not None:
            parts.append(f"got {self.value}")
        if accepted:
            parts.append(f"accepted: {accepted}")
        if fix:
            parts.append(f"fix: {fix}")
        super().__init__("; ".join(parts))


def _short(value: object) -> str:
    """The value by `repr`, cut where it gets long."""
    shown = repr(value)
    return shown if len(shown) <= _LONGEST_VALUE else f"{shown[:_LONGEST_VALUE]}…"


class UsageError(RankloomError):
    """A call or a command line that can not be carried out as written."""

    exit_code = 2


class MissingExtraError(RankloomError, ImportError):
    """An optional dependency is not installed."""

    exit_code = 3


class NotFoundError(RankloomError):
    """A file, folder, collection or model is not there."""

    exit_code = 4


class DataError(RankloomError):
    """Input data that can not be read as what it claims to be."""

    exit_code = 5


class ConfigError(RankloomError):
    """A configuration that is not valid."""

    exit_code = 5


class CompositionError(RankloomError):
    """Stages that can not follow one another."""

    exit_code = 5


class DamagedIndexError(DataError):
    """An index directory whose manifest or checksums do not hold."""


class StageError(RankloomError):
    """A model or an engine failed, or returned what no stage may return (NaN, a duplicate document)."""

    exit_code = 6


class PartialResultError(RankloomError):
    """Some pipelines of a run failed; what the others gave has been kept."""

    exit_code = 7


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word closest to a misspelt one, or None.

    >>> nearest("dosc", ["docs", "terms"])
    'docs'
    """
    close = difflib.get_close_matches(word, list(known), n=1)
    return close[0] if close else None
