"""Texts of documents that change: a corpus that stays as it is, and what has changed since, in SQLite.

Each change has a number, and a reader sees the documents as they were after one. A change also notes which documents
the indexes still have to take in, in the same transaction: what was written is never lost, whenever the process ends.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import uuid
import weakref
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rankloom.corpus import Corpus
from rankloom.errors import DataError
from rankloom.fingerprint import digest
from rankloom.records import Document

_TABLES = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS documents (
    id TEXT, change INTEGER, title TEXT, text TEXT, metadata TEXT, PRIMARY KEY (id, change)
);
CREATE TABLE IF NOT EXISTS pending (id TEXT PRIMARY KEY) WITHOUT ROWID;
"""
# a row without a text is a document that is gone
_AT = "SELECT title, text, metadata FROM documents WHERE id = ? AND change <= ? ORDER BY change DESC LIMIT 1"


class DocumentStore:
    """The documents of a live index. One writer; any number of threads that read.

    Args:
        path: The file of the changes; made if it is not there.
        base: The documents from before the first change; None if there were none.
    """

    def __init__(self, path: Path, base: Corpus | None) -> None:
        self.base = base
        self._lock = threading.Lock()
        self._held: weakref.WeakSet[DocumentsAt] = weakref.WeakSet()
        self._writer, self._reader = _opened(path), _opened(path)
        with self._writer:
            self._writer.executescript(_TABLES)
            self._writer.execute("INSERT OR IGNORE INTO about VALUES ('name', ?)", (uuid.uuid4().hex,))
        self.name = str(self._value("SELECT value FROM about WHERE name = 'name'"))

    @property
    def change(self) -> int:
        """The number of the last change; 0 before the first."""
        return int(self._value("SELECT coalesce(max(change), 0) FROM documents"))  # rows of the last one always stay

    def at(self, change: int) -> DocumentsAt:
        """The documents as they were after a change."""
        documents = DocumentsAt(self, change)
        self._held.add(documents)
        return documents

    # --- changing --------------------------------------------------------------------------------------------

    def write(self, put: Sequence[Document], gone: Sequence[str]) -> int:
        """Put documents in, or in the place of those of their ids, and take others away. Gives the change's number.

        Raises:
            sqlite3.OperationalError: The disk is full; nothing has changed.
        """
        number = self.change + 1
        rows: list[tuple[Any, ...]] = [(one.id, number, one.title, one.text, _json(one)) for one in put]
        rows += [(doc_id, number, None, None, None) for doc_id in gone]
        with self._writer:
            self._writer.executemany("INSERT INTO documents VALUES (?, ?, ?, ?, ?)", rows)
            self._writer.executemany("INSERT OR IGNORE INTO pending VALUES (?)", [(row[0],) for row in rows])
        return number

    def undo(self, number: int) -> None:
        """Take back the last change; the indexes have to take its documents in again as they were before."""
        with self._writer:
            self._writer.execute("DELETE FROM documents WHERE change = ?", (number,))

    def pending(self) -> list[str]:
        """The documents that the indexes still have to take in."""
        with self._lock:
            return [row[0] for row in self._reader.execute("SELECT id FROM pending ORDER BY id")]

    def taken_in(self) -> None:
        """Note that the indexes have taken in all; drop what no reader will ask for again."""
        oldest = min((documents.change for documents in self._held), default=self.change)
        later = "EXISTS (SELECT 1 FROM documents AS newer WHERE newer.id = documents.id"
        with self._writer:
            self._writer.execute("DELETE FROM pending")
            self._writer.execute(
                f"DELETE FROM documents WHERE {later} AND newer.change > documents.change AND newer.change <= ?)",
                (oldest,),
            )

    # --- reading ---------------------------------------------------------------------------------------------

    def find(self, doc_id: str, change: int) -> Document | None:
        """A document as it was after a change; None if it was not there."""
        with self._lock:
            row = self._reader.execute(_AT, (doc_id, change)).fetchone()
        if row is not None:
            title, text, metadata = row
            return None if text is None else Document(doc_id, text, title, json.loads(metadata))
        code = None if self.base is None else self.base.ids.find(doc_id)
        return None if self.base is None or code is None else self.base.at([code])[0]

    def all(self, change: int) -> Iterator[Document]:
        """All documents as they were after a change."""
        with self._lock:
            rows = self._reader.execute("SELECT DISTINCT id FROM documents WHERE change <= ?", (change,)).fetchall()
        changed = {row[0] for row in rows}
        for document in self.base or ():
            if document.id not in changed:
                yield document
        for doc_id in sorted(changed):
            if (found := self.find(doc_id, change)) is not None:
                yield found

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._writer.close()
            self._reader.close()

    def _value(self, query: str) -> Any:
        """The one value of a query."""
        with self._lock:
            return self._reader.execute(query).fetchone()[0]


class DocumentsAt:
    """The documents after one change, as stages read them (see `rankloom.records.Documents`).

    Args:
        store: Where they are.
        change: The change's number.
    """

    def __init__(self, store: DocumentStore, change: int) -> None:
        self.store, self.change = store, change

    def get(self, doc_ids: Iterable[str]) -> list[Document]:
        """The documents of some ids, in the order asked.

        Raises:
            DataError: One was not there.
        """
        found = []
        for doc_id in doc_ids:
            document = self.store.find(doc_id, self.change)
            if document is None:
                raise DataError("this document is not in the index", stage="documents", value=doc_id)
            found.append(document)
        return found

    def fingerprint(self) -> str:
        """Of documents that never changed, that of their corpus; otherwise one that no other documents have."""
        if self.change == 0 and self.store.base is not None:
            return self.store.base.fingerprint()
        return digest("live documents", self.store.name, self.change)


def _opened(path: Path) -> sqlite3.Connection:
    """A connection whose commits are on the disk when they return."""
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _json(document: Document) -> str:
    """A document's metadata."""
    return json.dumps(dict(document.metadata), ensure_ascii=False, allow_nan=False)
