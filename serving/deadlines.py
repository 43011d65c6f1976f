"""Deadlines: how long legs take, which of them there is no time for, and what is said about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_NEWEST = 0.3  # the share of the newest measurement in the mean
_FORGOTTEN = 0.9  # of an estimate, each time it keeps a leg from being tried

Reason = Literal["deadline", "busy", "failed", "impossible"]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Stages that an answer was made without.

    Args:
        stages: Their names, joined by `>>`.
        reason: `deadline`: there was no time; `busy`: an earlier call that nobody waits for is still under way in them;
            `failed`: they raised an error; `impossible`: they read what other stages that were left out make.
        detail: More in words.
    """

    stages: str
    reason: Reason
    detail: str = ""


class Pace:
    """How long a leg has taken lately, for each request of a batch.

    Example:
        >>> pace = Pace()
        >>> pace.took(2.0, requests=4)
        >>> pace.seconds
        0.5
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.hanging = 0

    def took(self, seconds: float, *, requests: int) -> None:
        """Take in a measurement."""
        each = seconds / requests
        self.seconds = each if not self.seconds else (1 - _NEWEST) * self.seconds + _NEWEST * each

    def passed_over(self) -> None:
        """Believe the estimate a little less: it has kept the leg from being tried, and else would do so for ever."""
        self.seconds *= _FORGOTTEN

    def why_not(self, left: float, *, requests: int) -> Reason | None:
        """Why the leg is better left out; None if it may be begun.

        Args:
            left: Seconds until the last of the requests is due.
            requests: How many there are.
        """
        if self.hanging:
            return "busy"
        return "deadline" if self.seconds * requests > left else None
