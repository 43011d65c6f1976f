"""Relevance judgements in files: TREC's four columns, and BEIR's three with a header."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from rankloom.checks import choice
from rankloom.errors import DataError
from rankloom.files import write_text
from rankloom.ledger import Note
from rankloom.lines import bad_line, text_lines

Qrels = dict[str, dict[str, int]]
_HEADER = ("query-id", "query_id", "query", "qid", "topic")  # of the first column
_ACCEPTED = "query-id 0 document-id grade (TREC), or query-id, document-id, grade separated by tabs (BEIR)"


def read_qrels(path: str | Path) -> Qrels:
    """Read judgements.

    TREC files have four columns (query id, an unused one, document id, grade) separated by any white space. BEIR
    files have three (query id, document id, grade) separated by tabs, with or without a header line.

    Args:
        path: The file; gzipped if it ends in `.gz`.

    Returns:
        Query id -> document id -> grade, in the order of the file.

    Raises:
        NotFoundError: There is no such file.
        DataError: Another number of columns, a grade that is no whole number, or a document judged twice with
            different grades; names file and line.
    """
    qrels, notes = read_qrels_noted(path)
    if notes:
        raise DataError(
            notes[0].detail, stage="read_qrels", fix="mend the file, or use read_qrels_noted to let the last grade win"
        )
    return qrels


def read_qrels_noted(path: str | Path) -> tuple[Qrels, tuple[Note, ...]]:
    """Read judgements as BEIR's own loader does: of two grades for one document the last wins; each case is noted.

    Args:
        path: The file; gzipped if it ends in `.gz`.

    Returns:
        Query id -> document id -> grade, and a `skipped_record` note for each grade that was overruled.

    Raises:
        NotFoundError: There is no such file.
        DataError: Another number of columns, or a grade that is no whole number; names file and line.
    """
    file = Path(path)
    qrels: Qrels = {}
    notes: list[Note] = []
    for number, query_id, doc_id, grade in _judgements(file):
        grades = qrels.setdefault(query_id, {})
        before = grades.get(doc_id, grade)
        if before != grade:
            detail = f"{file} line {number}: query {query_id!r} judges {doc_id!r} as {grade}, and before as {before}"
            notes.append(Note("read_qrels", "skipped_record", query_id, doc_id, detail=detail))
        grades[doc_id] = grade
    if not qrels:
        raise DataError(f"{file} holds no judgement", stage="read_qrels", accepted=_ACCEPTED)
    return qrels, tuple(notes)


def _judgements(path: Path) -> Iterator[tuple[int, str, str, int]]:
    """Line, query id, document id and grade of each judgement."""
    first = True
    for number, text in text_lines(path, stage="read_qrels"):
        tabbed = text.split("\t")
        cells = [cell.strip() for cell in (tabbed if len(tabbed) == 3 else text.split())]
        reason = ""
        if len(cells) != 4 and len(tabbed) != 3:
            reason = f"{len(cells)} columns"
        elif not _is_whole(cells[-1]):
            reason = f"the grade {cells[-1]!r} is not a whole number"
        elif not cells[0] or not cells[-2]:
            reason = "an id is empty"
        header, first = first and len(tabbed) == 3 and bool(reason) and cells[0].lower() in _HEADER, False
        if header:
            continue
        if reason:
            raise bad_line(path, number, reason, stage="read_qrels", accepted=_ACCEPTED)
        yield number, cells[0], cells[-2], int(cells[-1])


def write_qrels(
    qrels: Mapping[str, Mapping[str, int]], path: str | Path, *, format: Literal["trec", "beir"] = "trec"
) -> None:
    """Write judgements; the file appears whole or not at all.

    Args:
        qrels: Query id -> document id -> grade.
        path: The file.
        format: `trec` (four columns) or `beir` (a header and three columns separated by tabs).

    Raises:
        DataError: An id is empty or holds white space.
        UsageError: An unknown format.
    """
    choice(format, ("trec", "beir"), stage="write_qrels", parameter="format")
    lines = ["query-id\tcorpus-id\tscore"] if format == "beir" else []
    for query_id, judged in qrels.items():
        for doc_id, grade in judged.items():
            if len(query_id.split()) != 1 or len(doc_id.split()) != 1:
                raise DataError(
                    "an id is empty or holds white space", stage="write_qrels", value=f"{query_id!r}, {doc_id!r}"
                )
            cells = (query_id, doc_id, str(grade)) if format == "beir" else (query_id, "0", doc_id, str(grade))
            lines.append("\t".join(cells) if format == "beir" else " ".join(cells))
    write_text(Path(path), "".join(f"{line}\n" for line in lines))


def _is_whole(text: str) -> bool:
    """Whether a text is a whole number, as trec_eval would read it."""
    return text.removeprefix("-").removeprefix("+").isdecimal()
