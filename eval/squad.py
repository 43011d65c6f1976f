"""Files of questions about articles in SQuAD's format, as collections whose documents are whole articles.

A question's relevant documents are the articles that it is asked of, and its answers are kept. The format knows no
splits; see `rankloom.eval.article_splits`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rankloom.errors import DataError
from rankloom.eval.article_splits import articles_of
from rankloom.eval.queries import same_words
from rankloom.eval.sources import Judged
from rankloom.ledger import Note
from rankloom.qrels import Qrels
from rankloom.records import Document, Query

_STAGE = "load_collection"
_BETWEEN = "\n\n"  # an article's paragraphs


@dataclass(slots=True)
class _Question:
    """A question and its answers in one article.

    Args:
        id: Of the question.
        text: The question.
        answers: Its answers.
        spans: Where answers stand in the article's text; those are left out that do not stand in their paragraph.
    """

    id: str
    text: str
    answers: list[str]
    spans: list[tuple[int, int]]


@dataclass(slots=True)
class _Article:
    """An article and what is asked of it.

    Args:
        document: The article.
        questions: Those that it answers.
        unanswered: How many it does not answer.
    """

    document: Document
    questions: list[_Question] = field(default_factory=list)
    unanswered: int = 0


def read_squad(path: Path, split: str) -> tuple[Judged, list[Document]]:
    """The questions, judgements and articles of a split.

    Questions of the same words are one, which is relevant to every article that it is asked of. Queries carry their
    `answers`, and as `answer_starts` and `answer_ends`, by article, where these stand in its text. Where the ids of a
    file's questions begin anew with each article, they get the article's id before them.

    Args:
        path: The file.
        split: One of `rankloom.eval.article_splits.SPLITS`.

    Raises:
        DataError: The file is not in SQuAD's format, has too few articles for the split, or one id for two articles, or
            for two questions about one article.
    """
    everything = list(_articles(path))
    _check_ids(everything, path)
    articles = {one.document.id: one for one in everything}
    own = [articles[doc_id] for doc_id in articles_of(articles, split)]
    if not own:
        raise DataError(f"{len(articles)} articles are too few for a split", stage=_STAGE, value=str(path))
    first: dict[str, str] = {}  # words -> the id of the first question of these words
    texts: dict[str, str] = {}
    answers: dict[str, list[str]] = {}
    spans: dict[str, dict[str, list[tuple[int, int]]]] = {}
    qrels: Qrels = {}
    for article in own:
        for asked in article.questions:
            question = first.setdefault(same_words(asked.text), asked.id)
            texts.setdefault(question, asked.text)
            qrels.setdefault(question, {})[article.document.id] = 1
            answers.setdefault(question, []).extend(asked.answers)
            spans.setdefault(question, {}).setdefault(article.document.id, []).extend(asked.spans)
    queries = tuple(
        Query(
            question,
            text,
            metadata={
                "answers": list(dict.fromkeys(answers[question])),
                "answer_starts": {doc_id: [start for start, _ in found] for doc_id, found in spans[question].items()},
                "answer_ends": {doc_id: [end for _, end in found] for doc_id, found in spans[question].items()},
            },
        )
        for question, text in texts.items()
    )
    notes = tuple(
        Note(_STAGE, "skipped_record", doc_id=one.document.id, amount=one.unanswered, detail="no answer is given")
        for one in own
        if one.unanswered
    )
    return Judged(queries, qrels, notes), [article.document for article in own]


def _articles(path: Path) -> Iterator[_Article]:
    """The articles of a file.

    Raises:
        DataError: It is not in SQuAD's format; names the article.
    """
    number = 0
    try:
        records: Sequence[Mapping[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["data"]
        for number, record in enumerate(records, start=1):
            yield _article(record, number)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(
            f"article {number} can not be read ({type(error).__name__}: {error})",
            stage=_STAGE,
            value=str(path),
            accepted="SQuAD's format: data, of paragraphs with context and qas",
        ) from error


def _article(record: Mapping[str, Any], number: int) -> _Article:
    """One article: its paragraphs as one document, and their questions."""
    paragraphs = record["paragraphs"]
    title = str(record.get("title", ""))
    named = [str(one) for one in (paragraphs[0].get("document_id"), title) if one is not None and one != ""]
    text = _BETWEEN.join(paragraph["context"] for paragraph in paragraphs)
    article = _Article(Document(named[0] if named else f"article {number}", text, title=title))
    before = 0  # characters of the article before the paragraph
    for paragraph in paragraphs:
        for question in paragraph["qas"]:
            answers = question["answers"]
            if question.get("is_impossible") or not answers:
                article.unanswered += 1
                continue
            spans = [_span(paragraph["context"], one["text"], int(one["answer_start"])) for one in answers]
            article.questions.append(
                _Question(
                    str(question["id"]),
                    question["question"],
                    [one["text"] for one in answers],
                    [(before + span[0], before + span[1]) for span in spans if span is not None],
                )
            )
        before += len(paragraph["context"]) + len(_BETWEEN)
    return article


def _span(context: str, answer: str, marked: int) -> tuple[int, int] | None:
    """Where an answer stands that is nearest to where it is marked: files count some characters otherwise."""
    words = answer.strip()
    places = [found.span() for found in re.finditer(re.escape(words), context)] if words else []
    return min(places, key=lambda place: abs(place[0] - marked), default=None)


def _check_ids(articles: Sequence[_Article], path: Path) -> None:
    """Refuse ids that say two things, and tell questions apart whose ids say so within their article alone.

    Raises:
        DataError: Names the id.
    """
    numbers: dict[str, int] = {}
    meant: dict[str, set[str]] = {}  # question id -> the words of all that have it
    for number, article in enumerate(articles, start=1):
        doc_id = article.document.id
        own: dict[str, str] = {}  # question id -> its words
        if doc_id in numbers:
            known = numbers[doc_id]
            raise DataError(
                f"articles {known} and {number} have the same id",
                stage=_STAGE,
                value=doc_id,
                accepted="another document_id for each, or another title where there is none",
                fix=f"mend {path.name}",
            )
        numbers[doc_id] = number
        for asked in article.questions:
            words = same_words(asked.text)
            if own.setdefault(asked.id, words) != words:
                raise DataError(
                    f"two questions about the article {doc_id!r} have the same id",
                    stage=_STAGE,
                    value=asked.id,
                    accepted="another id for each question about an article",
                    fix=f"mend {path.name}",
                )
            meant.setdefault(asked.id, set()).add(words)
    if any(len(words) > 1 for words in meant.values()):
        for article in articles:
            for asked in article.questions:
                asked.id = f"{article.document.id}#{asked.id}"
