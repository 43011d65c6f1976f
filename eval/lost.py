"""Where in a pipeline relevant documents fell out: the last stage that still had each, and what took it away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rankloom.checks import whole
from rankloom.config import PipelineBuilder
from rankloom.eval.measures import counted_hits
from rankloom.eval.passage import Followed, Integers, Passed, Path, follow, ranks_of
from rankloom.execution import apply
from rankloom.pipeline import Pipeline, Top
from rankloom.run import Run
from rankloom.session import Session
from rankloom.stage import Reranker, Retriever

if TYPE_CHECKING:
    from rankloom.eval.collections import Collection
    from rankloom.eval.experiment import Experiment


class Reason(StrEnum):
    """Why a relevant document is not among the hits that count; the words that tables show."""

    ABSENT = "not in the corpus"
    NEVER = "never retrieved"
    NOT_AGAIN = "not retrieved again"  # by the retriever behind a feedback stage
    CUT = "below the cut"  # and never above it
    PUSHED = "pushed below the cut"  # it stood above it after an earlier stage, or in an input of a fusion
    DEPTH = "below the reranker's depth"
    EXCLUDED = "does not count"  # the collection takes it out: a self hit, or excluded for the query
    DROPPED = "dropped"  # by a filter, or by a fusion that keeps less than its inputs
    PRUNED = "pruned away"  # it is a hit, but none of its sentences is left


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one relevant document.

    Args:
        query_id: The query.
        doc_id: The document.
        grade: Its judgement.
        reason: Why it was lost; None if it is among the hits that count.
        stage: The stage that lost it; None if it was not lost, or is not in the corpus.
        after: The last stage that still had it among its hits; None if none ever did.
        rank: Its rank there.
    """

    query_id: str
    doc_id: str
    grade: int
    reason: Reason | None
    stage: str | None
    after: str | None
    rank: int | None


