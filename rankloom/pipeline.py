"""Pipelines: stages one after another, checked when they are put together."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any

from rankloom.checks import whole
from rankloom.errors import CompositionError
from rankloom.fingerprint import digest
from rankloom.records import Documents
from rankloom.run import Run
from rankloom.session import Session
from rankloom.stage import Feedback, Reranker, Retriever, Stage, Trait, Traits


class Top(Stage):
    """Keep the best k hits of each query.

    Args:
        k: How many to keep, at least 1.

    Raises:
        UsageError: k is not a positive whole number.
    """

    name = "top"
    needs = frozenset({"ranking"})
    grain = "none"

    def __init__(self, k: int) -> None:
        self.k = whole(k, least=1, stage="top", parameter="k")

    def __call__(self, run: Run) -> Run:
        """The same run, cut off."""
        return run.top(self.k)


class Pipeline(Stage):
    """Stages in sequence; itself a stage.

    Usually written with `>>` and `.top(k)`. A pipeline may begin with a stage that needs a ranking; it is then a
    part to be put behind others, or to be run over a run that has one.

    Args:
        stages: The stages, at least one; pipelines among them are taken apart.

    Raises:
        CompositionError: A stage can not follow the one before it.
    """

    name = "pipeline"
    grain = "none"

    def __init__(self, stages: Iterable[Stage]) -> None:
        flat: list[Stage] = []
        for stage in stages:
            _check_stage(stage)
            flat.extend(stage.stages if isinstance(stage, Pipeline) else [stage])
        if not flat:
            raise CompositionError("a pipeline needs at least one stage", stage="pipeline")
        self.stages: tuple[Stage, ...] = _bound(flat)
        self.flow(self.opening() | _text_with_ranking(self.opening()), after="the start")

    def __call__(self, run: Run) -> Run:
        """Every stage in turn."""
        from rankloom.execution import apply

        for stage in self.stages:
            run = apply(stage, run)
        return run

    @property
    def documents(self) -> Documents | None:
        """The documents of the last stage that brings any."""
        return next((stage.documents for stage in reversed(self.stages) if stage.documents is not None), None)

    def fingerprint(self) -> str:
        """A digest of the stages in order."""
        return digest("pipeline", [stage.fingerprint() for stage in self.stages])

    def flow(self, traits: Traits, *, after: str) -> Traits:
        """What a run holds after the last stage; see `Stage.flow`."""
        for stage in self.stages:
            traits = stage.flow(traits, after=after)
            after = stage.name
        return traits

    def opening(self) -> Traits:
        """What the first stage must find."""
        return self.stages[0].opening()

    def pushed_down(self) -> Pipeline:
        """The same pipeline with each `.top(k)` behind a retriever made part of the retriever."""
        pushed: list[Stage] = []
        for stage in self.stages:
            before = pushed[-1] if pushed else None
            if isinstance(stage, Top) and isinstance(before, Retriever):
                pushed[-1] = before.at_depth(stage.k)
            elif isinstance(stage, Top) and isinstance(before, Top):
                pushed[-1] = Top(min(before.k, stage.k))
            else:
                pushed.append(stage.pushed_down())
        return Pipeline(pushed)

    def warm_up(self, session: Session | None = None) -> None:
        """Load the models of every stage."""
        for stage in self.stages:
            stage.warm_up(session)

    def close(self) -> None:
        """Free the models of every stage."""
        for stage in self.stages:
            stage.close()

    def __repr__(self) -> str:
        """The stages joined by `>>`."""
        return " >> ".join(repr(stage) for stage in self.stages)


class Composition(Pipeline):
    """A pipeline that has a word of its own, and is put together from parts that it is told.

    Everywhere but in YAML it is its stages: inside another pipeline they take its place, and fingerprints, histories
    and reports know nothing else. A subclass types its parts as `rankloom.parameter_kinds.Inner`, keeps its parameters
    under their names, and calls the constructor of `Pipeline`.
    """

    @classmethod
    @abstractmethod
    def steps(cls, given: Mapping[str, Any], last: Callable[[Any], tuple[type[Stage], Mapping[str, Any]]]) -> list[Any]:
        """The same pipeline in the words of YAML, from which an experiment is planned before anything is built.

        Args:
            given: All parameters, parts as they are written.
            last: The last stage of a part, given as it is written: its class and all its parameters.
        """


def _check_stage(stage: object) -> None:
    """Refuse what can not be carried out."""
    if not isinstance(stage, Stage):
        raise CompositionError("this is not a stage", stage="pipeline", value=stage, accepted="rankloom stages")


def _bound(stages: list[Stage]) -> tuple[Stage, ...]:
    """The stages, with each feedback stage reading from the retriever behind it, or from that of the reranker there."""
    bound = list(stages)
    for place, (stage, after) in enumerate(pairwise(stages)):
        if not isinstance(stage, Feedback) or stage.retriever is not None:
            continue
        if isinstance(after, Reranker) and not _can_follow(after, stage):
            raise stage.unreadable(after)
        source = after.retriever if isinstance(after, Reranker) else after
        if isinstance(source, Retriever):
            bound[place] = stage.bound(source)
    return tuple(bound)


def _can_follow(reranker: Reranker, feedback: Feedback) -> bool:
    """Whether a reranker compares what feedback writes; in YAML this is asked before the reranker has its index."""
    if feedback.reads is None or "ranking" in feedback.drops:  # it writes no vectors, or for a retriever
        return True
    return reranker.reads is not None and issubclass(feedback.reads, reranker.reads)


def _text_with_ranking(needs: Traits) -> frozenset[Trait]:
    """A part that begins with a ranking is put behind stages that will bring texts with it."""
    return frozenset({"text"}) if "ranking" in needs else frozenset()
