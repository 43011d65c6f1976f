"""The way of documents through a pipeline: their ranks after every stage, as columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rankloom.pipeline import Pipeline
from rankloom.ranking import Ranking
from rankloom.run import Step
from rankloom.stage import Stage

Integers = NDArray[np.int64]
Path = tuple["Passed", ...]


@dataclass(frozen=True, slots=True)
class Followed:
    """Documents to follow, each for one query; parallel columns.

    Args:
        rows: Place of the query in the run; int64 of shape (documents,).
        doc_ids: The documents.
    """

    rows: Integers
    doc_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class Passed:
    """One stage, and where the followed documents stood after it.

    Args:
        label: Place in the pipeline and name: `3 bm25`; `1b.2 rm3` is the second stage of a fusion's second input.
        stage: The stage.
        ranks: Rank of each document, from 1, 0 where it is not among the hits; int64 of shape (documents,). None for
            a stage that left queries and no ranking.
        scored: How many hits of the document's query the last reranker has scored; likewise.
        emptied: Whether a pruner has dropped every sentence of the document; bool, likewise.
        branches: The ways through the inputs of a fusion, or through the stage inside for each new query.
    """

    label: str
    stage: Stage
    ranks: Integers | None
    scored: Integers
    emptied: NDArray[np.bool_]
    branches: tuple[Path, ...] = ()


def follow(stage: Stage, steps: Sequence[Step], followed: Followed, *, before: str = "") -> Path:
    """The way of documents through the steps that a pipeline has left behind.

    Args:
        stage: The pipeline, or the one stage that it is.
        steps: One for each of its stages.
        followed: The documents.
        before: What the labels begin with.
    """
    return tuple(_passed(stage, steps, followed, before))


def ranks_of(ranking: Ranking, followed: Followed) -> Integers:
    """The rank of each document in its query's hits, from 1; 0 where it is not among them.

    Example:
        >>> ranking = Ranking.from_lists([[("d1", 2.0), ("d2", 1.0)], [("d2", 1.0)]], stage="example")
        >>> ranks_of(ranking, Followed(np.array([0, 1, 1]), ["d2", "d2", "d9"])).tolist()
        [2, 1, 0]
    """
    size = len(ranking.ids)
    codes = ranking.ids.codes(list(followed.doc_ids)).astype(np.int64)
    keys = ranking.query_numbers() * size + ranking.codes
    by_key = np.argsort(keys)
    wanted = followed.rows * size + codes
    # A key larger than all others, so that every place that is found is one.
    places = np.searchsorted(np.append(keys[by_key], np.iinfo(np.int64).max), wanted)
    hits = np.append(by_key, 0)[places]
    there = (codes >= 0) & (np.append(keys, -1)[np.append(by_key, len(keys))[places]] == wanted)
    return np.where(there, hits - ranking.offsets[followed.rows] + 1, 0)


def _passed(stage: Stage, steps: Sequence[Step], followed: Followed, before: str) -> Iterator[Passed]:
    """Each stage of a pipeline with its step."""
    stages = stage.stages if isinstance(stage, Pipeline) else (stage,)
    separator = "." if before else ""
    for number, (one, step) in enumerate(zip(stages, steps, strict=True), start=1):
        place = before if before and len(stages) == 1 else f"{before}{separator}{number}"
        # one stage inside may have left several histories: those of a query's first new query, of its second, and so on
        inside = one.inner * len(step.branches) if len(one.inner) == 1 else one.inner
        branches = tuple(
            follow(inner, history, followed, before=f"{place}{_letters(number_inside)}")
            for number_inside, (inner, history) in enumerate(zip(inside, step.branches, strict=True))
        )
        none = np.zeros(len(followed.doc_ids), dtype=np.int64)
        if step.ranking is None:
            yield Passed(f"{place} {step.stage}", one, None, none, none.astype(np.bool_), branches)
            continue
        ranks = ranks_of(step.ranking, followed)
        scored = step.ranking.counts() if step.ranking.scored is None else step.ranking.scored
        emptied = _emptied(step.ranking, followed, ranks)
        yield Passed(f"{place} {step.stage}", one, ranks, scored[followed.rows], emptied, branches)


def _emptied(ranking: Ranking, followed: Followed, ranks: Integers) -> NDArray[np.bool_]:
    """Whether a pruner has left nothing of each document."""
    emptied = np.zeros(len(ranks), dtype=np.bool_)
    if ranking.spans is not None:
        for place in np.flatnonzero(ranks):
            spans = ranking.spans[int(ranking.offsets[followed.rows[place]] + ranks[place] - 1)]
            emptied[place] = spans is not None and len(spans) > 0 and not any(span.kept for span in spans)
    return emptied


def _letters(number: int) -> str:
    """The letters a to z, then aa, ab, ..."""
    head, last = divmod(number, 26)
    return (_letters(head - 1) if head else "") + chr(ord("a") + last)
