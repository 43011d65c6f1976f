"""The content-addressed cache: one SQLite file for results, one folder for indexes.

A key is a digest of everything that can change the value: the stage's fingerprint, the session's numerics, the
input. A key therefore never goes stale; nothing is ever overwritten with another value. SQLite makes a batch of
values appear whole or not at all, survives a killed process, and lets several processes write at once.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rankloom.errors import DamagedIndexError, StageError, UsageError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    key TEXT PRIMARY KEY, stage TEXT NOT NULL, value BLOB NOT NULL, created REAL NOT NULL
) WITHOUT ROWID
"""
_WAIT_SECONDS = 60.0  # how long a writer waits for another process's batch
_KEYS_A_QUERY = 500  # SQLite's smallest default limit on parameters is 999


@dataclass(frozen=True, slots=True)
class Holding:
    """What the cache holds of one stage.

    Args:
        stage: The stage's name.
        entries: Number of values.
        bytes: Their size.
        oldest: When the first was written, seconds since the epoch.
        newest: When the last was written.
    """

    stage: str
    entries: int
    bytes: int
    oldest: float
    newest: float


class Cache:
    """A folder that remembers results.

    Args:
        directory: Made when missing. Safe to share between processes and between an application and experiments.

    Raises:
        DamagedIndexError: The folder's database is not one.
        UsageError: There can be no such folder.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"the cache folder can not be made: {error.strerror}", stage="cache", value=str(directory)
            ) from error
        self._local = threading.local()
        with self._using():
            pass

    def __repr__(self) -> str:
        """The call that opens the same cache."""
        return f"Cache({str(self.directory)!r})"

    def get(self, keys: Iterable[str]) -> dict[str, bytes]:
        """The values of those keys that are known."""
        wanted = list(keys)
        found: dict[str, bytes] = {}
        for start in range(0, len(wanted), _KEYS_A_QUERY):
            part = wanted[start : start + _KEYS_A_QUERY]
            marks = ",".join("?" * len(part))
            with self._using() as connection:
                found.update(connection.execute(f"SELECT key, value FROM entries WHERE key IN ({marks})", part))
        return found

    def put(self, values: Mapping[str, bytes], *, stage: str) -> None:
        """Remember values, all of them or (if the process dies) none."""
        now = time.time()
        rows = [(key, stage, value, now) for key, value in values.items()]
        with self._using() as connection:
            connection.executemany("INSERT OR IGNORE INTO entries VALUES (?, ?, ?, ?)", rows)

    def drop(self, keys: Iterable[str]) -> None:
        """Forget some values, such as damaged ones."""
        with self._using() as connection:
            connection.executemany("DELETE FROM entries WHERE key = ?", [(key,) for key in keys])

    def entries(self) -> list[tuple[str, str, bytes]]:
        """All results: stage, key and value of each, in the order of keys. For caches that memory holds."""
        with self._using() as connection:
            return connection.execute("SELECT stage, key, value FROM entries ORDER BY key").fetchall()

    def index_directory(self, kind: str, key: str) -> Path:
        """Where the index of one fingerprint lives; it may not be there yet."""
        return self.directory / "indexes" / f"{kind}-{key}"

    def holdings(self) -> list[Holding]:
        """What is remembered, a row for each stage."""
        sums = "SELECT stage, COUNT(*), SUM(LENGTH(value)), MIN(created), MAX(created) FROM entries GROUP BY stage"
        with self._using() as connection:
            return [Holding(*row) for row in connection.execute(sums)]

    def index_sizes(self) -> dict[str, int]:
        """Bytes of each index directory, by name."""
        folder = self.directory / "indexes"
        found = sorted(path for path in folder.glob("*") if path.is_dir()) if folder.is_dir() else []
        return {path.name: sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) for path in found}

    def forget(self, *, older_than_seconds: float = 0.0) -> int:
        """Delete results older than so many seconds (0: all of them); returns how many."""
        with self._using() as connection:
            deleted = connection.execute("DELETE FROM entries WHERE created <= ?", (time.time() - older_than_seconds,))
        with self._using() as connection:
            connection.execute("VACUUM")
        return deleted.rowcount

    def close(self) -> None:
        """Close this thread's connection; the next use opens another."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            del self._local.connection

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        """This thread's connection, for one transaction; SQLite's errors become ours."""
        try:
            with self._connection() as connection:
                yield connection
        except sqlite3.Error as error:
            path = str(self._path)
            if _code(error) not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                # locked, read-only, disk full
                raise StageError(f"the database can not be used ({error})", stage="cache", value=path) from error
            raise DamagedIndexError(
                f"the cache is not a readable SQLite database ({error})",
                stage="cache",
                value=path,
                fix="delete the file; what it held is computed again",
            ) from error

    @property
    def _path(self) -> Path:
        """The database."""
        return self.directory / "results.sqlite"

    def _connection(self) -> sqlite3.Connection:
        """This thread's connection; SQLite's own are not to be shared between threads."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._path, timeout=_WAIT_SECONDS)
            try:
                _write_ahead(connection)
                connection.execute("PRAGMA synchronous=NORMAL")
                with connection:
                    connection.execute(_SCHEMA)
            except sqlite3.DatabaseError:
                connection.close()
                raise
            self._local.connection = connection
        return connection


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Let readers and a writer work at once; for this lock, on a new file, SQLite does not wait by itself."""
    until = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            return


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary code of an error; 0 for one of the Python module's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
