"""Examples for a query encoder that reads feedback: what the first stage finds, a relevant document, and negatives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from rankloom.records import Query
from rankloom.retrieval.dense import Dense
from rankloom.run import Run
from rankloom.session import Session
from rankloom.training.contrasts import Row
from rankloom.training.mined_examples import SourceExamples, data_of, examples_of, mining_session
from rankloom.training.pairs import SourceTexts, read_sources, same_text
from rankloom.training.prf_config import PrfRecipe


@dataclass(frozen=True, slots=True)
class FeedbackRow:
    """One example.

    Args:
        row: The query, and what must not stand with it in a batch.
        feedback: Texts of the documents that the first stage finds, best first.
        documents: Ids of the relevant document and of the negatives, in this order.
        shows_positive: Whether the relevant document is among the feedback.
    """

    row: Row
    feedback: tuple[str, ...]
    documents: tuple[str, ...]
    shows_positive: bool


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The held-out queries of one source.

    Args:
        queries: The queries.
        feedback: Texts of each query's documents, best first.
        relevant: Query id -> document id -> grade.
    """

    queries: tuple[Query, ...]
    feedback: tuple[tuple[str, ...], ...]
    relevant: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class FeedbackData:
    """What is learnt from and measured on.

    Args:
        rows: To train on.
        held_out: Source name -> what is measured on it.
        stages: Source name -> the first stage, whose index holds the documents' vectors.
        about: What the manifest is to say of each source.
    """

    rows: tuple[FeedbackRow, ...]
    held_out: Mapping[str, HeldOut]
    stages: Mapping[str, Dense]
    about: list[dict[str, Any]]

    def __len__(self) -> int:
        """How many queries are held out."""
        return sum(len(one.queries) for one in self.held_out.values())


def prepared(recipe: PrfRecipe, session: Session, output: Path) -> FeedbackData:
    """Read the sources of a recipe, mine them, and ask the first stage for feedback.

    Args:
        recipe: Names sources and pipelines.
        session: Where indexes and what is mined are kept, and whether the network may be used.
        output: Where what is mined is kept if there is no cache.

    Raises:
        NotFoundError: A source or a model is not there.
        DataError: The sources give no example.
    """
    mining = mining_session(recipe, session)
    sources = read_sources(recipe.sources, mining, seed=recipe.seed)
    examples, _ = examples_of(recipe, sources, mining, output)
    rows: list[FeedbackRow] = []
    held_out, stages = {}, {}
    for source, mined in zip(sources, examples, strict=True):
        name = source.source.name
        stages[name] = stage = Dense.for_corpus(source.corpus, mining, model=recipe.encoder.model)
        rows += _rows(source, mined, stage, recipe, mining)
        if source.held_out:
            found = _feedback(source, source.held_out, stage, recipe, mining, hidden=frozenset())
            relevant = {query.id: source.relevant_to(query.id) for query in source.held_out}
            held_out[name] = HeldOut(source.held_out, tuple(found[query.id] for query in source.held_out), relevant)
    about = [data_of(source, one) for source, one in zip(sources, examples, strict=True)]
    return FeedbackData(tuple(rows), held_out, stages, about)


def _rows(
    source: SourceTexts, mined: SourceExamples, stage: Dense, recipe: PrfRecipe, session: Session
) -> Iterable[FeedbackRow]:
    """The examples of one source, with feedback."""
    used = {one.query for one in mined.mined}
    queries = [query for query in source.queries if query.id in used]
    hidden = frozenset(query.id for query in queries if _draw(query, recipe.seed) < recipe.hide_positives)
    found = _feedback(source, queries, stage, recipe, session, hidden=hidden)
    for row, one in zip(mined.rows, mined.mined, strict=True):
        texts = found[one.query]
        shows = same_text(row.positive) in map(same_text, texts)
        yield FeedbackRow(row, texts, (one.positive, *one.negatives), shows)


def _draw(query: Query, seed: int) -> float:
    """A number from 0 to 1 that is the query's own, whatever other queries there are."""
    return float(np.random.default_rng([seed, crc32(query.id.encode()), 1]).random())


def _feedback(
    source: SourceTexts,
    queries: Sequence[Query],
    stage: Dense,
    recipe: PrfRecipe,
    session: Session,
    *,
    hidden: frozenset[str],
) -> dict[str, tuple[str, ...]]:
    """Query id -> the texts of its best documents; without relevant ones, and copies of those, for the hidden."""
    docs = recipe.encoder.docs
    relevant = {query.id: _texts(source, source.relevant_to(query.id)) for query in queries if query.id in hidden}
    deepest = docs + max(map(len, relevant.values()), default=0)
    found: Run = stage.at_depth(deepest).run(queries, session=session)
    texts: dict[str, tuple[str, ...]] = {}
    for query in queries:
        known = set(relevant.get(query.id, ()))
        read = [one.contents for one in source.corpus.get(found[query.id].doc_ids)]
        texts[query.id] = tuple(text for text in read if text.strip() and same_text(text) not in known)[:docs]
    return texts


def _texts(source: SourceTexts, doc_ids: Iterable[str]) -> list[str]:
    """The texts of documents, as `same_text` leaves them."""
    return [same_text(document.contents) for document in source.corpus.get(list(doc_ids))]
