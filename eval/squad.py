"""Files of questions about articles in SQuAD's format, as collections whose documents are whole articles.

A question's relevant documents are the articles that it is asked of, and its answers are kept. The format knows no
splits, so articles are put in the order of a digest of their ids: half of them are `test`, a tenth `validation`, the
others `train`, each with its own questions alone. What is trained on one has then not seen the articles of another.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rankloom.errors import DataError, NotFoundError
from rankloom.eval.sources import Judged, data_folder
from rankloom.ledger import Note
from rankloom.qrels import Qrels
from rankloom.records import Document, Query
from rankloom.yaml_file import find_beside

_STAGE = "load_collection"
_ENDING = ".json"
_BETWEEN = "\n\n"  # an article's paragraphs
#: Split -> where its articles begin and end, in hundredths of all.
SPLITS = {"test": (0, 50), "validation": (50, 60), "train": (60, 100)}
_FOLDERS = ("", "sentences", "qa")  # of the data folder, where such files lie


@dataclass(frozen=True, slots=True)
class SquadFile:
    """A split of such a file.

    Args:
        name: What the file was called.
        path: Where it is.
        split: One of `SPLITS`.
    """

    name: str
    path: Path
    split: str


@dataclass(slots=True)
class _Question:
    """A question and its answers in one article.

    Args:
        id: Of the question.
        text: The question.
        answers: Its answers.
        starts: Where answers stand in the article's text; those are left out that do not stand in their paragraph.
    """

    id: str
    text: str
    answers: list[str]
    starts: list[int]


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


def find_squad(name: str, split: str | None, folder: Path = Path()) -> SquadFile | None:
    """The file that a name stands for, such as `covid-qa.json/train`, or None.

    Args:
        name: A path, or what the file is called in the data folder, perhaps followed by a slash and a split; else the
            split is `test`.
        split: The split, if it is not in the name.
        folder: Where a relative path starts, if it does not in the current folder.

    Raises:
        NotFoundError: The file is there, but there is no such split.
    """
    base, ending, named = name.partition(f"{_ENDING}/")
    called = f"{base}{_ENDING}" if ending else name
    if not called.endswith(_ENDING):
        return None
    path = find_beside(called, folder, Path.is_file) or _in_data(called)
    if path is None:
        return None
    wanted = split or named or "test"
    if wanted not in SPLITS:
        raise NotFoundError(
            "a file in SQuAD's format has no split of that name", stage=_STAGE, value=wanted, accepted=", ".join(SPLITS)
        )
    return SquadFile(called, path, wanted)


def read_squad(found: SquadFile) -> tuple[Judged, list[Document]]:
    """The questions, judgements and articles of a split.

    Questions of the same words are one, which is relevant to every article that it is asked of. Queries carry their
    `answers`, and as `answer_starts`, by article, where these stand in its text. Where the ids of a file's questions
    begin anew with each article, they get the article's id before them.

    Raises:
        DataError: The file is not in SQuAD's format, has too few articles for the split, or one id for two articles, or
            for two questions about one article.
    """
    everything = list(_articles(found.path))
    _check_ids(everything, found.path)
    articles = sorted(everything, key=lambda one: _digest(one.document.id))
    begin, end = (share * len(articles) // 100 for share in SPLITS[found.split])
    own = articles[begin:end]
    if not own:
        raise DataError(f"{len(articles)} articles are too few for a split", stage=_STAGE, value=str(found.path))
    first: dict[str, str] = {}  # words -> the id of the first question of these words
    texts: dict[str, str] = {}
    answers: dict[str, list[str]] = {}
    starts: dict[str, dict[str, list[int]]] = {}
    qrels: Qrels = {}
    for article in own:
        for asked in article.questions:
            question = first.setdefault(_words(asked.text), asked.id)
            texts.setdefault(question, asked.text)
            qrels.setdefault(question, {})[article.document.id] = 1
            answers.setdefault(question, []).extend(asked.answers)
            starts.setdefault(question, {}).setdefault(article.document.id, []).extend(asked.starts)
    queries = tuple(
        Query(
            question,
            text,
            metadata={"answers": list(dict.fromkeys(answers[question])), "answer_starts": starts[question]},
        )
        for question, text in texts.items()
    )
    notes = tuple(
        Note(_STAGE, "skipped_record", doc_id=one.document.id, amount=one.unanswered, detail="no answer is given")
        for one in own
        if one.unanswered
    )
    return Judged(queries, qrels, notes), [article.document for article in own]


def _in_data(name: str) -> Path | None:
    """The file of that name in the data folder."""
    data = data_folder()
    places = [] if data is None else [data / folder / name for folder in _FOLDERS]
    return next((place for place in places if place.is_file()), None)


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
            starts = [_start(paragraph["context"], one["text"], int(one["answer_start"])) for one in answers]
            article.questions.append(
                _Question(
                    str(question["id"]),
                    question["question"],
                    [one["text"] for one in answers],
                    [before + start for start in starts if start is not None],
                )
            )
        before += len(paragraph["context"]) + len(_BETWEEN)
    return article


def _start(context: str, answer: str, marked: int) -> int | None:
    """Where an answer stands that is nearest to where it is marked: files count some characters otherwise."""
    words = answer.strip()
    places = [found.start() for found in re.finditer(re.escape(words), context)] if words else []
    return min(places, key=lambda place: abs(place - marked), default=None)


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
            words = _words(asked.text)
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


def _words(question: str) -> str:
    """What questions have in common that are the same one."""
    return " ".join(question.casefold().split())


def _digest(doc_id: str) -> str:
    """What articles are ordered by."""
    return hashlib.sha256(doc_id.encode()).hexdigest()
