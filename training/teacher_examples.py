"""Examples from a file of teachers' scores, in place of asking teachers; see `teacher_file.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from rankloom.corpus import Corpus
from rankloom.errors import DataError
from rankloom.eval.collections import load_collection
from rankloom.session import Session
from rankloom.training.distillation import Example
from rankloom.training.distillation_config import DistillationRecipe
from rankloom.training.examples import Examples
from rankloom.training.pairs import SourceTexts, data_file, read_sources, same_text
from rankloom.training.teacher_file import TEACHER, Triple, join, read_triples
from rankloom.training.training_folder import require_training

_STAGE = "training"
_MOST = 8  # documents that a held-out query brings to the pool it is measured in


def taught_by_file(recipe: DistillationRecipe, session: Session) -> tuple[list[SourceTexts], Examples]:
    """The source of a recipe, and an example of two documents for each triple of its training queries.

    Triples of queries that the source does not draw are left out, and counted. All others are held in memory.

    Args:
        recipe: Names one collection and a file of triples with its ids.
        session: Where the corpus is kept.

    Raises:
        NotFoundError: The collection or the file is not there.
        DataError: A line is malformed; an id is unknown, and `teachers.missing` is `error`; or no triple is left.
        MissingExtraError: The extra `train` is not installed.
    """
    require_training()
    (source,) = sources = read_sources(recipe.sources, session, seed=recipe.seed)
    path = data_file(str(recipe.teachers.file), what="scores of teachers")
    # queries that ask the same are one: what a file says of any of them counts for the one that was kept
    drawn = {same_text(query.text): query.text for query in (*source.queries, *source.held_out)}
    collection = load_collection(str(recipe.sources[0].collection), session=session)
    queries = {query.id: drawn.get(same_text(query.text), "") for query in collection.queries}
    left_out = Counter[str]()
    triples = _of_drawn(read_triples(path), queries, left_out)
    joined = join(triples, queries, _Contents(source.corpus), missing=recipe.teachers.missing)
    left_out.update({f"triples of an unknown {kind}": count for kind, count in joined.missing.items()})
    held = {query.text for query in source.held_out}
    training = tuple(one for one in joined.examples if one.query not in held)
    if not training:
        raise DataError(
            f"the file has no triple of a query that is trained on; left out: {dict(+left_out)}",
            stage=_STAGE,
            value=str(path),
            fix="name the collection and split that the scores are of",
        )
    held_out = tuple(_pooled([one for one in joined.examples if one.query in held]))
    return sources, Examples(training, held_out, (dict(+left_out),))


def _of_drawn(triples: Iterable[Triple], queries: Mapping[str, str], left_out: Counter[str]) -> Iterator[Triple]:
    """Triples but those of queries that were not drawn; those of unknown queries are left to be reported."""
    for triple in triples:
        if queries.get(triple.query) == "":
            left_out["triples of queries that are not drawn"] += 1
        else:
            yield triple


def _pooled(examples: Iterable[Example]) -> Iterator[Example]:
    """One example for each query and relevant document, with its first few other documents."""
    pools: dict[tuple[str, str], Example] = {}
    for one in examples:
        key = (one.query, one.texts[0])
        pool = pools.setdefault(key, replace(one, texts=one.texts[:1], scores={TEACHER: one.scores[TEACHER][:1]}))
        if one.texts[1] not in pool.texts and len(pool.texts) < _MOST:
            scores = {TEACHER: (*pool.scores[TEACHER], one.scores[TEACHER][1])}
            pools[key] = replace(pool, texts=(*pool.texts, one.texts[1]), scores=scores)
    return iter(pools.values())


class _Contents(Mapping[str, str]):
    """Id -> what is encoded of a document, read when asked for."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus

    def __getitem__(self, doc_id: str) -> str:
        if doc_id not in self:
            raise KeyError(doc_id)
        return self._corpus.get([doc_id])[0].contents

    def __contains__(self, doc_id: object) -> bool:
        return int(self._corpus.ids.codes([str(doc_id)])[0]) >= 0

    def __iter__(self) -> Iterator[str]:
        return iter(self._corpus.ids)

    def __len__(self) -> int:
        return len(self._corpus)
