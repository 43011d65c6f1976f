"""Carrying pipelines out on a Ray cluster: workers compute what the session's cache shall hold, units of queries each.

Units lie on the grid that stages themselves use, so a worker meets the batches that this process would meet. The
ordinary run then finds everything in the cache; a result can not differ from it, because it is made by it.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from rankloom.cache import Cache
from rankloom.distributed.cluster import RayCluster
from rankloom.errors import RankloomError, StageError, UsageError
from rankloom.execution import apply, execute
from rankloom.fingerprint import digest
from rankloom.fusion import Fuser
from rankloom.ledger import Ledger
from rankloom.pipeline import Pipeline, Top
from rankloom.rerank.pair_stage import PairStage
from rankloom.run import Run
from rankloom.session import Session
from rankloom.stage import Stage, traits_of

_STAGE = "ray"
#: What a worker sends back for a unit: stage -> key -> value of the cache, and pipeline -> its error.
_Filled = tuple[dict[str, dict[str, bytes]], dict[str, RankloomError]]


def run_on_ray(
    stage: Stage, queries: object, *, session: Session | None = None, cluster: RayCluster | None = None
) -> Run:
    """`stage.run(queries, session=...)` with workers that do what is not in the cache yet.

    For reranking pass a `Run` that has a ranking, for whole pipelines queries. Hits, scores and notes are those of the
    ordinary run, byte for byte, on processors of the same kind; costs say what came from the cache, and that is all of
    it. Killed at any moment, it goes on when it is started again, from the units whose results have arrived.

    Indexes and corpora are opened by workers under the path they have here, models are found by their names. Workers
    do not use the cache's folder: results come back to this process, which alone writes to it.

    Args:
        stage: A stage or pipeline; its parameters must be fit to be pickled, and its indexes lie in folders.
        queries: Queries, or a run to go on from; as for `Stage.run`.
        session: How to carry it out; must have a cache. By default the run's own.
        cluster: Where; by default this machine.

    Raises:
        MissingExtraError: Ray is not installed.
        UsageError: The session has no cache, or an index is in memory only.
        StageError: The cluster does not answer, workers die again and again, or a stage fails.
        RankloomError: As a stage raises it.

    Example:
        >>> from rankloom.rerank import CrossEncoder
        >>> run = run_on_ray(  # doctest: +SKIP
        ...     CrossEncoder(), Run.from_trec("bm25.trec"), session=Session(cache="cache"), cluster=RayCluster("auto")
        ... )
    """
    start = queries if isinstance(queries, Run) else Run.start(queries, session=session)
    start = start if session is None else replace(start, session=session)
    plan = Pipeline([stage]).pushed_down()
    plan.flow(traits_of(start), after=start.steps[-1].stage if start.steps else "the start")
    for error in fill_cache({"": plan}, start, cluster=cluster).values():
        raise error
    return execute(stage, start)


def fill_cache(
    pipelines: Mapping[str, Stage], start: Run, *, cluster: RayCluster | None = None
) -> dict[str, RankloomError]:
    """Compute on a cluster what running some pipelines will look for in the cache of the run's session.

    Args:
        pipelines: By name; stages that they share are carried out once.
        start: What each of them is given.
        cluster: Where; by default this machine.

    Returns:
        The pipelines that failed, and why; what the others gave is in the cache.

    Raises:
        MissingExtraError: Ray is not installed.
        UsageError: The session has no cache, or an index is in memory only.
        StageError: The cluster does not answer, or workers die again and again.
    """
    cluster, cache = cluster or RayCluster(), cache_of(start.session)
    units = _units(pipelines.values(), len(start))
    made_by = {name: _made_by(pipeline, start.session) for name, pipeline in pipelines.items()}
    marks = {
        name: [digest(_STAGE, by, start.session.numerics(), start.lineage, unit.start, unit.stop) for unit in units]
        for name, by in made_by.items()
    }
    finished = cache.get(mark for some in marks.values() for mark in some)
    todo = [name for name, some in marks.items() if not finished.keys() >= set(some)]
    missing = [number for number in range(len(units)) if any(marks[name][number] not in finished for name in todo)]
    lone = replace(start, session=start.session.uncached(), ledger=Ledger(), steps=())
    work = {name: (pipelines[name], made_by[name]) for name in todo}
    failed: dict[str, RankloomError] = {}
    with start.session.progress.task("ray", len(start)) as advance:
        advance(len(start) - sum(len(units[number]) for number in missing))
        for number, (entries, errors) in cluster.each(
            _filler, (work, lone, units), missing, offline=start.session.offline
        ):
            for stage, values in entries.items():
                cache.put(values, stage=stage)
            # last: a unit that is marked is there
            cache.put({marks[name][number]: b"" for name in todo if name not in errors}, stage=_STAGE)
            failed |= errors
            advance(len(units[number]))
    return failed


def cache_of(session: Session) -> Cache:
    """The cache that a job's results come through.

    Raises:
        UsageError: The session has none.
    """
    if session.cache is None:
        raise UsageError("results come through the cache, and there is none", stage=_STAGE, fix="Session(cache=FOLDER)")
    return session.cache


def _filler(work: Mapping[str, tuple[Stage, str]], start: Run, units: Sequence[range]) -> Callable[[int], _Filled]:
    """A worker's work: one unit of queries through every pipeline, with a cache of its own that is then sent back.

    Raises:
        StageError: A model or an index is another one here than where the job was started.
    """
    for name, (pipeline, made_by) in work.items():
        if _made_by(pipeline, start.session) != made_by:
            raise StageError(
                "a model is another one on this worker than where the job was started",
                stage=_STAGE,
                value=name or pipeline,
                fix="install the same models on all nodes",
            )

    def fill(number: int) -> _Filled:
        errors: dict[str, RankloomError] = {}
        entries: dict[str, dict[str, bytes]] = {}
        with tempfile.TemporaryDirectory() as folder:
            cache = Cache(folder)
            session = start.session.caching_in(cache).remembering()
            unit = replace(start.select(units[number]), session=session)
            for name, (pipeline, _) in work.items():
                try:
                    apply(pipeline, unit)
                except RankloomError as error:
                    errors[name] = error
            for stage, key, value in cache.entries():
                entries.setdefault(stage, {})[key] = value
        return entries, errors

    return fill


def _made_by(pipeline: Stage, session: Session) -> str:
    """The fingerprint of a pipeline whose models have been found."""
    for stage in _stages(pipeline):
        if isinstance(stage, PairStage):
            stage.identity(session)
    return pipeline.fingerprint()


def _units(pipelines: Iterable[Stage], queries: int) -> list[range]:
    """Queries in groups that every stage would itself carry out in whole units."""
    size = math.lcm(*(stage.unit for pipeline in pipelines for stage in _stages(pipeline)))
    return [range(first, min(first + size, queries)) for first in range(0, queries, size)]


def _stages(stage: Stage) -> Iterator[Stage]:
    """The stages that do something to queries one by one, of those that a stage is made of."""
    if isinstance(stage, Pipeline | Fuser):
        for one in stage.stages if isinstance(stage, Pipeline) else stage.branches:
            yield from _stages(one)
    elif not isinstance(stage, Top):
        yield stage
