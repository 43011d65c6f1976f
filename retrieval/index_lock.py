"""One writer at a time: the lock of an index's folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rankloom.errors import UsageError

if TYPE_CHECKING:
    from filelock import FileLock


def locked(path: Path) -> FileLock:
    """Hold an index's lock, which the system lets go of when the process ends, however it ends.

    Raises:
        UsageError: Another writer holds it.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path, thread_local=False)  # a writer may be closed by another thread than made it
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise UsageError(
            "another writer is at work on this index", stage="index", value=str(path.parent), fix="close it first"
        ) from error
    return lock
