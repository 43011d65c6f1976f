"""What a Provence model learns from: passages of labelled texts, and of what a first stage finds besides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from rankloom.eval.labelled_sentences import LabelledText
from rankloom.session import Session
from rankloom.training.labelled_texts import LabelledTexts, read_labelled_sources
from rankloom.training.mined_examples import SourceExamples, data_of, examples_of, mining_session
from rankloom.training.passages import negative_passage, passages_of
from rankloom.training.provence_config import ProvenceRecipe


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
        passages: To train on, no two alike.
        held_out: Whole texts with labels, of questions and texts that are not trained on.
        lists: Held-out questions with documents to put in order.
        data: What the manifest is to say of each source.
    """

    passages: tuple[LabelledText, ...]
    held_out: tuple[LabelledText, ...]
    lists: tuple[HeldOutList, ...]
    data: list[dict[str, Any]]


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
    sources = read_labelled_sources(recipe.sources, mining, seed=recipe.seed)
    examples, pool = examples_of(recipe, [one.source for one in sources], mining, output)
    passages: dict[tuple[str, str, tuple[str, ...]], LabelledText] = {}
    data = []
    for source, mined in zip(sources, examples, strict=True):
        before, drawn = len(passages), 0
        for passage in chain(_labelled(source, recipe), _mined(source, mined, recipe)):
            passages.setdefault((passage.question, passage.title, passage.sentences), passage)
            drawn += 1
        told = data_of(source.source, mined)
        told["counts"] |= source.counts | _counts(source, drawn, list(passages.values())[before:])
        data.append(told)
    lists = [one for source in sources for one in _lists(source, pool.candidates)]
    held_out = tuple(one for source in sources for one in source.held_out)
    return ProvenceData(tuple(passages.values()), held_out, tuple(lists), data)


def _labelled(source: LabelledTexts, recipe: ProvenceRecipe) -> Iterator[LabelledText]:
    """Passages of labelled texts."""
    for text in source.training:
        yield from passages_of(text, recipe.passages, seed=recipe.seed)


def _mined(source: LabelledTexts, mined: SourceExamples, recipe: ProvenceRecipe) -> Iterator[LabelledText]:
    """Passages of mined negatives, of which no sentence helps to answer the question."""
    texts = {one.doc_id: one for one in (*source.held_out, *source.training)}
    questions = {query.id: query.text for query in source.source.queries}
    closed = {one.doc_id for one in source.held_out}
    for one in mined.mined:
        for doc_id in one.negatives:
            if doc_id not in closed:
                text = texts[doc_id]
                negative = LabelledText(one.query, questions[one.query], doc_id, text.title, text.sentences, ())
                yield negative_passage(negative, recipe.passages, seed=recipe.seed)


def _counts(source: LabelledTexts, drawn: int, fresh: Sequence[LabelledText]) -> dict[str, int]:
    """What there is to be told of a source's texts and passages."""
    counts = Counter(
        {
            "labelled texts": len(source.training),
            "held-out labelled texts": len(source.held_out),
            "passages": len(fresh),
            "passages with a relevant sentence": sum(bool(one.relevant) for one in fresh),
            "passages that were drawn before": drawn - len(fresh),
        }
    )
    return dict(+counts)


def _lists(source: LabelledTexts, candidates: dict[str, list[str]]) -> Iterator[HeldOutList]:
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
