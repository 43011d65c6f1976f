"""The project's own format, for labels from anywhere, such as a language model: JSON Lines of the records' fields.

{"query_id": "1", "question": "...", "doc_id": "d7", "title": "", "sentences": ["One. ", "Two."], "relevant": [0]}
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from rankloom.errors import UsageError
from rankloom.eval.labelled_sentences.records import reading, records
from rankloom.eval.labelled_sentences.text import LabelledText, LabelledTexts
from rankloom.files import atomic_path
from rankloom.lines import record_line

ENDING = ".labelled.jsonl"
_ACCEPTED = "query_id, question, doc_id, title, sentences, and relevant, places of sentences from 0"


def read_own(path: Path, split: str) -> LabelledTexts:  # noqa: ARG001  # a file is one split
    """All records, with the spaces that their sentences bring.

    Raises:
        DataError: A malformed line; names file and line.
    """
    found = LabelledTexts()
    for where, record in records(path):
        with reading(where, _ACCEPTED):
            if any(not sentence.strip() for sentence in record["sentences"]):
                raise ValueError("a sentence is blank")
            found.add(
                query_id=str(record["query_id"]),
                question=record["question"],
                doc_id=str(record["doc_id"]),
                title=record["title"],
                sentences=record["sentences"],
                relevant=record["relevant"],
                as_they_are=True,
            )
    return found


def write_labelled(path: str | Path, texts: Iterable[LabelledText]) -> Path:
    """Write records, to be read again by `read_labelled`; a file that is there stays until all are written.

    Args:
        path: The file; its name must end in `.labelled.jsonl`, by which the format is recognised.
        texts: The records.

    Raises:
        UsageError: The name ends otherwise.
    """
    file = Path(path)
    if not file.name.endswith(ENDING):
        raise UsageError(
            "the name tells the format, and this one tells another",
            stage="write_labelled",
            value=str(path),
            accepted=f"a name that ends in {ENDING}",
        )
    with atomic_path(file) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as lines:
        lines.writelines(record_line(asdict(text)) for text in texts)
    return file
