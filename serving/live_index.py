"""A live index: documents are added, replaced and deleted while it is searched.

A change goes into the document store first, and from there into the BM25 index and, if there is one, the dense index,
whose commits are crash-safe by themselves. A process that is killed in between finds what the indexes lack in the store
when it starts again. Searches that are under way see the documents from before the change.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rankloom.corpus import BESIDE, Corpus
from rankloom.errors import DataError, UsageError
from rankloom.files import atomic_path
from rankloom.records import Document
from rankloom.retrieval.analysis import EnglishAnalyzer
from rankloom.retrieval.bm25 import BM25
from rankloom.retrieval.dense import Dense
from rankloom.retrieval.index.impact_index import ImpactIndex
from rankloom.retrieval.index.writer import ImpactIndexWriter
from rankloom.retrieval.index_lock import locked
from rankloom.retrieval.vectors.index import VectorIndex
from rankloom.serving.document_store import DocumentsAt, DocumentStore
from rankloom.serving.index_folder import bm25_parameters
from rankloom.session import Session
from rankloom.stage import Retriever

STORE, SNAPSHOTS, LOCK = "documents.sqlite", "snapshots", "serving.lock"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class LiveIndex:
    """The documents and indexes of a folder. Use `open`. One change at a time; any number of searches.

    Args:
        folder: The folder.
        store: Its documents.
        vectors: Its dense index; None if it has none.
        session: Carries out the encoding of documents.
        lock: Held while it is open, so that no other server writes into the folder.
    """

    only = True

    def __init__(
        self, folder: Path, store: DocumentStore, vectors: VectorIndex | None, *, session: Session, lock: Any
    ) -> None:
        self.folder, self._store, self._vectors = folder, store, vectors
        self._session, self._lock = session, lock
        self.analyzer = EnglishAnalyzer()
        if store.pending():
            self._bring_in_line()
        self._look()

    @classmethod
    def open(cls, folder: Path, *, session: Session | None = None) -> LiveIndex:
        """Open a folder made by `rankloom index`, or begin an empty one; what a killed process has left is taken in.

        Raises:
            UsageError: Another server has it open.
            DamagedIndexError: An index is damaged.
        """
        session = session or Session()
        folder.mkdir(parents=True, exist_ok=True)
        lock = locked(folder / LOCK)
        try:
            base = Corpus.open(folder / BESIDE) if (folder / BESIDE).is_dir() else None
            if not (folder / BM25.name).is_dir():
                if base is not None:
                    BM25.build(base, folder / BM25.name, session=session)
                else:
                    with ImpactIndexWriter(folder / BM25.name, analyzer=EnglishAnalyzer()):
                        pass
            dense = folder / Dense.name
            vectors = VectorIndex.open(dense) if dense.is_dir() else None
            store = DocumentStore(folder / STORE, base)
            return cls(folder, store, vectors, session=session, lock=lock)
        except BaseException:
            lock.release()
            raise

    @property
    def words(self) -> tuple[str, ...]:
        """The words of its retrievers."""
        return (BM25.name,) if self._vectors is None else (BM25.name, Dense.name)

    def __len__(self) -> int:
        """How many documents there are."""
        return len(self._index)

    @property
    def change(self) -> int:
        """The number of the last change that searches see."""
        return self._documents.change

    def get(self, doc_id: str) -> Document | None:
        """A document as it is now; None if it is not there."""
        return self._store.find(doc_id, self.change)

    def retriever(self, word: str, values: Mapping[str, Any]) -> Retriever:
        """A retriever over the documents as they are now.

        Args:
            word: `bm25` or `dense`.
            values: The parameters of the step; those that a build is told are refused.
        """
        documents = self._documents
        if word == BM25.name or self._vectors is None:
            return BM25(self._index, corpus=documents, **bm25_parameters(values))
        now = self._vectors
        index = VectorIndex(now.contents, encoder=now.encoder, documents=documents, path=now.path)
        return Dense(index, **values)

    # --- changing --------------------------------------------------------------------------------------------

    def put(self, documents: Sequence[Document]) -> int:
        """Add documents, in the place of those that have their ids. Gives the change's number.

        Raises:
            DataError: An id stands twice, or a document can not be indexed; nothing has changed then.
            OSError: The disk is full; nothing has changed, or what was written is taken in with the next change.
        """
        ids = [document.id for document in documents]
        if len(set(ids)) < len(ids):
            twice = next(doc_id for doc_id in ids if ids.count(doc_id) > 1)
            raise DataError("a document id stands twice", stage="documents", value=twice)
        return self._changed(documents, ())

    def delete(self, doc_ids: Sequence[str]) -> list[str]:
        """Delete documents. Gives the ids of those that were there."""
        there = [doc_id for doc_id in dict.fromkeys(doc_ids) if self.get(doc_id) is not None]
        if there:
            self._changed((), there)
        return there

    def snapshot(self, name: str) -> Path:
        """Write corpus and indexes as they are now to a folder of their own, as `rankloom index` lays them out.

        Args:
            name: Letters, digits and `._-`; it becomes a folder under `snapshots`.

        Raises:
            UsageError: It is no such name, or there is a snapshot of that name.
            DataError: There is no document.
        """
        if not _NAME.fullmatch(name):
            accepted = "letters, digits and ._- (64 at most, the first a letter or digit)"
            raise UsageError("this can not be the name of a snapshot", stage="snapshot", value=name, accepted=accepted)
        target = self.folder / SNAPSHOTS / name
        if target.exists():
            raise UsageError("there is a snapshot of this name", stage="snapshot", value=name, fix="take another name")
        with atomic_path(target) as temporary:
            temporary.mkdir()
            corpus = Corpus.build(self._store.all(self.change), temporary / BESIDE, session=self._session)
            made_with: dict[str, Any] = {"fields": dict.fromkeys(self._index.fields, 1.0)} if self._index.fields else {}
            BM25.build(corpus, temporary / BM25.name, analyzer=self.analyzer, session=self._session, **made_with)
            if self._vectors is not None:
                shutil.copytree(self.folder / Dense.name, temporary / Dense.name)
        return target

    def close(self) -> None:
        """Let go of the folder."""
        self._store.close()
        self._lock.release()

    # --- inside ----------------------------------------------------------------------------------------------

    def _changed(self, put: Sequence[Document], gone: Sequence[str]) -> int:
        """Make a change, or none: where an index can not take it in, it is taken back."""
        number = self._store.write(put, gone)
        try:
            self._bring_in_line()
        except BaseException:
            with suppress(Exception):  # where the disk is full, what is left to do is done with the next change
                self._store.undo(number)
                self._bring_in_line()
            raise
        self._look()
        return number

    def _bring_in_line(self) -> None:
        """Let the indexes take in what the store has and they have not."""
        pending = self._store.pending()
        now = self._store.change
        documents = [found for doc_id in pending if (found := self._store.find(doc_id, now)) is not None]
        with ImpactIndexWriter(self.folder / BM25.name, analyzer=self.analyzer) as writer:
            writer.delete(pending)
            if documents:
                corpus = Corpus.of(documents)
                fields = ImpactIndex.open(self.folder / BM25.name).fields
                columns = corpus.fields(fields) if fields else corpus.contents()
                start = 0
                for texts in columns:
                    size = len(next(iter(texts.values())) if isinstance(texts, Mapping) else texts)
                    writer.add_columns(corpus.ids.array.slice(start, size).to_pylist(), texts)
                    start += size
        if self._vectors is not None:
            self._vectors = _in_line(self._vectors, pending, documents, self._session)
        self._store.taken_in()

    def _look(self) -> None:
        """Let searches from now on see the documents as they are now."""
        self._index = ImpactIndex.open(self.folder / BM25.name)
        self._documents: DocumentsAt = self._store.at(self._store.change)


def _in_line(
    index: VectorIndex, pending: Sequence[str], documents: Sequence[Document], session: Session
) -> VectorIndex:
    """A dense index with some documents as they are now."""
    there = [doc_id for doc_id in pending if index.ids.find(doc_id) is not None]
    if there:
        index = index.delete(there)
    return index.add(documents, session=session) if documents else index
