"""Readers of document files: JSON Lines, TSV, TREC text, Parquet, folders of text files, records, ir_datasets.

All of them stream. A record that can not be used is an error with file, line and reason, or (when asked for) a note.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal, get_args

from rankloom.errors import DataError, NotFoundError, UsageError
from rankloom.ledger import Note
from rankloom.lines import byte_lines, malformed_json
from rankloom.records import Document

OnBadRecord = Literal["error", "skip"]
Format = Literal["jsonl", "tsv", "trec", "parquet", "text"]
Source = str | Path | Iterable[Document | Mapping[str, Any]]

ID_KEYS = ("_id", "id", "docid", "doc_id", "docno", "pid")
TEXT_KEYS = ("text", "contents", "content")
_SUFFIXES: dict[str, Format] = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".tsv": "tsv", ".trec": "trec", ".trectext": "trec", ".sgml": "trec",
    ".parquet": "parquet", ".txt": "text", ".md": "text",
}  # fmt: skip
_TEXT_SUFFIXES = (".txt", ".md")
_HEADING = re.compile(r"\s*#[ \t]+(.+?)[ \t]*#*[ \t]*(?:\r?\n\s*|\Z)")  # a Markdown file's first line is its title
_TREC_BLOCK = re.compile(r"<(docno|title|headline|hl|head|text)\b[^>]*>(.*?)</\1\s*>", re.IGNORECASE | re.DOTALL)
_TREC_OPEN = re.compile(rb"<doc>", re.IGNORECASE)
_TREC_CLOSE = re.compile(rb"</doc>", re.IGNORECASE)
_TAG = re.compile(r"</?[A-Za-z][^>]*>")


def read_documents(
    source: Source,
    *,
    format: Format | None = None,
    on_bad_record: OnBadRecord = "error",
    offline: bool = False,
) -> DocumentReader:
    """Stream documents from wherever they are.

    Args:
        source: A file (JSON Lines, TSV, TREC text, Parquet, one .txt or .md; gzip by the suffix .gz), a folder of
            .txt and .md files (one document each, its id the path inside the folder, a first `# heading` its title),
            an iterable of `Document` or mappings, or `ir_datasets:ID`.
        format: What the file is, where its suffix does not tell.
        on_bad_record: `error`, or `skip` to pass bad records over and note each.
        offline: Refuse an ir_datasets collection that would have to be downloaded.

    Raises:
        NotFoundError: There is no such file.
        DataError: While iterating: a bad record, with file, line and reason.
        UsageError: An unknown format or policy.

    Example:
        >>> [document.contents for document in read_documents([{"id": 1, "title": "Sky", "text": "Blue."}])]
        ['Sky Blue.']
    """
    return DocumentReader(source, format=format, on_bad_record=on_bad_record, offline=offline)


class DocumentReader(Iterator[Document]):
    """An iterator of documents that knows where it is and what it passed over; made by `read_documents`.

    Attributes:
        file: The file now read, or a word for a source that is none.
        line: Line (row, record) of the last document, from 1; in TREC text the line of its `<DOC>`.
        unit: What `line` counts.
        skips: Whether bad records are passed over.
        notes: One `skipped_record` note for each record passed over, one `empty_document` for each document without
            title and text, and one `skipped_files` for the files of a folder that are not read.
    """

    def __init__(self, source: Source, *, format: Format | None, on_bad_record: OnBadRecord, offline: bool) -> None:
        if on_bad_record not in get_args(OnBadRecord):
            raise UsageError("unknown policy", stage="corpus", value=on_bad_record, accepted="error, skip")
        if format is not None and format not in get_args(Format):
            raise UsageError("unknown format", stage="corpus", value=format, accepted=", ".join(get_args(Format)))
        self.file, self.line, self.unit = "", 0, "line"
        self.notes: list[Note] = []
        self.skips = on_bad_record == "skip"
        self._documents = self._open(source, format, offline)

    def __next__(self) -> Document:
        """The next good document."""
        return next(self._documents)

    @property
    def place(self) -> str:
        """Where the last document stood, in words."""
        return f"{self.file} {self.unit} {self.line}"

    def bad(self, reason: str, line: int | None = None) -> None:
        """Treat a bad record by the policy: raise a DataError, or note it."""
        where = f"{self.file} {self.unit} {self.line if line is None else line}"
        if not self.skips:
            raise DataError(
                f"{where}: {reason}",
                stage="corpus",
                fix="mend it, or pass bad records over, each with a note: on_bad_record='skip', or --skip-bad-records",
            )
        self.notes.append(Note("corpus", "skipped_record", detail=f"{where}: {reason}"))

    def _open(self, source: Source, format: Format | None, offline: bool) -> Iterator[Document]:
        """The documents of a source, whatever it is."""
        if isinstance(source, str) and source.startswith("ir_datasets:"):
            from rankloom.corpus_ir_datasets import read_ir_dataset

            self.file, self.unit = source, "document"
            return self._records(read_ir_dataset(source.removeprefix("ir_datasets:"), offline=offline))
        if not isinstance(source, str | Path):
            if not isinstance(source, Iterable) or isinstance(source, Mapping):
                raise DataError("these are not documents", stage="corpus", value=source, accepted="see read_documents")
            self.file, self.unit = "documents", "record"
            return self._records(source)
        path = Path(source)
        if path.is_dir():
            return self._folder(path)
        if not path.is_file():
            raise NotFoundError("there is no such document file", stage="corpus", value=str(path))
        return self._file(path, format or _format_of(path))

    def _file(self, path: Path, format: Format) -> Iterator[Document]:
        """The documents of one file."""
        self.file, self.unit = str(path), "row" if format == "parquet" else "line"
        if format == "parquet":
            return self._records(parquet_rows(path))
        if format == "text":
            return self._text_file(path, path.name)
        reader = {"jsonl": self._json_lines, "tsv": self._tsv, "trec": self._trec}[format]
        return reader(path)

    def _folder(self, folder: Path) -> Iterator[Document]:
        """One document for each .txt or .md file in a folder and its subfolders."""
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        paths = [path for path in files if path.suffix.lower() in _TEXT_SUFFIXES]
        if not paths:
            raise DataError(
                "the folder holds no .txt or .md files",
                stage="corpus",
                value=str(folder),
                fix="name the document file itself, such as corpus.jsonl",
            )
        if others := [
            path.relative_to(folder).as_posix() for path in files if path.suffix.lower() not in _TEXT_SUFFIXES
        ]:
            detail = f"{folder}: {', '.join(others[:5])}{', ...' if len(others) > 5 else ''}"
            self.notes.append(Note("corpus", "skipped_files", amount=len(others), detail=detail))
        return (doc for path in paths for doc in self._text_file(path, path.relative_to(folder).as_posix()))

    def _text_file(self, path: Path, doc_id: str) -> Iterator[Document]:
        """The one document of a text file."""
        self.file = str(path)
        lines = b"".join(self._lines(path))
        self.line = 1
        text = self._decode(lines)
        if text is not None:
            heading = _HEADING.match(text) if path.suffix.lower() == ".md" else None
            title = {} if heading is None else {"title": heading.group(1)}
            yield from self._document({"id": doc_id, "text": text[heading.end() :] if heading else text, **title})

    def _records(self, records: Iterable[object]) -> Iterator[Document]:
        """Documents from `Document` records and mappings."""
        for self.line, record in enumerate(records, start=1):
            yield from self._document(record)

    def _json_lines(self, path: Path) -> Iterator[Document]:
        """Documents from one JSON object a line."""
        for line in self._lines(path):
            text = self._decode(line)
            if text is None or not text.strip():
                continue
            try:
                record = json.loads(text.rstrip())
            except (ValueError, RecursionError) as error:
                self.bad(malformed_json(error))
                continue
            yield from self._document(record)

    def _tsv(self, path: Path) -> Iterator[Document]:
        """Documents from `id text` or `id title text` columns, or from columns named by a header."""
        names: list[str] | None = None
        for line in self._lines(path):
            text = self._decode(line)
            if text is None or not text.strip():
                continue
            cells = text.rstrip("\r\n").split("\t")
            if names is None:
                names = _tsv_header(cells)
                if names is not None:
                    continue
                names = ["id", "title", "text"] if len(cells) == 3 else ["id", "text"]
            if len(cells) != len(names):
                self.bad(f"{len(cells)} tab-separated columns instead of {len(names)} ({', '.join(names)})")
                continue
            yield from self._document(dict(zip(names, cells, strict=True)))

    def _trec(self, path: Path) -> Iterator[Document]:
        """Documents between `<DOC>` and `</DOC>`."""
        block: list[bytes] = []
        start = 0
        for line in self._lines(path):
            if _TREC_OPEN.search(line):
                if block:
                    self.bad("the <DOC> is not closed before the next one", start)
                block, start = [], self.line
            elif not block and line.strip():
                self.bad("text outside <DOC> and </DOC>")
                continue
            elif not block:
                continue
            block.append(line)
            if _TREC_CLOSE.search(line):
                end, self.line = self.line, start
                whole, block = b"".join(block), []
                if len(_TREC_OPEN.findall(whole)) > 1:
                    self.bad("more than one <DOC> on a line")
                elif (text := self._decode(whole)) is not None:
                    yield from self._document(_trec_record(text))
                self.line = end
        if block:
            self.bad("the <DOC> is not closed at the end of the file", start)

    def _lines(self, path: Path) -> Iterator[bytes]:
        """The lines of a file; `line` keeps count."""
        for self.line, line in byte_lines(path, stage="corpus"):
            yield line

    def _decode(self, line: bytes) -> str | None:
        """A line as text, or None for a bad one."""
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError as error:
            self.bad(f"not UTF-8 (byte {line[error.start]:#04x} at {error.start})")
            return None

    def _document(self, record: object) -> Iterator[Document]:
        """One document, or none for a bad record."""
        try:
            document = record if isinstance(record, Document) else _as_document(record)
            f"{document.id}{document.title}{document.text}".encode()
        except UnicodeEncodeError as error:
            self.bad(f"a character that is no Unicode text (surrogate {error.object[error.start]!r})")
        except DataError as error:
            self.bad(str(error))
        else:
            if not document.contents.strip():
                self.notes.append(Note("corpus", "empty_document", doc_id=document.id))
            yield document


def _as_document(record: object) -> Document:
    """A document from a mapping; keys other than id, title and text become metadata."""
    if not isinstance(record, Mapping):
        accepted = "Document(id, text), or a map such as {'id': 'd1', 'text': '...'}"
        raise DataError("the record is not an object with id and text", value=type(record).__name__, accepted=accepted)
    rest = dict(record)
    doc_id = _first(rest, ID_KEYS, "an id")
    text = _first(rest, TEXT_KEYS, "a text")
    if isinstance(doc_id, int) and not isinstance(doc_id, bool):
        doc_id = str(doc_id)
    title = rest.pop("title", None)
    inner = rest.pop("metadata", None)
    if isinstance(inner, Mapping):
        both = rest.keys() & inner.keys()
        if both:
            raise DataError("a key stands both in the record and in its metadata", value=min(both))
        rest |= inner
    elif inner is not None:
        rest["metadata"] = inner
    for name, value in (("id", doc_id), ("text", text), ("title", title or "")):
        if not isinstance(value, str):
            raise DataError(f"the {name} is not a string", value=value)
    return Document(doc_id, text, title or "", rest)


def _first(record: dict[str, Any], keys: tuple[str, ...], what: str) -> Any:
    """Take the first of some keys out of a record."""
    for key in keys:
        if record.get(key) is not None:
            return record.pop(key)
    raise DataError(f"the record has no {what.rsplit(maxsplit=1)[-1]}", accepted=" or ".join(keys))


def metadata_json(document: Document) -> str:
    """A document's metadata as JSON text with sorted keys; empty for none.

    Raises:
        DataError: It holds what JSON can not.
    """
    if not document.metadata:
        return ""
    try:
        return json.dumps(dict(document.metadata), ensure_ascii=False, sort_keys=True, default=_date_text)
    except (TypeError, ValueError) as error:
        raise DataError(f"the metadata of {document.id!r} is not JSON ({error})", stage="corpus") from error


def _date_text(value: object) -> str:
    """Dates and times as ISO 8601 text; everything else is refused by json."""
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"a value of type {type(value).__name__}")


def _format_of(path: Path) -> Format:
    """A file's format by its suffix."""
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if suffix.lower() in _SUFFIXES:
        return _SUFFIXES[suffix.lower()]
    raise DataError(
        "the file's suffix does not tell its format",
        stage="corpus",
        value=str(path),
        accepted=", ".join(_SUFFIXES),
        fix="say what it is: format=, or --format",
    )


def _tsv_header(cells: list[str]) -> list[str] | None:
    """Column names, if a first line holds an id key, a text key and perhaps `title`; else None."""
    names = [cell.strip().lower() for cell in cells]
    known = {**dict.fromkeys(ID_KEYS, "id"), **dict.fromkeys(TEXT_KEYS, "text"), "title": "title"}
    found = [known.get(name, "") for name in names]
    return found if sorted(found) in (["id", "text"], ["id", "text", "title"]) else None


def _trec_record(block: str) -> dict[str, str]:
    """Id, title and text of one `<DOC>`; inner tags go, entities are resolved."""
    parts: dict[str, list[str]] = {"docno": [], "title": [], "text": []}
    for tag, content in _TREC_BLOCK.findall(block):
        name = tag.lower() if tag.lower() in parts else "title"
        parts[name].append(html.unescape(_TAG.sub(" ", content)).strip())
    record = {"docno": "".join(parts["docno"][:1]), "title": " ".join(parts["title"])}
    return {**record, "text": "\n".join(parts["text"])} if parts["text"] else record


def parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                yield from batch.to_pylist()
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: not a readable Parquet file ({error})", stage="corpus") from error
