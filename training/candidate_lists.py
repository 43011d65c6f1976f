"""Candidates of training queries with their grades: lists with several relevant documents, as a measure of lists needs.

Losses that tell one relevant document from negatives take rows (`rankloom.training.contrasts`); nDCG asks for more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankloom.session import Session
from rankloom.training.contrastive_config import MinedRecipe
from rankloom.training.hard_negatives import Mined
from rankloom.training.mined_examples import data_of, examples_of, mining_session
from rankloom.training.pairs import SourceTexts, read_sources
from rankloom.training.pool import Pool


@dataclass(frozen=True, slots=True)
class CandidateList:
    """A query and documents to be put in order.

    Args:
        query: What is asked.
        texts: The documents; as many in each list of a training.
        gains: What each of them is worth: its grade, 0 where it is not relevant.
    """

    query: str
    texts: tuple[str, ...]
    gains: tuple[float, ...]


def prepared(
    recipe: MinedRecipe, session: Session, output: Path
) -> tuple[list[CandidateList], Pool, list[dict[str, Any]]]:
    """Read the sources of a recipe, mine them, and make one list of each query.

    Args:
        recipe: Names sources and pipelines. A list has `negatives.count` + 1 documents.
        session: Where pipelines keep their indexes and what is mined, and whether the network may be used.
        output: Where what is mined is kept if there is no cache.

    Returns:
        The lists to train on, the pool of all held-out queries, and what the manifest is to say of each source.

    Raises:
        NotFoundError: A source is not there.
        DataError: The sources give no example.
    """
    mining = mining_session(recipe, session)
    sources = read_sources(recipe.sources, mining, seed=recipe.seed)
    examples, pool = examples_of(recipe, sources, mining, output)
    told = list(zip(sources, examples, strict=True))
    lists = [one for source, found in told for one in lists_of(source, found.mined, recipe.negatives.count + 1)]
    return lists, pool, [data_of(source, found) for source, found in told]


def lists_of(source: SourceTexts, mined: Sequence[Mined], documents: int) -> Iterator[CandidateList]:
    """One list for each query: its relevant documents, filled up with the negatives of the best of them.

    Args:
        source: Texts and grades.
        mined: Examples of its queries, those of a query in the order of grades; fewer of each query than `documents`,
            and `documents` - 1 negatives in each.
        documents: Of a list.
    """
    queries = {query.id: query.text for query in source.queries}
    by_query: dict[str, list[Mined]] = {}
    for one in mined:
        by_query.setdefault(one.query, []).append(one)
    for query_id, examples in by_query.items():
        relevant = [one.positive for one in examples]
        doc_ids = [*relevant, *examples[0].negatives[: documents - len(relevant)]]
        grades = source.relevant_to(query_id)
        texts = tuple(document.contents for document in source.corpus.get(doc_ids))
        yield CandidateList(queries[query_id], texts, tuple(float(grades.get(doc_id, 0)) for doc_id in doc_ids))
