"""Sources of texts with labelled sentences: what is trained on, what is held out, and why something is left out."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from rankloom.corpus import Corpus
from rankloom.errors import DataError, NotFoundError
from rankloom.eval.collections import load_collection
from rankloom.eval.labelled_sentences import LabelledFile, LabelledText, find_labelled, read_labelled
from rankloom.records import Document, Query
from rankloom.session import Session
from rankloom.training.held_out_texts import Split, drawn, hold_out, sentences_of, shares
from rankloom.training.pairs import IN_TEST, SourceTexts, same_text
from rankloom.training.provence_config import LabelledSource
from rankloom.training.recipe_config import measured_on

_STAGE = "training"
_log = logging.getLogger("rankloom")


@dataclass(frozen=True, slots=True)
class SplitSource:
    """What one source gives.

    Args:
        source: Its questions and documents, as mining takes them.
        training: To train on; none has a sentence of a text that any source holds out.
        held_out: To be measured on: of other questions and of other texts.
        helping: Question -> sentences that are relevant in a text of any source; both as `same_text` leaves them.
        counts: What was left out, and why.
    """

    source: SourceTexts
    training: tuple[LabelledText, ...]
    held_out: tuple[LabelledText, ...]
    helping: Mapping[str, set[str]]
    counts: dict[str, int]


def read_labelled_sources(
    sources: Sequence[LabelledSource], session: Session, *, seed: int, seen: Collection[str] = ()
) -> list[SplitSource]:
    """Read sources; what one of them holds out, or has in a split to measure on, is trained on in none.

    Questions that are held out, and texts that share a sentence with held-out ones, are left out of every source.

    Args:
        sources: Which.
        session: Whether the network may be used.
        seed: Of the draws.
        seen: Questions that are not held out, as `same_text` leaves them: the model that training starts from was
            trained on them.

    Raises:
        NotFoundError: A file is not there.
        DataError: A file can not be read, is one to measure on, or has nothing left to be trained on.
    """
    counts = [Counter[str]() for _ in sources]
    files = [_file(source.labelled) for source in sources]
    read = [_usable(_each_once(read_labelled(file), some), some) for file, some in zip(files, counts, strict=True)]
    measured = {same_text(asked) for file in files for asked in _measured_questions(file, session)}
    split = []
    for source, texts, some in zip(sources, read, counts, strict=True):
        asked = [one for one in texts if same_text(one.question) not in measured]
        some[IN_TEST] += len({one.query_id for one in texts} - {one.query_id for one in asked})
        split.append(hold_out(drawn(asked, source.limit, seed=seed), source.validation, seen=seen, counts=some))
    helping = _helping(one for texts in read for one in texts)
    return [
        _together(source, one, helping, some)
        for source, one, some in zip(sources, _apart(split, counts), counts, strict=True)
    ]


def _apart(split: Sequence[Split], counts: Sequence[Counter[str]]) -> list[Split]:
    """What of sources is trained on: no question, and no text with a sentence, that any of them holds out."""
    held_out = [one for some in split for one in some.held_out]
    questions, sentences = {same_text(one.question) for one in held_out}, sentences_of(held_out)
    apart = []
    for one, some in zip(split, counts, strict=True):
        asked = [text for text in one.training if same_text(text.question) not in questions]
        training = [text for text in asked if not shares(text, sentences)]
        some["texts of questions that another source holds out"] += len(one.training) - len(asked)
        some["texts that share a sentence with held-out ones"] += len(asked) - len(training)
        apart.append(Split(training, one.held_out))
    return apart


def _helping(texts: Iterable[LabelledText]) -> dict[str, set[str]]:
    """Question -> its relevant sentences, both as `same_text` leaves them."""
    found: dict[str, set[str]] = {}
    for one in texts:
        sentences = {same_text(one.sentences[place]) for place in one.relevant}
        found.setdefault(same_text(one.question), set()).update(sentences)
    return found


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
    if not found.format.trained_on:
        raise DataError(
            "files of this format are for evaluation only",
            stage=_STAGE,
            value=found.name,
            fix="leave the source out",
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


def _each_once(texts: Sequence[LabelledText], counts: Counter[str]) -> list[LabelledText]:
    """Texts with one id for all questions of the same words, each once for a question.

    What is relevant in either record of a pair is relevant. Of one that is cut into other sentences the first counts.
    """
    first: dict[str, str] = {}
    by_pair: dict[tuple[str, str], LabelledText] = {}
    for one in texts:
        query_id = first.setdefault(same_text(one.question), one.query_id)
        known = by_pair.setdefault((query_id, one.doc_id), replace(one, query_id=query_id))
        if (known.title, known.text) != (one.title, one.text):
            raise DataError("one id stands for two texts", stage=_STAGE, value=one.doc_id, fix="give each its own id")
        if known.sentences != one.sentences:
            counts["cut into other sentences for the same question"] += 1
            continue
        merged = replace(known, relevant=tuple(sorted({*known.relevant, *one.relevant})))
        by_pair[query_id, one.doc_id] = merged
    return list(by_pair.values())


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


def _together(
    source: LabelledSource, split: Split, helping: Mapping[str, set[str]], counts: Counter[str]
) -> SplitSource:
    """A source with its documents, questions and judgements.

    Raises:
        DataError: Nothing is left to be trained on, or one id stands for two texts.
    """
    training, held_out = split
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
        document = Document(one.doc_id, one.text, title=one.title)
        if documents.setdefault(one.doc_id, document) != document:
            raise DataError("one id stands for two texts", stage=_STAGE, value=one.doc_id, fix=f"mend {source.name}")
        relevant.setdefault(one.query_id, {})[one.doc_id] = int(bool(one.relevant))
    told = SourceTexts(
        source, Corpus.of(list(documents.values())), _questions(training), _questions(held_out), relevant, texts=()
    )
    return SplitSource(told, tuple(training), tuple(held_out), helping, dict(+counts))


def _questions(texts: Iterable[LabelledText]) -> tuple[Query, ...]:
    """The questions of texts, each once."""
    first = {one.query_id: one.question for one in reversed(list(texts))}
    return tuple(Query(query_id, question) for query_id, question in sorted(first.items()))
