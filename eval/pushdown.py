"""Cut-offs pushed down into the retrievers of an experiment, without parting what pipelines share.

A single pipeline pushes `.top(k)` into the retriever before it. Among several pipelines that would give one retriever
several depths, each searched for itself. Here a retriever (after the same stages) gets the largest cut-off that
follows it anywhere, and only if one follows it everywhere; the cut-offs themselves stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rankloom.fingerprint import digest
from rankloom.fusion import Fuser
from rankloom.pipeline import Pipeline, Top
from rankloom.stage import Retriever, Stage

_START = "start"


def push_tops_down(pipelines: Mapping[str, Pipeline]) -> dict[str, Pipeline]:
    """The same pipelines, with retrievers that go no deeper than any pipeline needs.

    Args:
        pipelines: Name -> pipeline, all to be run over the same queries.
    """
    cuts: dict[str, list[int | None]] = {}
    for pipeline in pipelines.values():
        for place, cut in _cuts(pipeline.stages, _START):
            cuts.setdefault(place, []).append(cut)
    depths = {place: max(known) for place, found in cuts.items() if len(known := _numbers(found)) == len(found)}
    return {name: Pipeline(_pushed(pipeline.stages, _START, depths)) for name, pipeline in pipelines.items()}


def retrievers(stage: Stage) -> Iterator[Retriever]:
    """All retrievers of a pipeline, those inside other stages too."""
    for one in _stages(stage):
        for inner in one.inner:
            yield from retrievers(inner)
        if isinstance(one, Retriever):
            yield one


def _cuts(stages: tuple[Stage, ...], before: str) -> Iterator[tuple[str, int | None]]:
    """For each use of a retriever: a digest of where it stands, and the cut-off right behind it."""
    for number, stage in enumerate(stages):
        if isinstance(stage, Fuser):
            for branch in stage.branches:
                yield from _cuts(_stages(branch), before)
        before = digest(before, stage)
        if isinstance(stage, Retriever):
            after = stages[number + 1] if number + 1 < len(stages) else None
            yield before, after.k if isinstance(after, Top) else None


def _pushed(stages: tuple[Stage, ...], before: str, depths: Mapping[str, int]) -> Iterator[Stage]:
    """The stages with shallower retrievers."""
    for stage in stages:
        here = digest(before, stage)
        if isinstance(stage, Fuser):
            yield stage.replace(branches=[_pushed_branch(branch, before, depths) for branch in stage.branches])
        elif isinstance(stage, Retriever) and depths.get(here, stage.k) < stage.k:
            yield stage.replace(k=depths[here])
        else:
            yield stage.pushed_down() if stage.inner else stage  # other queries are asked inside: nothing is shared
        before = here


def _pushed_branch(branch: Stage, before: str, depths: Mapping[str, int]) -> Stage:
    """One branch of a fusion with shallower retrievers."""
    stages = list(_pushed(_stages(branch), before, depths))
    return Pipeline(stages) if isinstance(branch, Pipeline) else stages[0]


def _stages(stage: Stage) -> tuple[Stage, ...]:
    """The stages of a pipeline, or the one stage that it is."""
    return stage.stages if isinstance(stage, Pipeline) else (stage,)


def _numbers(cuts: Iterable[int | None]) -> list[int]:
    """The cut-offs that are there."""
    return [cut for cut in cuts if cut is not None]
