"""Fusion as a stage: several rankings of the same queries become one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from rankloom.checks import between, choice
from rankloom.errors import CompositionError, DataError, UsageError
from rankloom.fusion_methods import METHODS, MISSING, RANK_METHODS, Missing, Settings
from rankloom.order import blocks
from rankloom.pool import NORMS, Norm, Pool
from rankloom.ranking import Ranking, ScoreKind, concatenate
from rankloom.records import Document, Documents, Query
from rankloom.run import Run, Step
from rankloom.session import Session
from rankloom.stage import NO_TRAITS, REWRITTEN, Stage, Traits

_LARGEST = 1e9  # of weights and of rrf's constant: only keeps infinity and NaN out


class Fuser(Stage):
    """Send a run through several branches and fuse their rankings.

    Made by `interpolate`, `rrf` and `fuse`. The fused run keeps the queries it came with, whatever feedback did to
    them inside a branch.

    Args:
        branches: Stages or pipelines, at least one; each gets the same run.
        method: One of `rankloom.fusion_methods.METHODS`.
        weights: One for each branch; all 1 by default.
        norm: Normalisation of each list, see `rankloom.pool.normalise`.
        missing: For `interpolate`: what a document scores in a list that does not hold it.
        rrf_k: For `rrf`: the constant.

    Raises:
        UsageError: An unknown method, norm or policy, a setting that the method does not read, or another number of
            weights than branches.
        CompositionError: A branch is not a stage.
    """

    provides = frozenset({"ranking"})
    grain = "none"

    def __init__(
        self,
        branches: Sequence[Stage],
        *,
        method: str = "combsum",
        weights: Sequence[float] | None = None,
        norm: Norm = "none",
        missing: Missing = "zero",
        rrf_k: float = 60.0,
    ) -> None:
        choice(method, METHODS, stage="fusion", parameter="method")
        choice(norm, NORMS, stage=method, parameter="norm")
        choice(missing, MISSING, stage=method, parameter="missing")
        for branch in branches:
            if not isinstance(branch, Stage):
                raise CompositionError("a branch is not a stage", stage=method, value=branch)
        if not branches:
            raise UsageError("needs branches to fuse", stage=method, accepted="at least one stage or pipeline")
        if weights is not None and len(weights) != len(branches):
            raise UsageError(f"needs one weight for each of {len(branches)} branches", stage=method, value=weights)
        _refuse_unread(method, norm=norm, missing=missing, rrf_k=rrf_k)
        self.branches = tuple(branches)
        self.method = self.name = method
        self.weights = None if weights is None else tuple(_weight(weight, method) for weight in weights)
        self.norm: Norm = norm
        self.missing: Missing = missing
        self.rrf_k = between(rrf_k, 0, _LARGEST, stage=method, parameter="rrf_k")

    def __call__(self, run: Run) -> Run:
        """Carry the branches out, each once, and fuse what they return."""
        from rankloom.execution import apply

        results = [apply(branch, run) for branch in self.branches]
        ranking = self.combine([result.hits(stage=self.method) for result in results])
        ledger = results[0].ledger
        for result in results[1:]:
            ledger += result.ledger
        branches = tuple(result.steps[len(run.steps) :] for result in results)
        step = Step(self.method, run.queries, ranking, branches)
        return replace(
            run,
            ranking=ranking,
            documents=joined_documents([result.documents for result in results]),
            ledger=ledger,
            steps=(*run.steps, step),
        )

    def combine(self, rankings: Sequence[Ranking]) -> Ranking:
        """Fuse rankings of the same queries.

        Raises:
            UsageError: Scores of different or meaningless scales would be added without a normalisation.
        """
        self._check_scales(rankings)
        rankings = Ranking.sharing_ids(rankings)
        total = np.sum([ranking.offsets for ranking in rankings], axis=0)
        parts = [self._combined([ranking.slice(first, last) for ranking in rankings]) for first, last in blocks(total)]
        return concatenate(parts) if parts else Ranking.empty(0)

    def _combined(self, rankings: Sequence[Ranking]) -> Ranking:
        """A stretch of queries, fused."""
        pool = Pool.of(rankings)
        weights = np.array(self.weights or [1.0] * len(rankings))
        scores = METHODS[self.method](pool, weights, Settings(self.norm, self.missing, self.rrf_k))
        kept = ~np.isnan(scores)
        offsets = np.concatenate([[0], np.cumsum(kept)])[pool.offsets]
        kind = ScoreKind.RANK if self.method in RANK_METHODS else ScoreKind.SIMILARITY
        return Ranking.build(
            pool.ids, offsets, pool.codes[kept], scores[kept].astype(np.float32), stage=self.method, kind=kind
        )

    @property
    def inner(self) -> tuple[Stage, ...]:
        """The branches."""
        return self.branches

    def opening(self) -> Traits:
        """What any of the branches must find."""
        return NO_TRAITS.union(*(branch.opening() for branch in self.branches))

    def pushed_down(self) -> Fuser:
        """The same fusion with each `.top(k)` inside a branch made part of the retriever it follows."""
        return self.replace(branches=[branch.pushed_down() for branch in self.branches])

    def flow(self, traits: Traits, *, after: str) -> Traits:
        """What the branches leave in common; each must end with a ranking."""
        left = [branch.flow(traits, after=after) for branch in self.branches]
        for branch, held in zip(self.branches, left, strict=True):
            if "ranking" not in held:
                raise CompositionError(
                    f"the branch {branch!r} ends without a ranking", stage=self.method, fix="end it with a retriever"
                )
            if held & REWRITTEN - traits:
                raise CompositionError(
                    f"the branch {branch!r} ends with rewritten queries that nothing reads",
                    stage=self.method,
                    fix="end it with a reranker that reads them",
                )
        texts: Traits = frozenset({"text"}) if all("text" in held for held in left) else NO_TRAITS
        unread = (traits & REWRITTEN).intersection(*left)  # what one branch has read need not be read again
        return self.provides | texts | unread

    def warm_up(self, session: Session | None = None) -> None:
        """Load the models of every branch."""
        for branch in self.branches:
            branch.warm_up(session)

    def close(self) -> None:
        """Free the models of every branch."""
        for branch in self.branches:
            branch.close()

    def _check_scales(self, rankings: Sequence[Ranking]) -> None:
        """Refuse to add scores that have no common scale."""
        kinds = {ranking.kind for ranking in rankings if len(ranking.codes)}
        if self.method in RANK_METHODS or self.norm != "none" or len(rankings) == 1:
            return
        if len(kinds) > 1 or ScoreKind.RANK in kinds:
            raise UsageError(
                "these scores have no common scale",
                stage=self.method,
                value=", ".join(sorted(kinds)),
                fix='pass norm="minmax" (or zscore, centred), or use rrf',
            )


def interpolate(
    first: Stage,
    second: Stage,
    *,
    alpha: float = 0.5,
    alpha_of: Literal["first", "second"] = "first",
    norm: Norm = "none",
    missing: Missing = "minimum",
) -> Fuser:
    """Alpha times one ranking's scores plus (1 - alpha) times the other's.

    Args:
        first: A stage or pipeline.
        second: Another.
        alpha: Weight from 0 to 1.
        alpha_of: The side that alpha weighs.
        norm: Normalisation of each list.
        missing: What a document scores in a list that does not hold it: that list's `minimum` (as pyserini's hybrid
            searcher does, the default), `zero`, or `drop` the document.

    Raises:
        UsageError: alpha is not between 0 and 1, or another option is unknown.
    """
    between(alpha, 0, 1, stage="interpolate", parameter="alpha")
    choice(alpha_of, ("first", "second"), stage="interpolate", parameter="alpha_of")
    weights = (alpha, 1 - alpha) if alpha_of == "first" else (1 - alpha, alpha)
    return Fuser([first, second], method="interpolate", weights=weights, norm=norm, missing=missing)


def rrf(*stages: Stage, k: float = 60.0, weights: Sequence[float] | None = None) -> Fuser:
    """Reciprocal rank fusion: sum of weight / (k + rank).

    Args:
        stages: Stages or pipelines.
        k: Dampens the head of the lists; 60 in Cormack, Clarke and Buettcher (SIGIR 2009).
        weights: One for each stage.
    """
    return Fuser(stages, method="rrf", weights=weights, rrf_k=k)


def fuse(*stages: Stage, method: str, norm: Norm = "none", weights: Sequence[float] | None = None) -> Fuser:
    """Fuse by any method of `rankloom.fusion_methods.METHODS`, such as `combmnz` or `borda`."""
    return Fuser(stages, method=method, norm=norm, weights=weights)


def fuse_runs(
    runs: Sequence[Run],
    *,
    method: str,
    norm: Norm = "none",
    missing: Missing = "zero",
    weights: Sequence[float] | None = None,
    rrf_k: float = 60.0,
) -> Run:
    """Fuse runs that are there already, such as TREC files.

    Args:
        runs: At least one. A query that a run does not hold has no hits in it. The queries come in the order in
            which they first occur, each with the first text that is known of it.
        method: One of `rankloom.fusion_methods.METHODS`.
        norm: Normalisation of each list.
        missing: For `interpolate`.
        weights: One for each run.
        rrf_k: For `rrf`.

    Example:
        >>> a, b = Run.from_dict({"q": {"x": 2.0, "y": 1.0}}), Run.from_dict({"q": {"y": 5.0}})
        >>> fuse_runs([a, b], method="rrf")["q"].doc_ids
        ['y', 'x']
    """
    if not runs:
        raise UsageError("there are no runs to fuse", stage=method)
    queries: dict[str, Query] = {}
    for query in (query for run in runs for query in run.queries):
        if query.id not in queries or queries[query.id].blank:
            queries[query.id] = query
    given = [_Given(run, _aligned(run, list(queries))) for run in runs]
    fuser = Fuser(given, method=method, norm=norm, missing=missing, weights=weights, rrf_k=rrf_k)
    return fuser.run(Run(queries=tuple(queries.values()), session=runs[0].session))


def joined_documents(sources: Sequence[Documents | None]) -> Documents | None:
    """The texts of several sources: None if any is unknown, one of them if they are the same."""
    known = {source.fingerprint(): source for source in sources if source is not None}
    if not known or None in sources:
        return None
    return next(iter(known.values())) if len(known) == 1 else _Several(tuple(known.values()))


def _refuse_unread(method: str, *, norm: str, missing: str, rrf_k: float) -> None:
    """Refuse settings that a method does not read; they would change nothing without a word."""
    unread = {
        "norm": (norm, "none", method in RANK_METHODS),
        "missing": (missing, "zero", method != "interpolate"),
        "rrf_k": (rrf_k, 60.0, method != "rrf"),
    }
    for name, (value, default, ignored) in unread.items():
        if ignored and value != default:
            raise UsageError(f"{name} has no effect on this method", stage=method, value=value, fix="leave it out")


def _weight(weight: float, method: str) -> float:
    """A branch's weight, if it is a finite number."""
    return between(weight, -_LARGEST, _LARGEST, stage=method, parameter="a weight")


