"""Asking again: which failures pass, how long to wait for them, and when to give up."""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from rankloom.openai_client import described

_PASSING = frozenset({408, 409, 429})  # time-out, conflict, too many requests; besides all from 500
_FIRST, _LONGEST = 0.5, 30.0  # seconds of pauses that the server does not ask for
_JITTER = 0.5  # the share of a pause that is left to chance, so that requests do not come back all at once
_log = logging.getLogger("rankloom")
Answer = TypeVar("Answer")


class GarbledReplyError(Exception):
    """A reply that is no completion: no JSON, or none with a text in it. Asked again, it may be one."""


@dataclass(frozen=True, slots=True)
class Retrying:
    """How often and how long a request is repeated.

    Args:
        retries: How often at most.
        deadline: Seconds after which no request is sent any more, from the first one on.
        clock: Tells seconds.
        sleep: Waits for seconds.
    """

    retries: int
    deadline: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def ask(self, request: Callable[[], Answer], *, stage: str) -> Answer:
        """The answer to a request, sent again while it fails for a passing reason.

        Args:
            request: Sends it; its failures are those of the `openai` package, or `GarbledReplyError`.
            stage: Who asks, for the log.

        Raises:
            Exception: The last failure, as it came.
        """
        until = self.clock() + self.deadline
        attempt = 0
        while True:
            try:
                return request()
            except Exception as error:
                pause = _pause(error, attempt)
                if attempt == self.retries or not passes(error) or self.clock() + pause > until:
                    raise
                level = logging.WARNING if attempt else logging.INFO  # a single hiccup is no news
                _log.log(level, "%s: %s; asked again in %.1f s", stage, described(error), pause)
                self.sleep(pause)
                attempt += 1


def passes(error: Exception) -> bool:
    """Whether a failure may be gone the next time: no connection, no answer in time, 429, 5xx, a garbled reply."""
    import openai

    if isinstance(error, GarbledReplyError | openai.APIConnectionError):
        return True
    status = getattr(error, "status_code", None)
    return isinstance(status, int) and (status in _PASSING or status >= 500)


def _pause(error: Exception, attempt: int) -> float:
    """Seconds to wait: as long as the server asks for; else longer after each attempt, and partly by chance."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    asked = retry_after(headers, now=time.time())
    if asked is not None:
        return asked
    longest = min(_FIRST * 2.0**attempt, _LONGEST)
    return longest * (1 - _JITTER * random.random())  # noqa: S311  # no secret; and no result depends on it


def retry_after(headers: Any, *, now: float) -> float | None:
    """Seconds that a server asks to wait for, by `retry-after-ms`, or `retry-after` in seconds or as a date.

    Args:
        headers: Of the reply, by name in lower case.
        now: Seconds since the epoch.

    Returns:
        None if the server does not say, or can not be understood.

    Example:
        >>> retry_after({"retry-after": "2"}, now=0.0), retry_after({}, now=0.0)
        (2.0, None)
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    try:
        return max(0.0, parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - now)
    except (TypeError, ValueError):
        return None
