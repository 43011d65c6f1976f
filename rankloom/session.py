"""The session: the one explicit object that holds what other libraries hide in globals."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from rankloom.budget import Budget
from rankloom.cache import Cache
from rankloom.checks import choice, whole
from rankloom.errors import UsageError
from rankloom.fingerprint import digest
from rankloom.progress import Progress, Silent

if TYPE_CHECKING:
    from rankloom.run import Run

DType = Literal["float32", "bfloat16"]
OnTruncate = Literal["record", "error"]
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


class Session:
    """How stages are carried out: caching, network, numerics, policies, progress.

    A session never changes what a pipeline *is*, only how it runs. Runs carry their session, so a stage finds it
    without a global. Applications and experiments share a cache by naming the same folder.

    Args:
        cache: Folder (or `Cache`) that remembers results and indexes; None remembers nothing.
        offline: Open no socket to another machine: models and collections come from this one or are an error; only a
            server that is named and listens on a loopback address (such as Milvus Lite) may be asked. Default: whether
            the environment variable RANKLOOM_OFFLINE or HF_HUB_OFFLINE is set to something but 0.
        seed: Start of every random choice.
        device: `auto` (an accelerator when there is one), `cpu`, `cuda`, `cuda:1`, `mps`.
        dtype: Numbers that models compute with. `bfloat16` is faster and changes scores in the third digit.
        on_truncate: What happens when a text is longer than a model reads: `record` it in the ledger, or `error`.
        progress: Reporter for long work; silent by default.
        threads: How many units of queries a stage carries out at a time, if it can bear it (`Stage.parallel`). The
            results are the same bytes on any number of threads.
        budget: What stages that ask a model many times may spend; when it is spent, they return the best so far, and
            the ledger says so.

    Raises:
        UsageError: A dtype, device or policy that does not exist, or no thread.

    Example:
        >>> Session(seed=1).seed
        1
    """

    def __init__(
        self,
        *,
        cache: Cache | str | Path | None = None,
        offline: bool | None = None,
        seed: int = 7,
        device: str = "auto",
        dtype: DType = "float32",
        on_truncate: OnTruncate = "record",
        progress: Progress | None = None,
        threads: int = 1,
        budget: Budget | None = None,
    ) -> None:
        choice(dtype, get_args(DType), stage="Session", parameter="dtype")
        if not _DEVICE.fullmatch(device):
            raise UsageError("unknown device", stage="Session", value=device, accepted="auto, cpu, cuda, cuda:0, mps")
        choice(on_truncate, get_args(OnTruncate), stage="Session", parameter="on_truncate")
        self.cache = cache if cache is None or isinstance(cache, Cache) else Cache(cache)
        self.offline = _offline_by_environment() if offline is None else offline
        self.seed = seed
        self.device = device
        self.dtype: DType = dtype
        self.on_truncate: OnTruncate = on_truncate
        self.progress: Progress = progress or Silent()
        self.threads = whole(threads, least=1, stage="Session", parameter="threads")
        self.budget = budget
        self.memo: dict[str, Run] | None = None

    def __deepcopy__(self, memo: dict[int, object]) -> Session:
        """Itself: copies of what holds a session share its cache and its budget."""
        return self

    def remembering(self) -> Session:
        """This session, also holding the runs of shared prefixes in memory.

        Used for the length of one pipeline run or one experiment; a session that remembers already is returned
        as it is.
        """
        if self.memo is not None:
            return self
        copy = Session.__new__(Session)
        copy.__dict__.update(self.__dict__, memo={})
        return copy

    def uncached(self) -> Session:
        """This session with nothing remembered and nothing shown: for measuring what work really takes."""
        copy = Session.__new__(Session)
        copy.__dict__.update(self.__dict__, cache=None, memo=None, progress=Silent())
        return copy

    def silent(self) -> Session:
        """This session with nothing shown: for work inside of work that is shown."""
        copy = Session.__new__(Session)
        copy.__dict__.update(self.__dict__, progress=Silent())
        return copy

    def caching_in(self, cache: Cache) -> Session:
        """This session with another cache."""
        copy = Session.__new__(Session)
        copy.__dict__.update(self.__dict__, cache=cache)
        return copy

    def numerics(self) -> str:
        """A digest of what changes results without being part of any stage; it belongs to every cache key."""
        return digest(self.seed, self.dtype)


def _offline_by_environment() -> bool:
    """Whether the user has asked for no network by an environment variable."""
    return any(os.environ.get(name, "0") not in ("", "0") for name in ("RANKLOOM_OFFLINE", "HF_HUB_OFFLINE"))
