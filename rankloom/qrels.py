"""Relevance judgements in files: TREC's four columns, and BEIR's three with a header."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from rankloom.checks import choice
from rankloom.errors import DataError
from rankloom.files import write_text
from rankloom.lines import bad_line, text_lines

Qrels = dict[str, dict[str, int]]
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
    file = Path(path)
    qrels: Qrels = {}
    first = True
    for number, text in text_lines(file, stage="read_qrels"):
        tabbed = text.split("\t")
        cells = tabbed if len(tabbed) == 3 else text.split()
        if len(cells) not in (3, 4):
            raise bad_line(file, number, f"{len(cells)} columns", stage="read_qrels", accepted=_ACCEPTED)
        query_id, doc_id, grade_text = cells[0].strip(), cells[-2].strip(), cells[-1].strip()
        header, first = first and len(cells) == 3 and not _is_whole(grade_text), False
        if header:
            continue
        if not _is_whole(grade_text):
            reason = f"the grade {grade_text!r} is not a whole number"
            raise bad_line(file, number, reason, stage="read_qrels", accepted=_ACCEPTED)
        grade = int(grade_text)
        if not query_id or not doc_id:
            raise bad_line(file, number, "an id is empty", stage="read_qrels", accepted=_ACCEPTED)
        if qrels.setdefault(query_id, {}).setdefault(doc_id, grade) != grade:
            reason = f"query {query_id!r} judges {doc_id!r} as {grade}, and before as {qrels[query_id][doc_id]}"
            raise bad_line(file, number, reason, stage="read_qrels")
    if not qrels:
        raise DataError(f"{file} holds no judgement", stage="read_qrels", accepted=_ACCEPTED)
    return qrels


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
