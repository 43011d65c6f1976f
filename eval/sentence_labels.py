"""Labels of relevant sentences: what they look like, and the files that hold them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rankloom.lines import bad_line, json_lines

Offsets = tuple[tuple[int, int], ...]
#: Query id -> document id -> character offsets of its relevant sentences; what is not there has none.
Sentences = Mapping[str, Mapping[str, Offsets]]


def read_sentences(path: Path) -> dict[str, dict[str, Offsets]]:
    """Labels of relevant sentences: JSON lines of `query_id`, `doc_id` and `sentences`, a list of [start, end).

    Args:
        path: The file. Documents without relevant sentences are left out.

    Raises:
        DataError: A malformed line, or a pair that stands twice; names file and line.
    """
    labels: dict[str, dict[str, Offsets]] = {}
    seen: set[tuple[str, str]] = set()
    for number, record in json_lines(path, stage="read_sentences"):
        try:
            pair = str(record["query_id"]), str(record["doc_id"])
            offsets = tuple((int(start), int(end)) for start, end in record["sentences"])
        except (KeyError, TypeError, ValueError) as error:
            reason = "a label needs query_id, doc_id and sentences, a list of [start, end)"
            raise bad_line(path, number, reason, stage="read_sentences") from error
        if pair in seen:
            raise bad_line(path, number, f"the pair {pair} stands twice", stage="read_sentences")
        if any(not 0 <= start < end for start, end in offsets):
            raise bad_line(path, number, "a sentence ends before it starts", stage="read_sentences")
        seen.add(pair)
        if offsets:
            labels.setdefault(pair[0], {})[pair[1]] = offsets
    return labels
