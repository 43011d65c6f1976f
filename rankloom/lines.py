"""Lines of text files with their numbers: gzipped or not, any damage named by file and line."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rankloom.errors import DataError, NotFoundError


def byte_lines(path: Path, *, stage: str) -> Iterator[tuple[int, bytes]]:
    """Line numbers from 1 and lines with their line ends; a byte order mark at the start is dropped.

    Args:
        path: The file; gzipped if it ends in `.gz`.
        stage: Who reads, for errors.

    Raises:
        NotFoundError: There is no such file.
        DataError: The gzip data are damaged or cut off.
    """
    if not path.is_file():
        raise NotFoundError("there is no such file", stage=stage, value=str(path))
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip data after line {number} ({error})", stage=stage) from error


def text_lines(path: Path, *, stage: str) -> Iterator[tuple[int, str]]:
    """Line numbers and lines without their ends; blank lines are left out.

    Args:
        path: The file; gzipped if it ends in `.gz`.
        stage: Who reads, for errors.

    Raises:
        NotFoundError: There is no such file.
        DataError: A line is not UTF-8, or the gzip data are damaged.
    """
    for number, line in byte_lines(path, stage=stage):
        try:
            text = line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise bad_line(path, number, "not UTF-8", stage=stage) from error
        if text.strip():
            yield number, text


def json_lines(path: Path, *, stage: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and the JSON objects on them.

    Args:
        path: The file; gzipped if it ends in `.gz`.
        stage: Who reads, for errors.

    Raises:
        NotFoundError: There is no such file.
        DataError: A line is not a JSON object, or not UTF-8.
    """
    for number, text in text_lines(path, stage=stage):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise bad_line(path, number, malformed_json(error), stage=stage) from error
        if not isinstance(value, dict):
            raise bad_line(path, number, "not a JSON object", stage=stage)
        yield number, value


def record_line(record: Mapping[str, Any]) -> str:
    """A line of JSON, in ASCII: half of a surrogate pair, which a text may hold, is no UTF-8."""
    return f"{json.dumps(record)}\n"


def malformed_json(error: ValueError | RecursionError) -> str:
    """What is wrong with a line that is not JSON, and at which of its characters, from 1."""
    if isinstance(error, json.JSONDecodeError):
        return f"malformed JSON ({error.msg}, character {error.pos + 1})"
    return f"malformed JSON ({error})"


def bad_line(path: Path, number: int, reason: str, *, stage: str, accepted: str | None = None) -> DataError:
    """The error for one line of a file."""
    return DataError(f"{path} line {number}: {reason}", stage=stage, accepted=accepted)
