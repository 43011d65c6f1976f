"""Legs of a pipeline: the parts between which it can be stopped, because a ranking is there that can be answered with.

A reranker is a leg, a retriever is one, and feedback is one together with what reads the queries that it writes.
"""

from __future__ import annotations

from dataclasses import dataclass

from rankloom.errors import CompositionError
from rankloom.execution import apply
from rankloom.pipeline import Pipeline, Top
from rankloom.run import Run
from rankloom.stage import NO_TRAITS, REWRITTEN, Stage, Traits, traits_of


@dataclass(frozen=True, slots=True)
class Leg:
    """Stages that are carried out together, or not at all.

    Args:
        stages: The stages.
        needed: Whether there is no answer without it: the first leg, and every cut-off.
    """

    stages: tuple[Stage, ...]
    needed: bool

    @property
    def name(self) -> str:
        """The names of its stages."""
        return " >> ".join(stage.name for stage in self.stages)

    @property
    def free(self) -> bool:
        """Whether it takes no time to speak of."""
        return all(isinstance(stage, Top) for stage in self.stages)

    def __call__(self, run: Run) -> Run:
        """The run after all of its stages."""
        for stage in self.stages:
            run = apply(stage, run)
        return run

    def missing(self, run: Run) -> str:
        """What it needs and a run has not, because legs before it were left out; empty if nothing."""
        traits, after = traits_of(run), "what is there"
        try:
            for stage in self.stages:
                traits, after = stage.flow(traits, after=after), stage.name
        except CompositionError as error:
            return str(error)
        return ""


class Plan:
    """A pipeline as legs, for any number of hits.

    Args:
        pipeline: The pipeline.
        start: What a run holds before it.
    """

    def __init__(self, pipeline: Pipeline, start: Traits = NO_TRAITS) -> None:
        self.pipeline, self.start = pipeline, start
        self._legs: dict[int, tuple[Leg, ...]] = {}

    def legs(self, k: int) -> tuple[Leg, ...]:
        """The legs that give k hits; `.top(k)` is pushed down to a retriever that comes last."""
        if k not in self._legs:
            self._legs[k] = _legs(Pipeline([self.pipeline, Top(k)]).pushed_down(), self.start)
        return self._legs[k]

    def most(self, k: int) -> int:
        """How many hits an answer has at most that was asked for k, wherever the pipeline is stopped."""
        return min([k, *(stage.k for stage in self.pipeline.stages if isinstance(stage, Top))])


def _legs(pipeline: Pipeline, traits: Traits) -> tuple[Leg, ...]:
    """The legs of a pipeline that begins with a run of these traits."""
    legs: list[Leg] = []
    stages: list[Stage] = []
    after = "the start"
    for stage in pipeline.stages:
        traits, after = stage.flow(traits, after=after), stage.name
        stages.append(stage)
        if "ranking" in traits and not traits & REWRITTEN:
            cut_off = all(isinstance(one, Top) for one in stages)
            legs.append(Leg(tuple(stages), needed=cut_off or all(leg.free for leg in legs)))
            stages = []
    return tuple(legs)
