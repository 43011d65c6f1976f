"""What a Provence model learns from: passages of labelled texts, and of what a first stage finds besides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankloom.eval.labelled_sentences import LabelledText
from rankloom.session import Session
from rankloom.training.held_out_texts import shares
from rankloom.training.labelled_texts import SplitSource, read_labelled_sources
from rankloom.training.mined_examples import SourceExamples, data_of, examples_of, mining_session
from rankloom.training.pairs import same_text
from rankloom.training.passages import negative_passage, passages_of
from rankloom.training.provence_config import ProvenceRecipe
from rankloom.training.trained_before import trained_before

if TYPE_CHECKING:
    from rankloom.training.provence_reading import Laid


_AGAIN = "passages that were drawn before"


@dataclass(frozen=True, slots=True)
class HeldOutList:
    """A held-out question and the documents that a first stage finds for it.

    Args:
        texts: The documents, each with the question, the best first; then relevant ones that were not found. They have
            no labels.
        relevant: Which of them are relevant, by place.
    """

    texts: tuple[LabelledText, ...]
    relevant: frozenset[int]


@dataclass(frozen=True, slots=True)
class ProvenceData:
    """What is trained on and measured.

    Args:
        passages: To train on, no two alike, source after source.
        sizes: How many of them are of each source.
        held_out: Whole texts with labels, of questions and texts that are not trained on.
        lists: Held-out questions with documents to put in order.
        data: What the manifest is to say of each source.
        start_unknown: Sources of the model that training starts from of which it is not known what they asked.
    """

    passages: tuple[LabelledText, ...]
    sizes: tuple[int, ...]
    held_out: tuple[LabelledText, ...]
    lists: tuple[HeldOutList, ...]
    data: list[dict[str, Any]]
    start_unknown: tuple[str, ...]


def prepared(recipe: ProvenceRecipe, session: Session, output: Path) -> ProvenceData:
    """Read the sources of a recipe, mine them, and draw passages.

    Args:
        recipe: Names sources and pipelines.
        session: Where pipelines keep their indexes and what is mined, and whether the network may be used.
        output: Where what is mined is kept if there is no cache.

    Raises:
        NotFoundError: A source is not there.
        DataError: A source gives nothing.
    """
    mining = mining_session(recipe, session)
    before = trained_before(recipe.encoder.start, mining)
    sources = read_labelled_sources(recipe.sources, mining, seed=recipe.seed, seen=before.questions)
    examples, pool = examples_of(recipe, [one.source for one in sources], mining, output)
    passages: dict[tuple[str, str, tuple[str, ...]], LabelledText] = {}
    data, sizes = [], []
    for source, mined in zip(sources, examples, strict=True):
        known, counts = len(passages), Counter(source.counts)
        for passage in chain(_labelled(source, recipe), _mined(source, mined, recipe, counts)):
            passages.setdefault((passage.question, passage.title, passage.sentences), passage)
            counts[_AGAIN] += 1
        sizes.append(len(passages) - known)
        counts[_AGAIN] -= sizes[-1]
        counts.update({"labelled texts": len(source.training), "held-out labelled texts": len(source.held_out)})
        told = data_of(source.source, mined)
        told["counts"] |= dict(+counts)
        data.append(told)
    lists = [one for source in sources for one in _lists(source, pool.candidates)]
    held_out = tuple(one for source in sources for one in source.held_out)
    return ProvenceData(tuple(passages.values()), tuple(sizes), held_out, tuple(lists), data, before.unknown)


def read_once(data: ProvenceData, laid: Iterable[Laid]) -> tuple[list[Laid], list[dict[str, Any]]]:
    """What is read of passages, each once, and what the manifest is to say of each source.

    Two passages may begin alike, and be the same as far as they are read.

    Args:
        data: The passages.
        laid: What is read of each, in their order.
    """
    unlike: dict[tuple[str, str, tuple[str, ...]], Laid] = {}
    told: list[dict[str, Any]] = []
    rest = iter(laid)
    for source, size in zip(data.data, data.sizes, strict=True):
        known = len(unlike)
        for one in islice(rest, size):
            unlike.setdefault((one.passage.question, one.passage.title, one.passage.sentences), one)
        fresh = list(unlike.values())[known:]
        counts = Counter(
            {
                "passages": len(fresh),
                "passages with a relevant sentence": sum(bool(one.passage.relevant) for one in fresh),
                "passages that are read alike": size - len(fresh),
            }
        )
        told.append(source | {"counts": source["counts"] | dict(+counts)})
    return list(unlike.values()), told


def _labelled(source: SplitSource, recipe: ProvenceRecipe) -> Iterator[LabelledText]:
    """Passages of labelled texts."""
    for text in source.training:
        yield from passages_of(text, recipe.passages, seed=recipe.seed)


def _mined(
    source: SplitSource, mined: SourceExamples, recipe: ProvenceRecipe, counts: Counter[str]
) -> Iterator[LabelledText]:
    """Passages of mined negatives, of which no sentence helps to answer the question.

    One that has a sentence which is relevant in another text is none: left out, and counted.
    """
    texts = {one.doc_id: one for one in (*source.held_out, *source.training)}
    questions = {query.id: query.text for query in source.source.queries}
    closed = {one.doc_id for one in source.held_out}
    for one in mined.mined:
        for doc_id in one.negatives:
            text = texts[doc_id]
            if doc_id in closed:
                continue
            if shares(text, source.helping[same_text(questions[one.query])]):
                counts["negatives with a relevant sentence"] += 1
            else:
                negative = LabelledText(one.query, questions[one.query], doc_id, text.title, text.sentences, ())
                yield negative_passage(negative, recipe.passages, seed=recipe.seed)


def _lists(source: SplitSource, candidates: dict[str, list[str]]) -> Iterator[HeldOutList]:
    """Held-out questions with their candidates; those without a relevant document are left out."""
    texts = {one.doc_id: one for one in (*source.training, *source.held_out)}
    name = source.source.source.name
    for query in source.source.held_out:
        relevant = source.source.relevant_to(query.id)
        found = [one.partition("\t")[2] for one in candidates[f"{name}\t{query.id}"]]
        doc_ids = list(dict.fromkeys([*found, *sorted(relevant)]))
        if not relevant:
            continue
        asked = [replace(texts[one], query_id=query.id, question=query.text, relevant=()) for one in doc_ids]
        yield HeldOutList(
            tuple(asked),
            frozenset(place for place, doc_id in enumerate(doc_ids) if doc_id in relevant),
        )
