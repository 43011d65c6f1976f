"""The examples of a recipe: its sources, asked of its teachers, once; kept in the cache for the next recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from rankloom.config import PipelineBuilder
from rankloom.errors import DataError
from rankloom.fingerprint import digest
from rankloom.records import Query
from rankloom.session import Session
from rankloom.training.distillation import Example, read_examples, write_examples
from rankloom.training.pairs import SourceTexts, read_source
from rankloom.training.recipe_config import TaughtRecipe
from rankloom.training.teachers import teach
from rankloom.training.training_folder import require_training

_STAGE = "training"
_POOL = 8  # documents that a held-out query brings to the pool it is measured in


@dataclass(frozen=True, slots=True)
class Examples:
    """What a student learns from, and what it is measured on.

    Args:
        training: Examples of `teachers.documents` documents each.
        held_out: Examples of queries that are not trained on, a relevant document first in each.
    """

    training: tuple[Example, ...]
    held_out: tuple[Example, ...]


def prepared(recipe: TaughtRecipe, session: Session, output: Path) -> tuple[list[SourceTexts], Examples]:
    """The sources of a recipe, and its teachers' examples.

    Args:
        recipe: Names both.
        session: Where corpora, indexes and examples are kept, and whether the network may be used.
        output: Where examples are kept if there is no cache.

    Raises:
        NotFoundError: A source or a model is not there.
        DataError: The sources give no example.
        MissingExtraError: The extra `train` is not installed.
    """
    require_training()
    asking = Session(
        cache=session.cache,
        offline=session.offline,
        seed=recipe.seed,
        device=session.device,
        dtype=recipe.teachers.dtype,
        progress=session.progress,
    )
    sources = [read_source(one, asking, seed=recipe.seed) for one in recipe.sources]
    return sources, examples_of(recipe, sources, asking, output)


def examples_of(recipe: TaughtRecipe, sources: Sequence[SourceTexts], session: Session, output: Path) -> Examples:
    """Ask the teachers, or read what they said when a recipe with the same sources and teachers asked them.

    Args:
        recipe: Names the teachers. All that are named are asked, whoever is in the ensemble.
        sources: Queries and documents.
        session: Its cache keeps the examples.
        output: Where they are kept if there is no cache.

    Raises:
        DataError: The sources give no example.
    """
    said = recipe.teachers.model_dump(exclude={"ensemble", "scale", "mix"})
    key = digest([one.model_dump() for one in recipe.sources], said, recipe.seed)
    folder = output / "examples" if session.cache is None else session.cache.index_directory("examples", key)
    training: list[Example] = []
    held_out: list[Example] = []
    for number, source in enumerate(sources):
        paths = folder / f"{number}-training.jsonl", folder / f"{number}-held-out.jsonl"
        for path, queries, into, documents in (
            (paths[0], source.queries, training, recipe.teachers.documents),
            (paths[1], source.held_out, held_out, _POOL),
        ):
            if queries and not path.is_file():
                write_examples(_asked(recipe, source, queries, session, documents), path)
            if queries and path.stat().st_size:
                into.extend(read_examples(path))
    whole = tuple(one for one in training if len(one.texts) == recipe.teachers.documents)
    if not whole:
        raise DataError("the sources give no example", stage=_STAGE, value=[one.name for one in recipe.sources])
    return Examples(whole, tuple(held_out))


def _asked(
    recipe: TaughtRecipe, source: SourceTexts, queries: Sequence[Query], session: Session, documents: int
) -> list[Example]:
    """Examples of one source, only of queries whose relevant document the candidates hold."""
    builder = PipelineBuilder({})
    teachers = {
        name: builder.build(spec, corpus=source.corpus, session=session)
        for name, spec in recipe.teachers.stages.items()
    }
    candidates = builder.build(recipe.teachers.candidates, corpus=source.corpus, session=session)
    run = candidates.run(queries, session=session)
    found = [
        query
        for query in queries
        if any(source.relevant.get(query.id, {}).get(doc_id, 0) > 0 for doc_id in run[query.id].doc_ids)
    ]
    answered = candidates.run(found, session=session)
    return list(teach(answered, teachers, relevant=source.relevant, documents=documents, seed=recipe.seed))


def document_texts(sources: Sequence[SourceTexts]) -> list[str]:
    """All documents of all sources, each once."""
    return list(dict.fromkeys(chain.from_iterable(source.texts for source in sources)))
