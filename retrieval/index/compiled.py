"""How kernels are compiled: by numba, once, without holding Python's lock while they run.

The machine code is kept on disk, beside the package where that can be written, otherwise in the user's cache folder
(`NUMBA_CACHE_DIR` names another). Modules whose names end in `_kernel` import this one; others import it and them
inside functions, when an index is first written or searched: `import rankloom` does not load numba.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

_log = logging.getLogger("rankloom")
_Function = TypeVar("_Function", bound=Callable[..., Any])
_WORTH_SAYING = 0.5  # seconds


def compiled(function: _Function) -> _Function:
    """A function compiled on its first call; later processes load the machine code from disk."""
    return cast("_Function", numba.njit(nogil=True, cache=True, error_model="numpy")(function))


def nested(function: _Function) -> _Function:
    """A function that only kernels call. It has no way in from Python, where calling it would crash the process.

    What is left out, the code that takes Python's objects apart, is a tenth of the time that compiling takes.
    """
    options: dict[str, Any] = {"no_cpython_wrapper": True}  # numba's type hints leave it out
    return cast("_Function", numba.njit(nogil=True, cache=True, error_model="numpy", **options)(function))


def inlined(function: _Function) -> _Function:
    """A small function that becomes part of the kernels that call it."""
    return cast("_Function", numba.njit(nogil=True, inline="always", error_model="numpy")(function))


def reassociated(function: _Function) -> _Function:
    """A nested function whose sums are made in any order, so that one instruction adds many numbers."""
    options: dict[str, Any] = {"no_cpython_wrapper": True, "fastmath": {"reassoc", "contract", "nsz"}}
    return cast("_Function", numba.njit(nogil=True, cache=True, error_model="numpy", **options)(function))


class Compiling:
    """Tells the log how long the first call of a kernel has taken, where it had to be compiled.

    Example:
        >>> with Compiling("sum"):
        ...     pass
    """

    def __init__(self, what: str, *kernels: Any) -> None:
        self._what, self._kernels = what, kernels

    def __enter__(self) -> None:
        self._started, self._known = time.perf_counter(), self._versions()

    def __exit__(self, *_: object) -> None:
        seconds = time.perf_counter() - self._started
        if seconds > _WORTH_SAYING and self._versions() > self._known and self._misses():
            _log.info("compiled the kernels for %s in %.1f s; the next process finds them on disk", self._what, seconds)

    def _versions(self) -> int:
        """How many versions of the kernels are loaded: one for each combination of types that they were called with."""
        return sum(len(getattr(kernel, "overloads", ())) for kernel in self._kernels)  # none where numba is put off

    def _misses(self) -> int:
        """How many of them were not found on disk."""
        stats = [kernel.stats for kernel in self._kernels if hasattr(kernel, "stats")]
        return sum(sum(one.cache_misses.values()) for one in stats)
