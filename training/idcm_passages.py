"""Passages with an answer, and others: what the teacher of IDCM learns from first.

A source's documents become their windows. Those in which an answer begins are relevant; the others of a relevant
document are neither that nor negatives, as they may well help. Answers begin where `answer_starts` of a query's
metadata says, as it is in files of SQuAD's format; where it says nothing of a document, an answer is looked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rankloom.corpus import Corpus
from rankloom.encoders import readable
from rankloom.errors import DataError
from rankloom.eval.answer_text import gold_answers
from rankloom.records import Document, Query
from rankloom.rerank.document_windows import document_windows
from rankloom.training.pairs import SourceTexts

_STAGE = "training"
_ANSWERS, _BESIDE = 2, 1  # grades: an answer begins in the core of the window; another window of the document


def passage_sources(
    sources: Sequence[SourceTexts], tokenizer: Any, *, core: int, overlap: int
) -> list[tuple[SourceTexts, int]]:
    """The sources with windows for documents, and only those queries of which a window has an answer.

    With each goes how many queries were left out.

    Args:
        sources: Whole documents; queries carry their `answers`, as those of SQuAD's format do.
        tokenizer: A fast tokenizer.
        core: Tokens of a window without its overlap.
        overlap: Tokens that it reaches beyond.

    Raises:
        DataError: No query has an answer that stands in a relevant document.
    """
    found = [_passages(source, tokenizer, core=core, overlap=overlap) for source in sources]
    with_answers = [
        (source, len(whole.queries) - len(source.queries))
        for whole, source in zip(sources, found, strict=True)
        if source.queries
    ]
    if not with_answers:
        raise DataError(
            "no query has an answer in its documents, so nothing tells which passage is relevant",
            stage=_STAGE,
            value=[source.source.name for source in sources],
            accepted="a collection whose queries have answers, such as a file in SQuAD's format",
            fix="start from a cross-encoder (encoder.start), and set passages.steps to 0",
        )
    return with_answers


class _Windowed:
    """A document and its windows.

    Args:
        document: The document.
        tokenizer: Cuts it into tokens.
        core: As above.
        overlap: As above.
    """

    def __init__(self, document: Document, tokenizer: Any, *, core: int, overlap: int) -> None:
        self.text = readable(document.contents)  # of as many characters as the contents
        self.before = len(document.contents) - len(document.text)  # characters of the title
        spans = tokenizer(self.text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        self.spans: list[tuple[int, int]] = spans["offset_mapping"]
        self.core = core
        self.passages = [
            Document(f"{document.id}#{number:06d}", self.text[self.spans[one.begin][0] : self.spans[one.end - 1][1]])
            for number, one in enumerate(document_windows(len(self.spans), core=core, overlap=overlap))
        ]

    def grades(self, answers: Sequence[str], marked: Sequence[int] | None) -> dict[str, int]:
        """Window id -> grade; nothing if no answer is there.

        Args:
            answers: Answers.
            marked: Where they begin in the document's text; None if nobody knows.
        """
        if marked is None:
            found = (re.search(rf"(?<!\w){re.escape(one.strip())}(?!\w)", self.text) for one in answers if one.strip())
            starts = [one.start() for one in found if one is not None]
        else:
            starts = [self.before + start for start in marked]
        places = [sum(end <= start for _, end in self.spans) for start in starts]
        if not places:
            return {}
        holding = {place // self.core for place in places}
        return {one.id: _ANSWERS if place in holding else _BESIDE for place, one in enumerate(self.passages)}


def _passages(source: SourceTexts, tokenizer: Any, *, core: int, overlap: int) -> SourceTexts:
    """One source with windows for documents."""
    windowed = {document.id: _Windowed(document, tokenizer, core=core, overlap=overlap) for document in source.corpus}
    answers = gold_answers(source.queries)
    relevant: dict[str, dict[str, int]] = {}
    kept: list[Query] = []
    for query in source.queries:
        grades: dict[str, int] = {}
        for doc_id in source.relevant_to(query.id):
            marked = query.metadata.get("answer_starts", {}).get(doc_id)
            grades.update(windowed[doc_id].grades(answers.get(query.id, ()), marked))
        if grades:
            kept.append(query)
            relevant[query.id] = grades
    corpus = Corpus.of([passage for one in windowed.values() for passage in one.passages])
    return replace(source, corpus=corpus, queries=tuple(kept), held_out=(), relevant=relevant, texts=())
