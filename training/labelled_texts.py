"""Sources of texts with labelled sentences: what is trained on, what is held out, and why something is left out."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rankloom.corpus import Corpus
from rankloom.errors import DataError, NotFoundError
from rankloom.eval.collections import load_collection
from rankloom.eval.labelled_sentences import LabelledFile, LabelledText, find_labelled, read_labelled
from rankloom.records import Document, Query
from rankloom.session import Session
from rankloom.training.pairs import IN_TEST, SourceTexts, same_text
from rankloom.training.provence_config import LabelledSource
from rankloom.training.recipe_config import measured_on

_STAGE = "training"
_log = logging.getLogger("rankloom")


@dataclass(frozen=True, slots=True)
class LabelledTexts:
    """What one source gives.

    Args:
        source: Its questions and documents, as mining takes them.
        training: To train on.
        held_out: To be measured on: of other questions and of other texts.
        counts: What was left out, and why.
    """

    source: SourceTexts
    training: tuple[LabelledText, ...]
    held_out: tuple[LabelledText, ...]
    counts: dict[str, int]


def read_labelled_sources(sources: Sequence[LabelledSource], session: Session, *, seed: int) -> list[LabelledTexts]:
    """Read sources; what one of them holds out, or has in a split to measure on, is trained on in none.

    Args:
        sources: Which.
        session: Whether the network may be used.
        seed: Of the draws.

    Raises:
        NotFoundError: A file is not there.
        DataError: A file can not be read, is one to measure on, or has nothing left to be trained on.
    """
    counts = [Counter[str]() for _ in sources]
    files = [_file(source.labelled) for source in sources]
    read = [_usable(_each_once(read_labelled(file)), some) for file, some in zip(files, counts, strict=True)]
    measured = {same_text(asked) for file in files for asked in _measured_questions(file, session)}
    split = []
    for source, texts, some in zip(sources, read, counts, strict=True):
        asked = [one for one in texts if same_text(one.question) not in measured]
        some[IN_TEST] += len({one.query_id for one in texts} - {one.query_id for one in asked})
        split.append(_held_out(_drawn(asked, source, seed), source, some))
    held = {same_text(one.question) for _, some in split for one in some}
    return [
        _together(source, [one for one in training if same_text(one.question) not in held], held_out, some)
        for source, (training, held_out), some in zip(sources, split, counts, strict=True)
    ]


def _file(name: str) -> LabelledFile:
    """The file of a source, which is none to measure on."""
    found = find_labelled(name)
    if found is None:
        raise NotFoundError(
            "there is no such file of labelled sentences",
            stage=_STAGE,
            value=name,
            fix="let RANKLOOM_DATA name its folder",
        )
    if measured_on(found.split) or found.path.stem.endswith("-test"):
        raise DataError(
            "a test or development split is not to be trained on",
            stage=_STAGE,
            value=found.name,
            accepted="a file without splits, or the split `train`",
            fix=f"name it {name}/train",
        )
    return found


def _measured_questions(file: LabelledFile, session: Session) -> Iterator[str]:
    """What is asked where a file's format says that models are measured: in its other splits, and in collections."""
    for split in file.format.splits:
        if measured_on(split):
            other = find_labelled(file.name.removesuffix(f"/{file.split}"), split)
            yield from () if other is None else (one.question for one in read_labelled(other))
    for name in file.format.tested:
        try:
            yield from (query.text for query in load_collection(name, session=session).queries)
        except NotFoundError:
            _log.warning("%s: %s is not on this machine; what it asks too is trained on", file.name, name)


def _each_once(texts: Sequence[LabelledText]) -> list[LabelledText]:
    """Texts with one id for all questions of the same words."""
    first: dict[str, str] = {}
    return [replace(one, query_id=first.setdefault(same_text(one.question), one.query_id)) for one in texts]


def _usable(texts: Iterable[LabelledText], counts: Counter[str]) -> list[LabelledText]:
    """Texts that something can be learnt from; the paper drops those of which the title alone was cited."""
    kept = []
    for one in texts:
        titled = bool(one.title) and bool(one.sentences) and same_text(one.sentences[0]) == same_text(one.title)
        if not one.sentences:
            counts["without a sentence"] += 1
        elif titled and one.relevant == (0,):
            counts["the title alone is relevant"] += 1
        else:
            kept.append(one)
    return kept


def _drawn(texts: Sequence[LabelledText], source: LabelledSource, seed: int) -> list[LabelledText]:
    """The texts of so many questions as the source is to give, question after question in a drawn order."""
    by_question: dict[str, list[LabelledText]] = {}
    for one in texts:
        by_question.setdefault(one.query_id, []).append(one)
    questions = list(by_question)
    places = np.random.default_rng(seed).permutation(len(questions))[: source.limit].tolist()
    return [one for place in places for one in by_question[questions[place]]]


def _held_out(
    texts: Sequence[LabelledText], source: LabelledSource, counts: Counter[str]
) -> tuple[list[LabelledText], list[LabelledText]]:
    """What is trained on, and what is not: texts are closed until they answer enough questions.

    A question whose texts are all closed is held out. One that has both is left out.
    """
    texts_of: dict[str, set[str]] = {}
    for one in texts:
        texts_of.setdefault(one.query_id, set()).add(one.doc_id)
    closed: set[str] = set()
    for own in texts_of.values():
        if sum(some <= closed for some in texts_of.values()) >= source.validation:
            break
        closed |= own
    training = [one for one in texts if closed.isdisjoint(texts_of[one.query_id])]
    held_out = [one for one in texts if texts_of[one.query_id] <= closed]
    counts["questions that share a text with held-out ones"] = sum(
        not closed.isdisjoint(some) and not some <= closed for some in texts_of.values()
    )
    return training, held_out


def _together(
    source: LabelledSource, training: Sequence[LabelledText], held_out: Sequence[LabelledText], counts: Counter[str]
) -> LabelledTexts:
    """A source with its documents, questions and judgements.

    Raises:
        DataError: Nothing is left to be trained on, or one id stands for two texts.
    """
    if not training:
        raise DataError(
            "no text is left to be trained on",
            stage=_STAGE,
            value=source.name,
            fix="lower the validation of the source, or raise its limit",
        )
    documents: dict[str, Document] = {}
    relevant: dict[str, dict[str, int]] = {}
    for one in (*training, *held_out):
        document = documents.setdefault(one.doc_id, Document(one.doc_id, one.text, title=one.title))
        if document.text != one.text:
            raise DataError("one id stands for two texts", stage=_STAGE, value=one.doc_id, fix=f"mend {source.name}")
        relevant.setdefault(one.query_id, {})[one.doc_id] = int(bool(one.relevant))
    told = SourceTexts(
        source, Corpus.of(list(documents.values())), _questions(training), _questions(held_out), relevant, texts=()
    )
    return LabelledTexts(told, tuple(training), tuple(held_out), dict(+counts))


def _questions(texts: Iterable[LabelledText]) -> tuple[Query, ...]:
    """The questions of texts, each once."""
    first = {one.query_id: one.question for one in reversed(list(texts))}
    return tuple(Query(query_id, question) for query_id, question in sorted(first.items()))
