"""Reading downloaded collections: BEIR's folders, Parquet tables, BRIGHT's tables, tab-separated files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rankloom.corpus_formats import parquet_rows, read_documents
from rankloom.errors import DataError
from rankloom.eval.catalog import CollectionRecord
from rankloom.eval.catalog.record import Part
from rankloom.eval.downloads import Downloads
from rankloom.eval.queries import read_queries
from rankloom.eval.sources import Folder, Judged, judged_queries, only_judged
from rankloom.fingerprint import digest
from rankloom.ledger import Note
from rankloom.lines import bad_line, text_lines
from rankloom.qrels import Qrels, read_qrels_noted
from rankloom.records import Document, Query

_STAGE = "load_collection"
_Paths = dict[Part, list[Path]]


@dataclass(frozen=True, slots=True)
class DocumentFiles:
    """Documents in several files, one after the other.

    Args:
        paths: The files, as `read_documents` reads them.
        fingerprint: A digest of their bytes.
    """

    paths: tuple[Path, ...]
    fingerprint: str

    def __iter__(self) -> Iterator[Document]:
        """Stream the documents."""
        for path in self.paths:
            yield from read_documents(path)


def read_download(record: CollectionRecord, split: str, downloads: Downloads) -> tuple[Judged, DocumentFiles] | None:
    """Queries, judgements and documents of a downloaded split; None if it is not, or not wholly, downloaded.

    Args:
        record: The collection.
        split: One of its splits.
        downloads: The downloads of its family.

    Raises:
        DataError: Files that do not hold what their layout says; names file and place.
    """
    receipts = [downloads.held(file) for file in record.files_of(split)]
    held = [receipt for receipt in receipts if receipt is not None]
    if not held or len(held) < len(receipts):
        return None
    paths = _beir_paths(record, split, downloads) if record.layout == "beir" else _paths(record, split, downloads)
    sums = {downloads.folder / name: member.sha256 for receipt in held for name, member in receipt.files.items()}
    missing = [path for part in paths.values() for path in part if path not in sums]
    if missing:
        raise DataError("the download lacks a file that the catalogue names", stage=_STAGE, value=str(missing[0]))
    documents = tuple(paths["documents"])
    readers: dict[str, Callable[[_Paths], Judged]] = {
        "beir": lambda paths: judged_queries(paths["queries"][0], paths["judgements"][0]),
        "tsv": _read_tsv,
        "parquet": _read_parquet,
        "bright": lambda paths: _read_bright(paths, record.splits[split].gold or "gold_ids"),
    }
    fingerprint = digest("files", [(path.name, sums[path]) for path in documents])
    judged = readers[record.layout](paths)
    doubts = tuple(
        Note(_STAGE, "unverified_download", detail=f"{receipt.url}: neither a checksum nor a length is known")
        for receipt in held
        if receipt.verified == "nothing"
    )
    return replace(judged, notes=judged.notes + doubts), DocumentFiles(documents, fingerprint)


def _beir_paths(record: CollectionRecord, split: str, downloads: Downloads) -> _Paths:
    """The three files of a split in BEIR's archive."""
    folder = Folder("", downloads.place(record.files["archive"]) / (record.folder or ""), split)
    return {"documents": [folder.corpus], "queries": [folder.queries], "judgements": [folder.qrels]}


def _paths(record: CollectionRecord, split: str, downloads: Downloads) -> _Paths:
    """The files of each part of a split."""
    found: _Paths = {}
    for part, key in record.splits[split].files.items():
        name, _, member = key.partition(":")
        file = record.files[name]
        found[part] = [downloads.place(file) / member] if member else downloads.paths(file)
    return found


def _read_tsv(paths: _Paths) -> Judged:
    """Tab-separated queries and judgements, as MS MARCO and T2Ranking have them."""
    queries, judgements = paths["queries"][0], paths["judgements"][0]
    grades, notes = _tsv_judgements(judgements)
    return only_judged(read_queries(queries), grades, str(queries), notes)


def _tsv_judgements(path: Path) -> tuple[Qrels, tuple[Note, ...]]:
    """Judgements of a file with a header that starts with `qid`, or of a plain one.

    T2Ranking's retrieval judgements have two columns, each line a relevant passage; its grades have TREC's four.
    """
    lines = text_lines(path, stage="read_qrels")
    first = next(lines, (0, ""))[1].split("\t")
    if first[0] != "qid":
        return read_qrels_noted(path)
    judgements = _Judgements()
    for number, line in lines:
        cells = line.split("\t")
        if len(cells) != len(first):
            raise bad_line(path, number, f"{len(cells)} columns instead of {len(first)}", stage="read_qrels")
        query_id, doc_id, grade = (*cells, "1") if len(first) == 2 else (cells[0], cells[-2], cells[-1])
        if not grade.lstrip("-").isdecimal():
            raise bad_line(path, number, f"the grade {grade!r} is not a whole number", stage="read_qrels")
        judgements.add(query_id, doc_id, int(grade), f"{path} line {number}")
    return judgements.qrels, tuple(judgements.notes)


def _read_parquet(paths: _Paths) -> Judged:
    """Tables of `_id` and `text`, and of `query-id`, `corpus-id` and perhaps `score`; NanoBEIR, CPRet and MTEB."""
    queries = tuple(Query(str(row["_id"]), str(row["text"])) for _, row in _rows(paths["queries"], ("_id", "text")))
    judgements = _Judgements()
    for place, row in _rows(paths["judgements"], ("query-id", "corpus-id")):
        grade = row.get("score", 1)
        if not isinstance(grade, int | float) or not float(grade).is_integer():
            raise DataError(f"{place}: the grade is not a whole number", stage="read_qrels", value=grade)
        judgements.add(str(row["query-id"]), str(row["corpus-id"]), int(grade), place)
    return only_judged(queries, judgements.qrels, str(paths["queries"][0]), tuple(judgements.notes))


def _read_bright(paths: _Paths, gold: str) -> Judged:
    """A table whose rows hold the query, its relevant documents and those that do not count for it."""
    queries: list[Query] = []
    qrels: Qrels = {}
    for _, row in _rows(paths["queries"], ("id", "query", "excluded_ids", gold)):
        query_id = str(row["id"])
        queries.append(Query(query_id, str(row["query"]), metadata={"excluded_ids": list(row["excluded_ids"])}))
        qrels[query_id] = dict.fromkeys(map(str, row[gold]), 1)
    return only_judged(tuple(queries), qrels, str(paths["queries"][0]), ())


class _Judgements:
    """Judgements as they are read: of two for one document the last wins, and a note says so."""

    def __init__(self) -> None:
        self.qrels: Qrels = {}
        self.notes: list[Note] = []

    def add(self, query_id: str, doc_id: str, grade: int, place: str) -> None:
        """Take one in."""
        before = self.qrels.setdefault(query_id, {}).get(doc_id)
        if before not in (None, grade):
            detail = f"{place}: query {query_id!r} judges {doc_id!r} as {grade}, and before as {before}"
            self.notes.append(Note("read_qrels", "skipped_record", query_id, doc_id, detail=detail))
        self.qrels[query_id][doc_id] = grade


def _rows(paths: list[Path], columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of Parquet files with their places, each with the columns that are needed.

    Raises:
        DataError: A column is missing, or a value of it; names the file and the row.
    """
    for path in paths:
        for number, row in enumerate(parquet_rows(path), start=1):
            lacking = [column for column in columns if row.get(column) is None]
            if lacking:
                raise DataError(
                    f"{path} row {number}: no {', '.join(lacking)}", stage=_STAGE, accepted=", ".join(columns)
                )
            yield f"{path} row {number}", row
