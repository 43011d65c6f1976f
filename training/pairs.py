"""The sources of a recipe: queries, the documents they are asked of, and which are relevant."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from rankloom.corpus import Corpus
from rankloom.errors import DataError, NotFoundError
from rankloom.eval.collections import load_collection
from rankloom.eval.sources import data_folder
from rankloom.fingerprint import digest
from rankloom.lines import json_lines
from rankloom.records import Document, Query
from rankloom.session import Session
from rankloom.training.recipe_config import Pairs, Source, TrainingSource
from rankloom.training.test_split import test_queries

#: What model cards call the queries that were left out, as the collection's test split asks the same.
IN_TEST = "left out as queries of the test split"
_STAGE = "training"
_Item = TypeVar("_Item")
_SHORTEST = 15  # characters of a query or document that say something


@dataclass(frozen=True, slots=True)
class SourceTexts:
    """Queries and documents of one source.

    Args:
        source: What it was read from.
        corpus: The documents.
        queries: To be trained on; no two of them, nor of `held_out`, ask the same, and no query of a test split.
        held_out: To be measured on; never trained on.
        relevant: Query id -> document id -> grade, of both.
        texts: All documents of the source, also those that were not drawn; for counting terms.
        in_test: How many queries were left out, as the collection's test split asks the same.
    """

    source: Source
    corpus: Corpus
    queries: tuple[Query, ...]
    held_out: tuple[Query, ...]
    relevant: Mapping[str, Mapping[str, int]]
    texts: tuple[str, ...]
    in_test: int = 0

    def relevant_to(self, query_id: str) -> dict[str, int]:
        """Document id -> grade, of the relevant documents of a query that the corpus has."""
        grades = {doc_id: grade for doc_id, grade in self.relevant.get(query_id, {}).items() if grade > 0}
        codes = self.corpus.ids.codes(list(grades)).tolist()
        return {doc_id: grade for (doc_id, grade), code in zip(grades.items(), codes, strict=True) if code >= 0}

    def fingerprint(self) -> str:
        """A digest of all but `texts`, so that another file under the same name is another source."""
        queries = [(query.id, query.text) for query in self.queries]
        held_out = [(query.id, query.text) for query in self.held_out]
        return digest(self.source.model_dump(), self.corpus.fingerprint(), queries, held_out, self.relevant)


def read_sources(sources: Sequence[TrainingSource], session: Session, *, seed: int) -> list[SourceTexts]:
    """Read sources; what one of them holds out is not trained on in another either.

    Args:
        sources: Which.
        session: Where corpora are cached.
        seed: Of the draws.

    Raises:
        NotFoundError: A collection or file is not there.
        DataError: A record lacks a field, or a source has no query left to be trained on.
    """
    found = [read_source(one, session, seed=seed) for one in sources]
    held = {same_text(query.text) for one in found for query in one.held_out}
    left = [
        replace(one, queries=tuple(query for query in one.queries if same_text(query.text) not in held))
        for one in found
    ]
    for one in left:
        _trained_on(one)
    return left


def read_source(source: TrainingSource, session: Session, *, seed: int) -> SourceTexts:
    """Read a source. Queries that ask the same become one, with the relevant documents of all of them.

    Queries that the collection's test split asks too are left out, and counted.

    Args:
        source: Which.
        session: Where corpora are cached.
        seed: Of the draws.

    Raises:
        NotFoundError: The collection or file is not there.
        DataError: A record lacks a field, the collection is a test split, or no query is left to be trained on.
    """
    in_test = 0
    if source.pairs is None:
        collection = load_collection(str(source.collection), session=session)
        tested = {same_text(query.text) for query in test_queries(collection, session)}
        queries, relevant = _each_once(collection.queries, collection.qrels)
        kept = [query for query in _shuffled(queries, seed) if same_text(query.text) not in tested]
        drawn, in_test = kept[: source.limit], len(queries) - len(kept)
        corpus, texts = collection.corpus, tuple(document.contents for document in collection.corpus)
    else:
        pairs = _read_pairs(source.pairs)
        texts = tuple(dict.fromkeys(document for _, document in pairs))
        codes = {text: f"d{code}" for code, text in enumerate(texts)}
        queries, relevant = _each_once(
            [Query(f"q{number}", query) for number, (query, _) in enumerate(pairs)],
            {f"q{number}": {codes[document]: 1} for number, (_, document) in enumerate(pairs)},
        )
        drawn = _shuffled(queries, seed)[: source.limit]
        answers = {doc_id for query in drawn for doc_id in relevant[query.id]}
        corpus = Corpus.of([Document(doc_id, text) for text, doc_id in codes.items() if doc_id in answers])
        relevant = {query.id: relevant[query.id] for query in drawn}
    held, rest = drawn[: source.validation], drawn[source.validation :]
    return _trained_on(SourceTexts(source, corpus, tuple(rest), tuple(held), relevant, texts, in_test))


def data_file(name: str, *, what: str) -> Path:
    """A file that a recipe names: as it is written, or from the data folder (RANKLOOM_DATA).

    Args:
        name: Its path.
        what: What it holds, for the error.

    Raises:
        NotFoundError: It is in neither place.
    """
    root = data_folder()
    places = [Path(name), *([root / name] if root is not None else [])]
    for place in places:
        if place.is_file():
            return place
    fix = "let RANKLOOM_DATA name its folder"
    raise NotFoundError(f"there is no such file of {what}", stage=_STAGE, value=name, fix=fix)


def same_text(text: str) -> str:
    """What two texts have in common that differ in case and spaces alone."""
    return " ".join(text.casefold().split())


def _each_once(
    queries: Sequence[Query], relevant: Mapping[str, Mapping[str, int]]
) -> tuple[list[Query], dict[str, dict[str, int]]]:
    """Queries of different texts; the first of those that ask the same has the best grades of all of them.

    A question with several answers often stands in a file once for each. Else it could be both trained on and held out,
    and its other answers would be negatives.
    """
    first: dict[str, Query] = {}
    grades: dict[str, dict[str, int]] = {}
    for query in queries:
        kept = first.setdefault(same_text(query.text), query)
        of_query = grades.setdefault(kept.id, {})
        for doc_id, grade in relevant.get(query.id, {}).items():
            of_query[doc_id] = max(grade, of_query.get(doc_id, grade))
    return list(first.values()), grades


def _trained_on(source: SourceTexts) -> SourceTexts:
    """The source, if it has queries to be trained on."""
    if not source.queries:
        raise DataError(
            "no query is left to be trained on",
            stage=_STAGE,
            value=source.source.name,
            fix="lower the validation of the source, or raise its limit",
        )
    return source


def _read_pairs(pairs: Pairs) -> list[tuple[str, str]]:
    """Queries and documents of a file, in its order, without those that are too short to say something."""
    path = data_file(pairs.file, what="pairs")
    found = []
    for number, record in _records(path):
        try:
            texts = [_field(record, name) for name in (pairs.query, pairs.document)]
            query, document = (" ".join(text) if isinstance(text, list) else str(text) for text in texts)
        except (KeyError, TypeError) as error:
            raise DataError(
                f"record {number} lacks a field ({error})",
                stage=_STAGE,
                value=str(path),
                accepted=f"records with {pairs.query} and {pairs.document}",
                fix="name the fields of the file as `query` and `document` of the pairs",
            ) from error
        if min(len(query), len(document)) >= _SHORTEST:
            found.append((query, document))
    return found


def _field(record: Any, name: str) -> Any:
    """What a record has under names that are parted by dots; of a list, what all its records have."""
    for part in name.split("."):
        record = [one[part] for one in record] if isinstance(record, list) else record[part]
    return record


def _records(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Records of JSON Lines or of a JSON array, numbered from 1."""
    if path.suffix == ".jsonl":
        return list(json_lines(path, stage=_STAGE))
    try:
        array = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(
            f"the file is not JSON ({error})",
            stage=_STAGE,
            value=str(path),
            accepted="a JSON array; JSON Lines in a file named .jsonl",
            fix="give JSON Lines the ending .jsonl, or mend the file",
        ) from error
    return list(enumerate(array, start=1))


def _shuffled(items: Sequence[_Item], seed: int) -> list[_Item]:
    """Items in an order that the seed tells."""
    return [items[place] for place in np.random.default_rng(seed).permutation(len(items)).tolist()]
