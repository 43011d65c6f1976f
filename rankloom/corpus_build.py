"""How a corpus is put together: texts are spooled as they arrive, then taken in the order of their ids."""

from __future__ import annotations

import hashlib
import io
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rankloom.corpus_formats import DocumentReader, metadata_json
from rankloom.errors import DataError
from rankloom.files import Manifest, write_json
from rankloom.ids import DocIds
from rankloom.ledger import Note
from rankloom.session import Session

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = "rankloom-corpus"
VERSION = 2
IDS_FILE, TEXTS_FILE, NOTES_FILE = "ids.arrow", "documents.arrow", "notes.json"
TEXT_COLUMNS = ("title", "text", "metadata")
#: Documents in one record batch. Part of the format: the fingerprint is taken batch by batch.
BATCH_ROWS = 1024


class _Column:
    """Strings of one column as one stretch of bytes, in a file or in memory."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._bytes: BinaryIO = io.BytesIO() if path is None else path.open("wb")
        self._offsets = array("q", [0])

    def append(self, text: str) -> None:
        """Add one string."""
        self._offsets.append(self._offsets[-1] + self._bytes.write(text.encode()))

    def finish(self) -> pa.LargeStringArray:
        """All strings; those in a file are memory-mapped."""
        import pyarrow as pa

        if isinstance(self._bytes, io.BytesIO):
            buffer = pa.py_buffer(self._bytes.getvalue())
        else:
            self._bytes.close()
            mapped = self._path is not None and self._offsets[-1] > 0  # an empty file can not be mapped
            buffer = pa.memory_map(str(self._path)).read_buffer() if mapped else pa.py_buffer(b"")
        return pa.LargeStringArray.from_buffers(len(self._offsets) - 1, pa.py_buffer(self._offsets), buffer)


def sorted_batches(reader: DocumentReader, spool: Path | None) -> tuple[DocIds, Iterator[pa.RecordBatch]]:
    """Read all documents and give them back in id order.

    Memory holds the ids, and for each document five integers: where its title, text and metadata stand in the
    spool, and the file and line it came from (to name both places of a duplicate).

    Args:
        reader: Where the documents come from; read to its end.
        spool: A folder for the texts, removed by the caller; None keeps them in memory.

    Returns:
        The ids, and record batches of `TEXT_COLUMNS`, `BATCH_ROWS` rows each, in id order.

    Raises:
        DataError: No document at all, or an id that stands twice or a bad record, which the reader does not skip.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    ids = _Column(None)
    columns = [_Column(None if spool is None else spool / name) for name in TEXT_COLUMNS]
    places = _Places()
    for document in reader:
        metadata = metadata_json(document)
        ids.append(document.id)
        for column, text in zip(columns, (document.title, document.text, metadata), strict=True):
            column.append(text)
        places.append(reader.file, reader.line)
    names = ids.finish()
    if not len(names):
        bad = sum(note.kind == "skipped_record" for note in reader.notes)
        skipped = f", and {bad} bad records were skipped" if bad else ""
        raise DataError(f"the source holds no document{skipped}", stage="corpus", value=reader.file or "documents")
    order = pc.sort_indices(names)
    ordered = names.take(order)
    repeated = pc.equal(ordered[1:], ordered[:-1]).to_numpy(zero_copy_only=False)
    if repeated.any():
        order = pa.array(_first_of_each(names, order.to_numpy(), repeated, places, reader))
        ordered = names.take(order)
    arrays = [column.finish() for column in columns]
    return DocIds(ordered), _take_batches(arrays, order)


def _take_batches(arrays: list[pa.LargeStringArray], order: pa.UInt64Array) -> Iterator[pa.RecordBatch]:
    """Rows in a given order, a batch at a time, so that no more than a batch of texts is copied."""
    import pyarrow as pa

    for start in range(0, len(order), BATCH_ROWS):
        rows = order[start : start + BATCH_ROWS]
        yield pa.record_batch([column.take(rows) for column in arrays], names=list(TEXT_COLUMNS))


