"""Files of questions about articles in SQuAD's format, as collections whose documents are whole articles.

A question's relevant documents are the articles that it is asked of, and its answers are kept. The format knows no
splits, so articles are put in the order of a digest of their ids: half of them are `test`, a tenth `validation`, the
others `train`, each with its own questions alone. What is trained on one has then not seen the articles of another.
"""

from __future__ import annotations

import hashlib
import json
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
class _Article:
    """An article and what is asked of it.

    Args:
        document: The article.
        questions: Question id -> text, of those that it answers.
        answers: Question id -> answers.
        unanswered: How many it does not answer.
    """

    document: Document
    questions: dict[str, str] = field(default_factory=dict)
    answers: dict[str, list[str]] = field(default_factory=dict)
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

    Questions of the same words are one, which is relevant to every article that it is asked of.

    Raises:
        DataError: The file is not in SQuAD's format, or has too few articles for the split.
    """
    articles = sorted(_articles(found.path), key=lambda one: _digest(one.document.id))
    begin, end = (share * len(articles) // 100 for share in SPLITS[found.split])
    own = articles[begin:end]
    if not own:
        raise DataError(f"{len(articles)} articles are too few for a split", stage=_STAGE, value=str(found.path))
    first: dict[str, str] = {}  # words -> the id of the first question of these words
    texts: dict[str, str] = {}
    answers: dict[str, list[str]] = {}
    qrels: Qrels = {}
    for article in own:
        for asked, text in article.questions.items():
            question = first.setdefault(" ".join(text.casefold().split()), asked)
            texts.setdefault(question, text)
            qrels.setdefault(question, {})[article.document.id] = 1
            answers.setdefault(question, []).extend(article.answers[asked])
    queries = tuple(
        Query(question, text, metadata={"answers": list(dict.fromkeys(answers[question]))})
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
    named = paragraphs[0].get("document_id") or title or f"article {number}"
    text = "\n\n".join(paragraph["context"] for paragraph in paragraphs)
    article = _Article(Document(str(named), text, title=title))
    for question in (question for paragraph in paragraphs for question in paragraph["qas"]):
        answers = [answer["text"] for answer in question["answers"]]
        if question.get("is_impossible") or not answers:
            article.unanswered += 1
            continue
        article.questions[str(question["id"])] = question["question"]
        article.answers[str(question["id"])] = answers
    return article


def _digest(doc_id: str) -> str:
    """What articles are ordered by."""
    return hashlib.sha256(doc_id.encode()).hexdigest()
