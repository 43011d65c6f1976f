"""The examples of a recipe: its sources, asked of its teachers, once; kept in the cache for the next recipe."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from rankloom.config import PipelineBuilder
from rankloom.errors import DataError
from rankloom.files import write_json
from rankloom.fingerprint import digest
from rankloom.session import Session
from rankloom.training.distillation import Example, read_examples, write_examples
from rankloom.training.fingerprints import made_of
from rankloom.training.pairs import IN_TEST, SourceTexts, read_sources
from rankloom.training.recipe_config import TaughtRecipe
from rankloom.training.teachers import teach
from rankloom.training.training_folder import require_training

_STAGE = "training"
_TRAINING, _HELD_OUT, _LEFT_OUT = "training.jsonl", "held-out.jsonl", "left-out.json"
_POOL = 8  # documents that a held-out query brings to the pool it is measured in


@dataclass(frozen=True, slots=True)
class Examples:
    """What a student learns from, and what it is measured on.

    Args:
        training: Examples of `teachers.documents` documents each.
        held_out: Examples of queries that are not trained on, a relevant document first in each.
        left_out: Of each source, why queries gave no example, and how many.
    """

    training: tuple[Example, ...]
    held_out: tuple[Example, ...]
    left_out: tuple[Mapping[str, int], ...]

    def fingerprint(self) -> str:
        """A digest of the examples."""
        return digest([digest(one) for one in self.training], [digest(one) for one in self.held_out])


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
    sources = read_sources(recipe.sources, asking, seed=recipe.seed)
    return sources, examples_of(recipe, sources, asking, output)


def examples_of(recipe: TaughtRecipe, sources: Sequence[SourceTexts], session: Session, output: Path) -> Examples:
    """Ask the teachers, or read what they said when they were asked about the same sources.

    Args:
        recipe: Names the teachers. All that are named are asked, whoever is in the ensemble.
        sources: Queries and documents.
        session: Its cache keeps the examples.
        output: Where they are kept if there is no cache.

    Raises:
        DataError: The sources give no example.
    """
    folders = [_of_source(recipe, source, session, output) for source in sources]
    training = tuple(one for folder in folders for one in _read(folder / _TRAINING))
    left_out = tuple(json.loads((folder / _LEFT_OUT).read_text(encoding="utf-8")) for folder in folders)
    if not training:
        raise DataError(
            f"the sources give no example; left out: {left_out}",
            stage=_STAGE,
            value=[one.name for one in recipe.sources],
            fix="let teachers.candidates find more documents, or lower teachers.documents",
        )
    return Examples(training, tuple(one for folder in folders for one in _read(folder / _HELD_OUT)), left_out)


def _of_source(recipe: TaughtRecipe, source: SourceTexts, session: Session, output: Path) -> Path:
    """The folder of a source's examples; filled, unless it was for the same texts, judgements and stages."""
    builder = PipelineBuilder({})
    teachers = {
        name: builder.build(spec, corpus=source.corpus, session=session)
        for name, spec in recipe.teachers.stages.items()
    }
    candidates = builder.build(recipe.teachers.candidates, corpus=source.corpus, session=session)
    said = {
        "seed": recipe.seed,
        "teachers": recipe.teachers.model_dump(exclude={"ensemble", "scale", "mix"}),
        "negatives": recipe.negatives,
    }
    stages = {"candidates": candidates, **{f"teacher {name}": stage for name, stage in teachers.items()}}
    key = made_of(said, data=[source], stages=stages)
    folder = output / "examples" / key if session.cache is None else session.cache.index_directory("examples", key)
    if (folder / _LEFT_OUT).is_file():
        return folder
    wanted = recipe.teachers.documents
    left_out = Counter[str]()
    for name, queries, documents in ((_TRAINING, source.queries, wanted), (_HELD_OUT, source.held_out, _POOL)):
        of = "" if name == _TRAINING else "held out: "
        run = candidates.run(queries, session=session)
        found = [
            query for query in queries if not source.relevant_to(query.id).keys().isdisjoint(run[query.id].doc_ids)
        ]
        answered = candidates.run(found, session=session)
        asked = partial(teach, relevant=source.relevant, negatives=recipe.negatives, seed=recipe.seed)
        taught = list(asked(answered, teachers, documents=documents))
        whole = [one for one in taught if name == _HELD_OUT or len(one.texts) == wanted]
        left_out[f"{of}no relevant document among the candidates"] = len(queries) - len(found)
        left_out[f"{of}a single candidate, or no hit of a teacher"] = len(found) - len(taught)
        left_out[f"{of}fewer candidates than {wanted}"] = len(taught) - len(whole)
        write_examples(whole, folder / name)
    write_json(folder / _LEFT_OUT, dict(+left_out))  # the last: a folder that has it is whole
    return folder


def _read(path: Path) -> Iterator[Example]:
    """Examples of a file, which may hold none."""
    return read_examples(path) if path.stat().st_size else iter(())


def source_data(sources: Sequence[SourceTexts], examples: Examples) -> list[dict[str, Any]]:
    """What the manifest says of each source, also how many of its queries gave no example, and why."""
    return [
        {
            "name": source.source.name,
            "licence": source.source.licence,
            "documents": len(source.corpus),
            "queries": len(source.queries),
            "held_out": len(source.held_out),
            "left_out": ({IN_TEST: source.in_test} if source.in_test else {}) | dict(left_out),
        }
        for source, left_out in zip(sources, examples.left_out, strict=True)
    ]


def document_texts(sources: Sequence[SourceTexts]) -> list[str]:
    """All documents of all sources, each once."""
    return list(dict.fromkeys(chain.from_iterable(source.texts for source in sources)))