class _Places:
    """File and line of every document, in a few bytes each."""

    def __init__(self) -> None:
        self._files: list[str] = []
        self._file_numbers = array("i")
        self._lines = array("q")

    def append(self, file: str, line: int) -> None:
        """Add the place of the next document."""
        if not self._files or self._files[-1] != file:
            self._files.append(file)
        self._file_numbers.append(len(self._files) - 1)
        self._lines.append(line)

    def name(self, row: int, unit: str) -> str:
        """A document's place in words."""
        return f"{self._files[self._file_numbers[row]]} {unit} {self._lines[row]}"


def _first_of_each(
    names: pa.LargeStringArray,
    order: NDArray[np.uint64],
    repeated: NDArray[np.bool_],
    places: _Places,
    reader: DocumentReader,
) -> NDArray[np.uint64]:
    """The rows in id order without those whose id an earlier row has, each of which is noted.

    Args:
        names: The ids as they were read.
        order: Rows in id order; the sort is stable, so that the first of equal ids was read first.
        repeated: Whether each row of `order` but the first has the id of the one before.
        places: Where documents were read.
        reader: Tells whether bad records are skipped.

    Raises:
        DataError: They are not; names both places of the first such id.
    """
    later = np.concatenate([[False], repeated])
    first = order[np.maximum.accumulate(np.where(later, 0, np.arange(len(order))))]
    pairs = sorted(zip(order[later].tolist(), first[later].tolist(), strict=True))
    if not reader.skips:
        row, before = pairs[0]
        raise DataError(
            f"{len(pairs)} documents have the id of another one; the first at {places.name(before, reader.unit)} "
            f"and {places.name(row, reader.unit)}",
            stage="corpus",
            value=names[row].as_py(),
            fix="give every document its own id, or keep the first of each and note the others: on_bad_record='skip', "
            "or --skip-bad-records",
        )
    for row, before in pairs:
        doc_id = names[row].as_py()
        reason = f"the id {doc_id!r} stands at {places.name(before, reader.unit)} already"
        note = Note("corpus", "skipped_record", doc_id=doc_id, detail=f"{places.name(row, reader.unit)}: {reason}")
        reader.notes.append(note)
    kept: NDArray[np.uint64] = order[~later]
    return kept


class ContentDigest:
    """The fingerprint of a corpus: over ids, titles, texts and metadata in id order, whatever they were read from."""

    def __init__(self) -> None:
        self._state = hashlib.blake2b(digest_size=16)

    def add(self, *columns: pa.LargeStringArray) -> None:
        """Take in the columns of one batch: lengths, then bytes, of each."""
        for column in columns:
            _, offset_buffer, data = column.buffers()
            offsets = np.frombuffer(offset_buffer, np.int64)[column.offset : column.offset + len(column) + 1]
            self._state.update(np.diff(offsets).tobytes())
            if data is not None:
                self._state.update(data[int(offsets[0]) : int(offsets[-1])])

    def value(self) -> str:
        """32 hexadecimal digits."""
        return self._state.hexdigest()


def content_fingerprint(ids: DocIds, batches: Iterable[pa.RecordBatch]) -> str:
    """The content fingerprint of batches in id order."""
    content, start = ContentDigest(), 0
    for batch in batches:
        content.add(ids.array.slice(start, len(batch)), *batch.columns)
        start += len(batch)
    return content.value()


def write_corpus(
    folder: Path, ids: DocIds, batches: Iterable[pa.RecordBatch], notes: list[Note], session: Session
) -> None:
    """Write all files of a corpus into a folder, the manifest last."""
    import pyarrow as pa

    id_batch = pa.record_batch([ids.array], names=["id"])
    with pa.ipc.new_file(folder / IDS_FILE, id_batch.schema) as file:
        file.write_batch(id_batch)
    schema = pa.schema([(name, pa.large_string()) for name in TEXT_COLUMNS])
    with pa.ipc.new_file(folder / TEXTS_FILE, schema) as file, session.progress.task("corpus", len(ids)) as advance:

        def written() -> Iterator[pa.RecordBatch]:
            for batch in batches:
                file.write_batch(batch)
                advance(len(batch))
                yield batch

        fingerprint = content_fingerprint(ids, written())
    write_json(folder / NOTES_FILE, [asdict(note) for note in notes])
    fields = {
        "documents": len(ids),
        "fingerprint": fingerprint,
        "skipped": sum(note.kind == "skipped_record" for note in notes),
    }
    Manifest.write(folder, format=FORMAT, version=VERSION, fields=fields)