class Count(NamedTuple):
    """How many relevant documents one stage lost for one reason, and on how many queries."""

    stage: str
    reason: Reason
    documents: int
    queries: int


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The fates of all relevant documents.

    Args:
        collection: What was measured on.
        pipeline: Name of the pipeline.
        stages: Labels of its stages in order, inputs of a fusion before it; then that of the final cut-off.
        cutoff: How many hits of a query count.
        relevance_level: Least grade that is relevant.
        fates: One for each relevant document of each query, in the order of the judgements.
    """

    collection: str
    pipeline: str
    stages: tuple[str, ...]
    cutoff: int
    relevance_level: int
    fates: tuple[Fate, ...]

    @property
    def found(self) -> int:
        """How many relevant documents are among the hits that count."""
        return sum(fate.reason is None for fate in self.fates)

    def counts(self) -> list[Count]:
        """How many each stage lost, in the order of the pipeline; for each of its reasons."""
        lost = [(fate.query_id, fate.stage or "", fate.reason) for fate in self.fates if fate.reason is not None]
        places = {label: place for place, label in enumerate(self.stages)}
        reasons = list(Reason)
        documents = Counter((stage, reason) for _, stage, reason in lost)
        queries = Counter((stage, reason) for _, stage, reason in set(lost))
        order = sorted(documents, key=lambda key: (places.get(key[0], -1), reasons.index(key[1])))
        return [Count(*key, documents[key], queries[key]) for key in order]

    def examples(self, count: Count, most: int) -> list[Fate]:
        """Some of the documents behind a count: the most relevant first, then those that stood best."""
        fates = [fate for fate in self.fates if (fate.stage or "", fate.reason) == (count.stage, count.reason)]
        return sorted(fates, key=lambda fate: (-fate.grade, fate.rank or 0))[:most]

    def to_dict(self) -> dict[str, Any]:
        """A JSON form: counts by stage, and the fate of every relevant document by query."""
        queries: dict[str, list[dict[str, Any]]] = {}
        for fate in self.fates:
            told = asdict(fate)
            queries.setdefault(told.pop("query_id"), []).append(told)
        return {
            "collection": self.collection,
            "pipeline": self.pipeline,
            "stages": list(self.stages),
            "cutoff": self.cutoff,
            "relevance_level": self.relevance_level,
            "relevant": len(self.fates),
            "found": self.found,
            "lost": [count._asdict() for count in self.counts()],
            "queries": queries,
        }


def diagnose_experiment(experiment: Experiment, pipeline: str, *, session: Session, cutoff: int = 10) -> Diagnosis:
    """Carry one pipeline of an experiment out, and say where it lost relevant documents.

    Cut-offs are not pushed down into retrievers here, so that a document which a `top` cuts off can be told from one
    that was never retrieved. A first stage that the experiment searched less deeply is searched again; what rerankers
    have computed comes from the session's cache.

    Args:
        experiment: The experiment.
        pipeline: Name of one of its pipelines.
        session: How to carry it out.
        cutoff: How many hits of a query count.

    Raises:
        UsageError: There is no such pipeline, or the cut-off is not positive.
        RankloomError: The pipeline can not be built, or a stage failed.
    """
    experiment.check_pipeline(pipeline, stage="lost")
    whole(cutoff, least=1, stage="lost", parameter="cutoff")
    session = session.remembering()
    collection = experiment.load(session)
    define, locations = experiment.config.define, experiment.locations
    builder = PipelineBuilder(define, locations=locations, labels=collection.labels)
    built = builder.build(
        experiment.config.pipelines[pipeline], corpus=collection.corpus, session=session, at=("pipelines", pipeline)
    )
    run = apply(built, Run(queries=collection.queries, session=session))
    return diagnose(run, built, collection, name=pipeline, cutoff=cutoff)


def diagnose(run: Run, pipeline: Pipeline, collection: Collection, *, name: str = "", cutoff: int = 10) -> Diagnosis:
    """Say where a pipeline lost relevant documents.

    Args:
        run: What the pipeline made of the collection's queries.
        pipeline: The pipeline, as it was carried out.
        collection: Queries, judgements, and which hits do not count.
        name: What to call the pipeline.
        cutoff: How many hits of a query count.
    """
    level = collection.relevance_level
    judged = [
        (row, query.id, doc_id, grade)
        for row, query in enumerate(run.queries)
        for doc_id, grade in collection.qrels.get(query.id, {}).items()
        if grade >= level
    ]
    followed = Followed(np.array([row for row, *_ in judged], dtype=np.int64), [doc_id for _, _, doc_id, _ in judged])
    path = follow(pipeline, run.steps, followed)
    counted = ranks_of(counted_hits(run, collection.drop_self_hits, collection.excluded), followed)
    final = f"cut-off {cutoff}"
    absent = set(collection.absent_documents())
    fates = []
    for place, (_, query_id, doc_id, grade) in enumerate(judged):
        fall = _Fall(Reason.ABSENT, None) if doc_id in absent else _fall(path, place, counted, cutoff, final)
        fates.append(Fate(query_id, doc_id, grade, *fall))
    return Diagnosis(collection.id, name, (*_labels(path), final), cutoff, level, tuple(fates))


class _Fall(NamedTuple):
    """Reason, stage, last stage before and rank there; see `Fate`."""

    reason: Reason | None
    stage: str | None
    after: str | None = None
    rank: int | None = None


def _fall(path: Path, place: int, counted: Integers, cutoff: int, final: str) -> _Fall:
    """What became of one document at the end of the whole pipeline."""
    ranked = _ranked(path)
    last = ranked[-1]
    rank = _rank(last, place)
    if not rank:
        return _fall_inside(path, place)
    if not counted[place]:
        return _Fall(Reason.EXCLUDED, final, last.label, rank)
    if counted[place] > cutoff:
        return _below(ranked, place, cutoff, final)
    if last.emptied[place]:
        pruner = next(one for one in ranked if one.emptied[place])
        return _Fall(Reason.PRUNED, pruner.label, last.label, rank)
    return _Fall(None, None, last.label, rank)


def _fall_inside(path: Path, place: int) -> _Fall:
    """What took a document away that the last stage of a path no longer has."""
    ranked = _ranked(path)
    there = [number for number, one in enumerate(ranked) if _rank(one, place)]
    loser = ranked[there[-1] + 1 if there else 0]
    had = ranked[: there[-1] + 1] if there else []
    if loser.branches:
        return _fall_in_fusion(path[: path.index(loser)], loser, place)
    if not had:
        return _Fall(Reason.NEVER, loser.label)
    if isinstance(loser.stage, Top):
        return _below(had, place, loser.stage.k, loser.label)
    reason = Reason.NOT_AGAIN if isinstance(loser.stage, Retriever) else Reason.DROPPED
    return _Fall(reason, loser.label, had[-1].label, _rank(had[-1], place))


def _fall_in_fusion(before: Path, fusion: Passed, place: int) -> _Fall:
    """What took a document away that a fusion does not have: the fusion, or the input in which it got nearest."""
    holders = [branch[-1] for branch in fusion.branches if _rank(branch[-1], place)]
    if holders:
        best = min(holders, key=lambda one: _rank(one, place))
        return _Fall(Reason.DROPPED, fusion.label, best.label, _rank(best, place))
    falls = [_fall_inside((*before, *branch), place) for branch in fusion.branches]
    known = [fall for fall in falls if fall.rank is not None]
    return min(known, key=lambda fall: fall.rank or 0) if known else _Fall(Reason.NEVER, fusion.label)


def _below(had: Sequence[Passed], place: int, cut: int, label: str) -> _Fall:
    """Why a document stands below a cut: a reranker did not look so deep, a stage pushed it down, or neither."""
    last = had[-1]
    rank = _rank(last, place)
    if rank > last.scored[place]:
        reranker = next((one for one in reversed(had) if isinstance(one.stage, Reranker)), last)
        return _Fall(Reason.DEPTH, reranker.label, last.label, rank)
    for number, one in reversed([*enumerate(had)]):
        inputs = [branch[-1] for branch in one.branches] or had[max(0, number - 1) : number]
        if _rank(one, place) > cut and any(0 < _rank(earlier, place) <= cut for earlier in inputs):
            return _Fall(Reason.PUSHED, one.label, last.label, rank)
    return _Fall(Reason.CUT, label, last.label, rank)


def _ranked(path: Path) -> list[Passed]:
    """The stages of a path that left a ranking."""
    return [one for one in path if one.ranks is not None]


def _rank(one: Passed, place: int) -> int:
    """The rank of a document after a stage that left a ranking."""
    return 0 if one.ranks is None else int(one.ranks[place])


def _labels(path: Path) -> list[str]:
    """The labels of all stages, inputs of a fusion before it."""
    found: list[str] = []
    for one in path:
        for branch in one.branches:
            found += _labels(branch)
        found.append(one.label)
    return found
