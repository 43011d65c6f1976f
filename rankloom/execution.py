"""Carrying stages out: caching, resume, timing, history, and shared prefixes run once.

`apply` is the one way from a run to the next. A run's lineage digests everything done to it so far, so two pipelines
that share their first stages meet the same lineage, and the memo of the session holds the run that belongs to it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import replace

from rankloom.errors import CompositionError, RankloomError, StageError, UsageError
from rankloom.fingerprint import digest
from rankloom.fusion import Fuser
from rankloom.ledger import Cost, Note
from rankloom.pipeline import Pipeline, Top
from rankloom.records import STAGE_SETTINGS, Query, as_queries
from rankloom.result_cache import call_with_cache
from rankloom.run import Run, Step
from rankloom.score_parts import flat_steps
from rankloom.session import Session
from rankloom.stage import REWRITTEN, Stage, traits_of

_Pending = dict[str, "asyncio.Future[Run]"]
#: Seconds that the stage now under way has spent in other stages, whose costs already count them.
_inner_seconds: ContextVar[float] = ContextVar("inner_seconds", default=0.0)


def execute(stage: Stage, queries: object, *, session: Session | None = None) -> Run:
    """Carry a stage or pipeline out from its start; see `Stage.run`."""
    start = _started(stage, queries, session)
    plan = Pipeline([stage]).pushed_down()
    run = plan(replace(start, session=start.session.remembering()))
    return replace(_with_unread_settings(run), session=start.session)


async def aexecute(stage: Stage, queries: object, *, session: Session | None = None) -> Run:
    """`execute` in threads, with the branches of a fusion side by side."""
    start = _started(stage, queries, session)
    plan = Pipeline([stage]).pushed_down()
    run = await _aapply(plan, replace(start, session=start.session.remembering()), {})
    return replace(_with_unread_settings(run), session=start.session)


def apply(stage: Stage, run: Run) -> Run:
    """The run after one stage, from the memo, from the cache, or computed.

    Args:
        stage: The stage.
        run: The run before it.

    Raises:
        RankloomError: As the stage raises it; any other exception of a stage is wrapped in a `StageError`.
    """
    if isinstance(stage, Pipeline):
        return stage(run)
    lineage = _lineage(stage, run)
    memo = run.session.memo
    if memo is not None and lineage in memo:
        return memo[lineage]
    begun, outer = time.perf_counter(), _inner_seconds.get()
    _inner_seconds.set(0.0)
    try:
        after, cached = call_with_cache(stage, run)
    except RankloomError:
        raise
    except Exception as error:
        raise StageError(f"failed with {type(error).__name__}: {error}", stage=stage.name) from error
    finally:
        seconds = time.perf_counter() - begun
        own = seconds - _inner_seconds.get()
        _inner_seconds.set(outer + seconds)
    after = _finished(stage, run, after, lineage=lineage, seconds=own, cached=cached)
    if memo is not None:
        memo[lineage] = after
    return after


def search_plan(stage: Stage, query: str | Query, k: int, session: Session | None) -> tuple[Pipeline, Run]:
    """What `search` carries out: the pipeline cut at k, and a run of one query.

    Raises:
        UsageError: The query is empty or is not one query, or k is not positive.
        CompositionError: The pipeline ends without a ranking, or with rewritten queries that nothing reads.
    """
    if not isinstance(query, str | Query):
        raise UsageError("searches for one query", stage="search", value=query, fix="pass several to run()")
    start = Run(queries=as_queries(query), session=session or Session())
    if start.queries[0].blank:
        raise UsageError("the query is empty", stage="search", fix="ask for something")
    plan = Pipeline([stage])
    left = plan.flow(frozenset(), after="the start")
    if "ranking" not in left:
        raise CompositionError(
            "the pipeline ends with rewritten queries and no ranking",
            stage=plan.stages[-1].name,
            fix="put a retriever after it",
        )
    if left & REWRITTEN:
        raise CompositionError(
            "the pipeline ends with rewritten queries that nothing reads",
            stage=plan.stages[-1].name,
            fix="put a reranker after it that reads them",
        )
    return Pipeline([plan, Top(k)]), start


def _lineage(stage: Stage, run: Run) -> str:
    """The lineage of the run after a stage."""
    return digest(run.lineage, stage.fingerprint(), run.session.numerics())


def _started(stage: Stage, queries: object, session: Session | None) -> Run:
    """The run to begin with, checked against what the first stages need."""
    start = queries if isinstance(queries, Run) else Run.start(queries, session=session)
    if session is not None:
        start = replace(start, session=session)
    stage.flow(traits_of(start), after=start.steps[-1].stage if start.steps else "the start")
    return start


def _finished(stage: Stage, before: Run, after: Run, *, lineage: str, seconds: float, cached: int) -> Run:
    """What a stage returned, with its cost and history."""
    told = [cost for cost in after.ledger.costs if cost.lineage == ""]
    own = [cost for cost in told if cost.model in ("", stage.model_name)]
    others = dict.fromkeys(cost.model for cost in told if cost.model not in ("", stage.model_name))
    counted = sum(cost.inputs for cost in own)  # by the stage, which was not asked what the cache held
    cost = replace(
        _summed(stage.name, lineage, own),
        inputs=counted + cached if counted else len(before),
        cached=cached + sum(cost.cached for cost in own),
        seconds=seconds,
        model=stage.model_name,
    )
    apart = [
        replace(
            _summed(stage.name, digest(lineage, model), [cost for cost in told if cost.model == model]), model=model
        )
        for model in others
    ]
    kept = tuple(cost for cost in after.ledger.costs if cost.lineage)
    ledger = replace(after.ledger, costs=(*kept, *apart, cost))
    branches = after.steps[-1].branches if len(after.steps) > len(before.steps) else ()
    step = Step(
        stage.name, after.queries, after.ranking, branches, by=stage, asked=before.queries, given=before.ranking
    )
    documents = after.documents if stage.documents is None else stage.documents
    return replace(after, ledger=ledger, steps=(*before.steps, step), documents=documents, lineage=lineage)


def _with_unread_settings(run: Run) -> Run:
    """The run, with a note for each query that brings parameters of a stage that has read none."""
    if not any(STAGE_SETTINGS in query.metadata for query in run.queries):
        return run
    readers = {step.stage for step in flat_steps(run.steps) if step.by is not None and step.by.by_query}
    notes = [
        Note(stage, "unread_settings", query.id, detail="no stage of this name reads the parameters that it brings")
        for query in run.queries
        for stage in query.all_settings()
        if stage not in readers
    ]
    return run.noted(*notes)


def _summed(stage: str, lineage: str, costs: Iterable[Cost]) -> Cost:
    """What was spent on one model."""
    found = list(costs)
    return Cost(
        stage,
        lineage,
        calls=sum(cost.calls for cost in found),
        tokens=sum(cost.tokens for cost in found),
        written=sum(cost.written for cost in found),
    )


async def _aapply(stage: Stage, run: Run, pending: _Pending) -> Run:
    """`apply` without blocking the caller's event loop; the same work under way twice is awaited, not repeated."""
    if isinstance(stage, Pipeline):
        for inner in stage.stages:
            run = await _aapply(inner, run, pending)
        return run
    lineage = _lineage(stage, run)
    if lineage not in pending:
        pending[lineage] = asyncio.ensure_future(_compute(stage, run, pending))
    return await pending[lineage]


async def _compute(stage: Stage, run: Run, pending: _Pending) -> Run:
    """One stage in a thread; before a fusion, its branches side by side (the fusion then finds them in the memo)."""
    if isinstance(stage, Fuser):
        await asyncio.gather(*(_aapply(branch, run, pending) for branch in stage.branches))
    return await asyncio.to_thread(apply, stage, run)
