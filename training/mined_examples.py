"""The examples of a recipe with mined negatives: mined once, kept in the cache for the next recipe."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rankloom.config import PipelineBuilder
from rankloom.errors import DataError
from rankloom.files import write_json, write_text
from rankloom.lines import json_lines
from rankloom.session import Session
from rankloom.stage import Stage
from rankloom.training.contrastive_config import MinedRecipe, MiningRecipe
from rankloom.training.contrasts import Row
from rankloom.training.fingerprints import made_of
from rankloom.training.hard_negatives import Mined, mine
from rankloom.training.pairs import IN_TEST, SourceTexts, read_sources, same_text
from rankloom.training.pool import Pool

_STAGE = "training"
_COUNTS, _TRAINING, _HELD_OUT = "counts.json", "training.jsonl", "held-out.jsonl"
_VERSION = 2  # of what is written of an example


@dataclass(frozen=True, slots=True)
class SourceExamples:
    """What one source gives.

    Args:
        rows: To train on.
        counts: What mining has found and left out.
        mined: The rows by ids.
    """

    rows: tuple[Row, ...]
    counts: dict[str, int]
    mined: tuple[Mined, ...]


def prepared(recipe: MinedRecipe, session: Session, output: Path) -> tuple[list[Row], Pool, list[dict[str, Any]]]:
    """Read the sources of a recipe and mine them.

    Args:
        recipe: Names sources and pipelines.
        session: Where pipelines keep their indexes and what is mined, and whether the network may be used.
        output: Where what is mined is kept if there is no cache.

    Returns:
        The rows to train on, the pool of all held-out queries, and what the manifest is to say of each source.

    Raises:
        NotFoundError: A source is not there.
        DataError: The sources give no example.
    """
    mining = mining_session(recipe, session)
    sources = read_sources(recipe.sources, mining, seed=recipe.seed)
    examples, pool = examples_of(recipe, sources, mining, output)
    rows = [row for one in examples for row in one.rows]
    return rows, pool, [data_of(source, one) for source, one in zip(sources, examples, strict=True)]


def mining_session(recipe: MiningRecipe, session: Session) -> Session:
    """How a recipe's pipelines are carried out: as the session says, with the recipe's seed and precision."""
    return Session(
        cache=session.cache,
        offline=session.offline,
        seed=recipe.seed,
        device=session.device,
        dtype=recipe.negatives.dtype,
        progress=session.progress,
    )


def examples_of(
    recipe: MiningRecipe, sources: Sequence[SourceTexts], session: Session, output: Path
) -> tuple[list[SourceExamples], Pool]:
    """Mine every source, or read what was mined for the same queries by the same pipelines.

    Args:
        recipe: Names the pipelines.
        sources: Queries, documents, judgements.
        session: Its cache keeps what is mined.
        output: Where it is kept if there is no cache.

    Returns:
        The examples of each source, and the pool of all held-out queries.

    Raises:
        DataError: The sources give no example.
    """
    pool = Pool()
    examples = [_of_source(recipe, source, session, output, pool) for source in sources]
    if not any(one.rows for one in examples):
        raise DataError("the sources give no example", stage=_STAGE, value=[one.source.name for one in sources])
    return examples, pool


def _of_source(recipe: MiningRecipe, source: SourceTexts, session: Session, output: Path, pool: Pool) -> SourceExamples:
    """The examples of one source; its held-out queries go into the pool."""
    builder = PipelineBuilder({})
    how = recipe.negatives
    candidates = builder.build(how.pipeline, corpus=source.corpus, session=session)
    judge = None if how.judge is None else builder.build(how.judge, corpus=source.corpus, session=session)
    stages = {"candidates": candidates} | ({} if judge is None else {"judge": judge})
    settings = {"seed": recipe.seed, "negatives": how.model_dump(), "written as": _VERSION}
    key = made_of(settings, data=[source], stages=stages)
    folder = output / "mined" / key if session.cache is None else session.cache.index_directory("mined", key)
    if not (folder / _COUNTS).is_file():
        mined, counts = mine(
            source, source.queries, how, candidates=candidates, judge=judge, session=session, seed=recipe.seed
        )
        _write(folder / _TRAINING, (asdict(one) for one in mined))
        _write(folder / _HELD_OUT, _among(source, candidates, session, how.pool))
        write_json(folder / _COUNTS, dict(counts))
    for _, record in json_lines(folder / _HELD_OUT, stage=_STAGE):
        pool.add(source, record["query"], record["documents"])
    examples = [
        Mined(record["query"], record["positive"], tuple(record["negatives"]), tuple(record["scores"]))
        for _, record in json_lines(folder / _TRAINING, stage=_STAGE)
    ]
    counts_read: dict[str, int] = json.loads((folder / _COUNTS).read_text(encoding="utf-8"))
    return SourceExamples(tuple(_rows(source, examples)), counts_read, tuple(examples))


def _among(source: SourceTexts, candidates: Stage, session: Session, depth: int) -> Iterable[dict[str, object]]:
    """Held-out queries with their best candidates."""
    if not source.held_out:
        return
    found = candidates.run(source.held_out, session=session)
    for query in source.held_out:
        yield {"query": query.id, "documents": found[query.id].doc_ids[:depth]}


def _rows(source: SourceTexts, examples: Sequence[Mined]) -> Iterable[Row]:
    """Examples with their texts; texts also stand for documents, so that copies count as one."""
    queries = {query.id: query.text for query in source.queries}
    relevant: dict[str, frozenset[str]] = {}
    for one in examples:
        if one.query not in relevant:
            known = source.corpus.get(list(source.relevant_to(one.query)))
            relevant[one.query] = frozenset(same_text(document.contents) for document in known)
        positive, *negatives = (document.contents for document in source.corpus.get([one.positive, *one.negatives]))
        shown = frozenset(map(same_text, [positive, *negatives]))
        asked, told = queries[one.query], relevant[one.query]
        yield Row(asked, positive, tuple(negatives), source.source.name, shown, told, one.scores)


def _write(path: Path, records: Iterable[dict[str, object]]) -> None:
    """Write records as JSON Lines."""
    write_text(path, "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records))


def data_of(source: SourceTexts, examples: SourceExamples) -> dict[str, Any]:
    """What the manifest says of a source."""
    counts = {"documents": len(source.corpus), "queries": len(source.queries), "held out": len(source.held_out)}
    others = {IN_TEST: source.in_test, **examples.counts}
    return {
        "name": source.source.name,
        "licence": source.source.licence,
        "counts": counts | {name: number for name, number in others.items() if number},
    }
