"""A limit on how often something begins, kept by all threads together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Pace:
    """Lets callers through at even intervals.

    Args:
        per_minute: How many may begin in a minute; None for no limit.
        clock: Tells seconds.
        sleep: Waits for seconds.
    """

    def __init__(
        self,
        per_minute: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._interval = 0.0 if per_minute is None else 60.0 / per_minute
        self._clock, self._sleep = clock, sleep
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Wait for one's turn."""
        with self._lock:
            now = self._clock()
            mine = max(now, self._next)
            self._next = mine + self._interval
        if mine > now:
            self._sleep(mine - now)
