"""Query files: JSON Lines as in BEIR, or two columns separated by a tab."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rankloom.errors import DataError
from rankloom.lines import bad_line, json_lines, text_lines
from rankloom.records import Query

_ID_KEYS = ("_id", "id", "qid", "query_id")
_TEXT_KEYS = ("text", "query", "title")
_STAGE = "read_queries"


def read_queries(path: str | Path) -> tuple[Query, ...]:
    """Read queries.

    A file ending in `.jsonl` (or `.jsonl.gz`) holds one object a line: an id (`_id`, `id`, `qid` or `query_id`), a text
    (`text`, `query` or `title`) and whatever else, which becomes metadata. Any other file holds id, tab, text.

    Args:
        path: The file; gzipped if it ends in `.gz`.

    Raises:
        NotFoundError: There is no such file.
        DataError: A malformed line, or an id that stands twice; names file and line.
    """
    file = Path(path)
    found: dict[str, Query] = {}
    rows = _json_rows(file) if ".jsonl" in file.suffixes else _tab_rows(file)
    for number, query_id, text, metadata in rows:
        if not isinstance(text, str) or not isinstance(query_id, str) or not query_id:
            reason = "a query needs an id and a text, both strings"
            raise bad_line(file, number, reason, stage=_STAGE)
        if query_id in found:
            raise bad_line(file, number, f"the query id {query_id!r} stands twice", stage=_STAGE)
        found[query_id] = Query(query_id, text, metadata=metadata)
    if not found:
        raise DataError(f"{file} holds no query", stage=_STAGE)
    return tuple(found.values())


def _json_rows(path: Path) -> Iterator[tuple[int, Any, Any, dict[str, Any]]]:
    """Line, id, text and metadata of each object."""
    for number, record in json_lines(path, stage=_STAGE):
        query_id = next((record.pop(key) for key in _ID_KEYS if record.get(key) is not None), None)
        text = next((record.pop(key) for key in _TEXT_KEYS if record.get(key) is not None), None)
        if isinstance(query_id, int) and not isinstance(query_id, bool):
            query_id = str(query_id)
        inner = record.pop("metadata", None)
        rest = record | inner if isinstance(inner, dict) else record
        yield number, query_id, text, rest


def _tab_rows(path: Path) -> Iterator[tuple[int, Any, Any, dict[str, Any]]]:
    """Line, id and text of each row."""
    for number, line in text_lines(path, stage=_STAGE):
        query_id, tab, text = line.partition("\t")
        if not tab:
            raise bad_line(path, number, "no tab between id and text", stage=_STAGE, accepted="id<tab>text")
        yield number, query_id.strip(), text, {}


def same_words(question: str) -> str:
    """What questions have in common that differ in case and spaces alone."""
    return " ".join(question.casefold().split())
