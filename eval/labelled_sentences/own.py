"""The project's own format, for labels from anywhere, such as a language model: JSON Lines of the records' fields.

{"query_id": "1", "question": "...", "doc_id": "d7", "title": "", "sentences": ["One. ", "Two."], "relevant": [0]}
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from rankloom.eval.labelled_sentences.records import reading, records
from rankloom.eval.labelled_sentences.text import LabelledText, LabelledTexts

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
    """Write records, to be read again by `read_labelled`.

    Args:
        path: The file; its name must end in `.labelled.jsonl`, by which the format is recognised.
        texts: The records.

    Raises:
        ValueError: The name ends otherwise.
    """
    file = Path(path)
    if not file.name.endswith(ENDING):
        raise ValueError(f"{file} does not end in {ENDING}")
    lines = [json.dumps(asdict(text), ensure_ascii=False) for text in texts]
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file
