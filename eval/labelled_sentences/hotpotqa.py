"""HotpotQA (Yang et al., EMNLP 2018): questions, paragraphs of Wikipedia, and the sentences that answers rest on.

A JSON array: `_id`, `question`, `context` (pairs of a title and its sentences), `supporting_facts` (pairs of a title
and the place of a sentence). Each paragraph is a text, its id the title with underscores; most have no relevant
sentence.
"""

from __future__ import annotations

from pathlib import Path

from rankloom.eval.labelled_sentences.records import reading, records
from rankloom.eval.labelled_sentences.text import LabelledTexts, page_id

_ACCEPTED = "_id, question, context, and supporting_facts, pairs of a title and a place from 0"


def read_hotpotqa(path: Path, split: str) -> LabelledTexts:  # noqa: ARG001  # a file is one split
    """All questions, each with all its paragraphs.

    Raises:
        DataError: A malformed record; names file and record.
    """
    found = LabelledTexts()
    for where, record in records(path):
        with reading(where, _ACCEPTED):
            facts = [(title, place) for title, place in record["supporting_facts"]]
            titles = [title for title, _ in record["context"]]
            unknown = {title for title, _ in facts} - set(titles)
            if unknown:
                raise ValueError(f"there is no paragraph {min(unknown)!r}")
            if len(set(titles)) < len(titles):
                raise ValueError("two paragraphs have the same title")
            for title, sentences in record["context"]:
                relevant = [place for named, place in facts if named == title]
                found.add(
                    query_id=str(record["_id"]),
                    question=record["question"],
                    doc_id=page_id(title),
                    title=title,
                    sentences=sentences,
                    relevant=relevant,
                )
    return found
