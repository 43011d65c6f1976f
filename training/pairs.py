"""The sources of a recipe: queries, the documents they are asked of, and which are relevant."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from rankloom.corpus import Corpus
from rankloom.errors import DataError, NotFoundError
from rankloom.eval.collections import load_collection
from rankloom.eval.sources import data_folder
from rankloom.lines import json_lines
from rankloom.records import Document, Query
from rankloom.session import Session
from rankloom.training.recipe_config import Pairs, TrainingSource

_STAGE = "training"
_Item = TypeVar("_Item")
_SHORTEST = 15  # characters of a query or document that say something


@dataclass(frozen=True, slots=True)
class SourceTexts:
    """Queries and documents of one source.

    Args:
        source: What it was read from.
        corpus: The documents.
        queries: To be trained on.
        held_out: To be measured on; never trained on.
        relevant: Query id -> document id -> grade, of both.
        texts: All documents of the source, also those that were not drawn; for counting terms.
    """

    source: TrainingSource
    corpus: Corpus
    queries: tuple[Query, ...]
    held_out: tuple[Query, ...]
    relevant: Mapping[str, Mapping[str, int]]
    texts: tuple[str, ...]

    def relevant_to(self, query_id: str) -> dict[str, int]:
        """Document id -> grade, of the relevant documents of a query that the corpus has."""
        grades = {doc_id: grade for doc_id, grade in self.relevant.get(query_id, {}).items() if grade > 0}
        codes = self.corpus.ids.codes(list(grades)).tolist()
        return {doc_id: grade for (doc_id, grade), code in zip(grades.items(), codes, strict=True) if code >= 0}


def read_source(source: TrainingSource, session: Session, *, seed: int) -> SourceTexts:
    """Read a source.

    Args:
        source: Which.
        session: Where corpora are cached.
        seed: Of the draws.

    Raises:
        NotFoundError: The collection or file is not there.
        DataError: A record lacks a field.
    """
    if source.pairs is None:
        collection = load_collection(str(source.collection), session=session)
        queries = list(collection.queries)
        if source.limit is not None:
            queries = _shuffled(queries, seed)[: source.limit]
        corpus, relevant = collection.corpus, collection.qrels
        texts = tuple(document.contents for document in corpus)
    else:
        pairs = _read_pairs(source.pairs)
        texts = tuple(dict.fromkeys(document for _, document in pairs))
        drawn = _shuffled(pairs, seed)[: source.limit]
        queries = [Query(f"q{number}", query) for number, (query, _) in enumerate(drawn)]
        codes = {text: f"d{code}" for code, text in enumerate(dict.fromkeys(document for _, document in drawn))}
        corpus = Corpus.of([Document(code, text) for text, code in codes.items()])
        relevant = {f"q{number}": {codes[document]: 1} for number, (_, document) in enumerate(drawn)}
    shuffled = _shuffled(queries, seed)
    held, rest = shuffled[: source.validation], shuffled[source.validation :]
    if not rest:
        raise DataError("no query is left to be trained on", stage=_STAGE, value=source.name)
    return SourceTexts(source, corpus, tuple(rest), tuple(held), relevant, texts)


def _read_pairs(pairs: Pairs) -> list[tuple[str, str]]:
    """Queries and documents of a file, in its order, without those that are too short to say something."""
    path = Path(pairs.file)
    root = data_folder()
    if not path.is_file() and root is not None:
        path = root / pairs.file
    if not path.is_file():
        raise NotFoundError(
            "there is no such file of pairs", stage=_STAGE, value=pairs.file, fix="let RANKLOOM_DATA name its folder"
        )
    found = []
    for number, record in _records(path):
        try:
            texts = [record[field] for field in (pairs.query, pairs.document)]
            query, document = (" ".join(text) if isinstance(text, list) else str(text) for text in texts)
        except (KeyError, TypeError) as error:
            raise DataError(f"record {number} lacks a field ({error})", stage=_STAGE, value=str(path)) from error
        if min(len(query), len(document)) >= _SHORTEST:
            found.append((query, document))
    return found


def _records(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Records of JSON Lines or of a JSON array, numbered from 1."""
    if path.suffix == ".jsonl":
        return list(json_lines(path, stage=_STAGE))
    try:
        array = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"the file is not JSON ({error})", stage=_STAGE, value=str(path)) from error
    return list(enumerate(array, start=1))


def _shuffled(items: Sequence[_Item], seed: int) -> list[_Item]:
    """Items in an order that the seed tells."""
    return [items[place] for place in np.random.default_rng(seed).permutation(len(items)).tolist()]
