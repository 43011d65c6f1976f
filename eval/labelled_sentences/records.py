"""Records of JSON files, and their errors: each names the file and the line, or the number in an array."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rankloom.errors import DataError
from rankloom.eval.labelled_sentences.text import STAGE
from rankloom.lines import json_lines


def records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a file and where they stand: `FILE line 7` of JSON Lines, `FILE record 7` of a JSON array.

    Raises:
        DataError: The file is neither, or a record is no object.
    """
    if path.suffix == ".jsonl":
        for number, record in json_lines(path, stage=STAGE):
            yield f"{path} line {number}", record
        return
    try:
        array = json.loads(decoded(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON ({error})", stage=STAGE) from error
    if not isinstance(array, list):
        raise DataError(f"{path} is no JSON array", stage=STAGE, value=type(array).__name__)
    for number, record in enumerate(array, start=1):
        if not isinstance(record, dict):
            raise DataError(f"{path} record {number}: not a JSON object", stage=STAGE)
        yield f"{path} record {number}", record


def decoded(path: Path) -> str:
    """The text of a file.

    Raises:
        DataError: It is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 ({error})", stage=STAGE) from error


@contextmanager
def reading(where: str, accepted: str) -> Iterator[None]:
    """While a record is read: whatever is wrong with it becomes an error that says where it stands.

    Args:
        where: File and line.
        accepted: What a record has.

    Raises:
        DataError: In place of what was raised.
    """
    try:
        yield
    except KeyError as error:
        raise DataError(f"{where}: there is no {error}", stage=STAGE, accepted=accepted) from error
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        raise DataError(f"{where}: {error}", stage=STAGE, accepted=accepted) from error