class _Given(Stage):
    """A run that is there already, as a branch of a fusion."""

    name = "given"
    provides = frozenset({"ranking", "text"})
    grain = "none"

    def __init__(self, given: Run, hits: Ranking) -> None:
        self.given = given
        self.hits = hits

    def __call__(self, run: Run) -> Run:
        """The hits that were given, for the queries asked, with what the ledger says of them."""
        ledger = run.ledger + self.given.ledger
        return replace(run, ranking=self.hits, documents=self.given.documents, ledger=ledger)

    def fingerprint(self) -> str:
        """The lineage of the run."""
        return self.given.lineage


class _Several:
    """Documents of several corpora; the first that knows an id gives its text."""

    def __init__(self, sources: tuple[Documents, ...]) -> None:
        self.sources = sources

    def get(self, doc_ids: list[str]) -> list[Document]:
        """The documents, each from the first source that has it."""
        return [self._one(doc_id) for doc_id in doc_ids]

    def fingerprint(self) -> str:
        """The fingerprints of all sources."""
        return "+".join(source.fingerprint() for source in self.sources)

    def _one(self, doc_id: str) -> Document:
        for source in self.sources[:-1]:
            try:
                return source.get([doc_id])[0]
            except DataError:
                continue
        return self.sources[-1].get([doc_id])[0]


def _aligned(run: Run, query_ids: Sequence[str]) -> Ranking:
    """The hits for the queries asked, in their order; none for those that the run does not hold."""
    ranking = run.hits(stage="fuse_runs")
    if list(run) == list(query_ids):
        return ranking
    places = {query_id: place for place, query_id in enumerate(run)}
    padded = replace(ranking, offsets=np.append(ranking.offsets, ranking.offsets[-1]), scored=None)
    return padded.select([places.get(query_id, len(run)) for query_id in query_ids])
