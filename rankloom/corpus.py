"""Documents: a corpus on disk, memory-mapped and in id order, and small sets of documents in memory."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rankloom.corpus_build import (
    BATCH_ROWS,
    FORMAT,
    IDS_FILE,
    NOTES_FILE,
    TEXT_COLUMNS,
    TEXTS_FILE,
    VERSION,
    ContentDigest,
    content_fingerprint,
    sorted_batches,
    write_corpus,
)
from rankloom.corpus_fields import check_fields, field_columns
from rankloom.corpus_formats import Format, OnBadRecord, Source, read_documents
from rankloom.errors import DamagedIndexError, DataError, UsageError
from rankloom.files import Manifest, atomic_path
from rankloom.ids import DocIds
from rankloom.ledger import Ledger, Note
from rankloom.records import Document
from rankloom.session import Session

if TYPE_CHECKING:
    import pyarrow as pa

BESIDE = "corpus"  # the folder in which the indexes beside it find their corpus


class Corpus:
    """Documents in id order: row number, code in `ids` and place in every index of the corpus are one number.

    A corpus on disk is memory-mapped Arrow: opening it reads no text, reading a document by code costs O(1) and by
    id a binary search. `Corpus.of` makes the same thing in memory. Use `build`, `open` or `of`, not the constructor.

    Example:
        >>> corpus = Corpus.of([Document("d2", "Tides."), Document("d1", "The blue sky.")])
        >>> [document.id for document in corpus], corpus.get(["d2"])[0].text, corpus.ids.find("d2")
        (['d1', 'd2'], 'Tides.', 1)
    """

    def __init__(
        self,
        ids: DocIds,
        batches: Sequence[pa.RecordBatch],
        *,
        fingerprint: str,
        ledger: Ledger,
        directory: Path | None = None,
    ) -> None:
        self._ids, self._batches = ids, list(batches)
        self._fingerprint, self._ledger, self._directory = fingerprint, ledger, directory

    # --- ways in ---------------------------------------------------------------------------------------------

    @classmethod
    def build(
        cls,
        source: Source,
        directory: str | Path,
        *,
        format: Format | None = None,
        on_bad_record: OnBadRecord = "error",
        session: Session | None = None,
    ) -> Corpus:
        """Write documents to a directory and open it.

        Texts stream through a temporary spool beside the directory (as large as the texts); memory holds the ids
        and a few integers for each document. The directory appears whole or not at all; an existing one is
        replaced.

        Args:
            source: A file, a folder of text files, records, or `ir_datasets:ID`; see `read_documents`.
            directory: Where the corpus shall live.
            format: What the file is, where its suffix does not tell.
            on_bad_record: `error`, or `skip` to pass bad records over, among them those whose id another one before
                them has; `ledger` then holds a note for each.
            session: Tells whether the network may be used, and shows progress.

        Raises:
            DataError: A bad record, an id that stands twice (both places are named), or no document at all.
            NotFoundError: There is no such source.
        """
        target, session = Path(directory), session or Session()
        reader = read_documents(source, format=format, on_bad_record=on_bad_record, offline=session.offline)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp") as spool:
            ids, batches = sorted_batches(reader, Path(spool))
            with atomic_path(target) as temporary:
                temporary.mkdir()
                write_corpus(temporary, ids, batches, reader.notes, session)
        return cls.open(target)

    @classmethod
    def open(cls, directory: str | Path, *, verify: bool = False) -> Corpus:
        """Open a corpus that `build` has written; large files are mapped, not read.

        Args:
            directory: Where the corpus lives.
            verify: Compare the checksum of every file, also of those above 16 MiB; reads them all.

        Raises:
            NotFoundError: There is no such directory.
            DamagedIndexError: It is no corpus, is of another version, or a file is missing or damaged.
        """
        import pyarrow as pa

        path = Path(directory)
        manifest = Manifest.read(path, format=FORMAT, version=VERSION, verify=verify)
        try:
            ids = _mapped(path / IDS_FILE).get_batch(0).column("id")
            texts = _mapped(path / TEXTS_FILE)
            batches = [texts.get_batch(number) for number in range(texts.num_record_batches)]
            notes = [Note(**note) for note in json.loads((path / NOTES_FILE).read_text(encoding="utf-8"))]
            whole = len(ids) == sum(len(batch) for batch in batches) == manifest.fields["documents"]
            fingerprint = manifest.fields["fingerprint"]
        except (pa.ArrowInvalid, OSError, KeyError, TypeError, ValueError) as error:
            raise _damaged(path, str(error)) from error
        if not whole or any(len(batch) != BATCH_ROWS for batch in batches[:-1]):
            raise _damaged(path, "the number of documents is not the one in the manifest")
        return cls(DocIds(ids), batches, fingerprint=fingerprint, ledger=Ledger(tuple(notes)), directory=path)

    @classmethod
    def of(
        cls,
        source: Source,
        *,
        format: Format | None = None,
        on_bad_record: OnBadRecord = "error",
        session: Session | None = None,
    ) -> Corpus:
        """A corpus in memory, from a list of documents or anything else that `build` takes.

        Args:
            source: Documents, mappings, a file, a folder, or `ir_datasets:ID`; see `read_documents`.
            format: What the file is, where its suffix does not tell.
            on_bad_record: `error`, or `skip` to pass bad records over, among them those whose id another one before
                them has; `ledger` then holds a note for each.
            session: Tells whether the network may be used.

        Raises:
            DataError: A bad record, an id that stands twice, or no document at all.
            NotFoundError: There is no such source.
        """
        offline = (session or Session()).offline
        reader = read_documents(source, format=format, on_bad_record=on_bad_record, offline=offline)
        ids, stream = sorted_batches(reader, None)
        batches = list(stream)
        return cls(ids, batches, fingerprint=content_fingerprint(ids, batches), ledger=Ledger(tuple(reader.notes)))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its folder, which is opened again wherever that is; one in memory as all that it holds."""
        if self._directory is not None:
            return _reopened, (str(self._directory.resolve()), self._fingerprint)
        return _remade, (self._ids, self._batches, self._fingerprint, self._ledger)

    # --- what it holds ---------------------------------------------------------------------------------------

    @property
    def ids(self) -> DocIds:
        """The ids in order; the code of an id is its document's row."""
        return self._ids

    @property
    def ledger(self) -> Ledger:
        """Notes of what was passed over when the corpus was built."""
        return self._ledger

    @property
    def directory(self) -> Path | None:
        """Where it lives on disk; None for a corpus in memory."""
        return self._directory

    def fingerprint(self) -> str:
        """A digest of ids, titles, texts and metadata; the order and format they came in do not matter."""
        return self._fingerprint

    def __len__(self) -> int:
        """How many documents there are."""
        return len(self._ids)

    def __iter__(self) -> Iterator[Document]:
        """The documents in id order, a batch in memory at a time."""
        for start in range(0, len(self), BATCH_ROWS):
            yield from self.slice(start, start + BATCH_ROWS)

    def __repr__(self) -> str:
        """Its size and place."""
        return f"<Corpus of {len(self)} documents {'in memory' if self._directory is None else self._directory}>"

    # --- reading ---------------------------------------------------------------------------------------------

    def contents(self, batches: range | None = None) -> Iterator[pa.LargeStringArray]:
        """`Document.contents` of all documents in id order, as columns, a batch at a time.

        Args:
            batches: Only of these batches of `BATCH_ROWS` documents.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        space = pa.scalar(" ", pa.large_string())
        for batch in self._picked(batches):
            title, text = batch.column(0), batch.column(1)
            yield pc.if_else(pc.equal(title, ""), text, pc.binary_join_element_wise(title, text, space))

    def fields(self, names: Iterable[str], batches: range | None = None) -> Iterator[dict[str, pa.LargeStringArray]]:
        """Some fields of all documents in id order, as columns, a batch at a time.

        Args:
            names: `title`, `text`, or keys of metadata, whose values are strings, numbers, or lists of them.
            batches: Only of these batches of `BATCH_ROWS` documents, whichever fields these have.

        Raises:
            DataError: No document has such a field, or a value is something else.
        """
        wanted = list(names)
        if batches is None:
            self.check_fields(wanted)
        for batch in self._picked(batches):
            yield field_columns(wanted, *batch.columns[: len(TEXT_COLUMNS)])

    def check_fields(self, names: Sequence[str]) -> None:
        """Refuse fields that no document has.

        Raises:
            DataError: No document has such a field.
        """
        columns = (batch.columns[: len(TEXT_COLUMNS)] for batch in self._batches)
        check_fields(names, (metadata for _, _, metadata in columns))

    def _picked(self, batches: range | None) -> Sequence[pa.RecordBatch]:
        """Some of the batches, or all."""
        return self._batches if batches is None else self._batches[batches.start : batches.stop]

    def get(self, doc_ids: Sequence[str]) -> list[Document]:
        """The documents of some ids, in the order asked.

        Raises:
            DataError: An id is not in the corpus.
        """
        codes = self._ids.codes(doc_ids)
        if len(codes) and int(codes.min()) < 0:
            raise _unknown(doc_ids[int(np.argmax(codes < 0))], len(self))
        return self.at(codes)

    def at(self, codes: Sequence[int] | NDArray[np.int32]) -> list[Document]:
        """The documents of some codes (rows), in the order asked.

        Raises:
            IndexError: A code below 0 or beyond the last document.
        """
        found = []
        for code in np.asarray(codes, dtype=np.int64).tolist():
            if not 0 <= code < len(self):
                raise IndexError(f"code {code} in a corpus of {len(self)} documents")
            batch, row = self._batches[code // BATCH_ROWS], code % BATCH_ROWS
            title, text, metadata = (str(batch.column(number)[row]) for number in range(len(TEXT_COLUMNS)))
            found.append(_document(self._ids[code], title, text, metadata))
        return found

    def slice(self, start: int, stop: int) -> list[Document]:
        """The documents of consecutive codes, `start` to `stop` - 1, fewer at the end of the corpus."""
        stop = min(stop, len(self))
        found: list[Document] = []
        while start < stop:
            number, row = divmod(start, BATCH_ROWS)
            end = min(stop, (number + 1) * BATCH_ROWS)
            part = self._batches[number].slice(row, end - start)
            ids = self._ids.array.slice(start, end - start).to_pylist()
            found.extend(map(_document, ids, *(column.to_pylist() for column in part.columns)))
            start = end
        return found


def _reopened(directory: str, fingerprint: str) -> Corpus:
    """A corpus that was pickled as its folder.

    Raises:
        NotFoundError: There is no such folder on this machine.
        UsageError: It holds another corpus here.
    """
    corpus = Corpus.open(directory)
    if corpus.fingerprint() != fingerprint:
        raise UsageError("the folder holds another corpus than it did elsewhere", stage="corpus", value=directory)
    return corpus


def _remade(ids: DocIds, batches: list[pa.RecordBatch], fingerprint: str, ledger: Ledger) -> Corpus:
    """A corpus in memory that was pickled whole."""
    return Corpus(ids, batches, fingerprint=fingerprint, ledger=ledger)


def corpus_beside(directory: str | Path, fingerprint: str | None) -> Corpus | None:
    """The corpus that an index was made from, if it stands beside the index in a folder named `corpus`.

    `rankloom index` lays folders out like this. A corpus with other contents is not the index's, and not returned.

    Args:
        directory: Where the index lives.
        fingerprint: The corpus that the index says it was made from.
    """
    place = Path(directory).resolve().parent / BESIDE
    if not place.is_dir():
        return None
    corpus = Corpus.open(place)
    return corpus if corpus.fingerprint() == fingerprint else None


class MemoryDocuments:
    """A few documents in memory, in the order given: what an application hands to a reranker.

    Args:
        documents: Documents with unique ids.

    Raises:
        DataError: Something is not a `Document`, or two have the same id.

    Example:
        >>> held = MemoryDocuments([Document("b", "Second."), Document("a", "First.")])
        >>> held.doc_ids, held.get(["a"])[0].text
        (['b', 'a'], 'First.')
    """

    def __init__(self, documents: Iterable[Document]) -> None:
        self._documents: dict[str, Document] = {}
        self._fingerprint: str | None = None
        for document in documents:
            if not isinstance(document, Document):
                raise DataError("this is not a Document", stage="documents", value=document, accepted="Document")
            if document.id in self._documents:
                raise DataError("two documents have the same id", stage="documents", value=document.id)
            self._documents[document.id] = document

    @property
    def doc_ids(self) -> list[str]:
        """The ids, in the order given."""
        return list(self._documents)

    def __len__(self) -> int:
        """How many documents there are."""
        return len(self._documents)

    def __iter__(self) -> Iterator[Document]:
        """The documents, in the order given."""
        return iter(self._documents.values())

    def get(self, doc_ids: Sequence[str]) -> list[Document]:
        """The documents of some ids, in the order asked.

        Raises:
            DataError: An id is unknown.
        """
        for doc_id in doc_ids:
            if doc_id not in self._documents:
                raise _unknown(doc_id, len(self))
        return [self._documents[doc_id] for doc_id in doc_ids]

    def fingerprint(self) -> str:
        """A digest of ids and contents; that of a `Corpus` of the same documents is equal."""
        if self._fingerprint is None:
            self._fingerprint = Corpus.of(self).fingerprint() if self._documents else ContentDigest().value()
        return self._fingerprint


def _document(doc_id: str, title: str, text: str, metadata: str) -> Document:
    """A document from its columns."""
    fields: Mapping[str, Any] = json.loads(metadata) if metadata else {}
    return Document(doc_id, text, title, fields)


def _mapped(path: Path) -> pa.ipc.RecordBatchFileReader:
    """An Arrow file, memory-mapped."""
    import pyarrow as pa

    return pa.ipc.open_file(pa.memory_map(str(path)))


def _damaged(directory: Path, reason: str) -> DamagedIndexError:
    """The error for a directory that is not what its manifest says."""
    return DamagedIndexError(
        f"the corpus can not be read ({reason})", value=str(directory), fix="delete the directory and build it again"
    )


def _unknown(doc_id: str, size: int) -> DataError:
    """The error for an id that nobody knows."""
    return DataError(
        f"this document is not among the {size} of the corpus",
        stage="corpus",
        value=doc_id,
        fix="the run and the corpus may be of different collections",
    )
