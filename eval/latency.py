"""Latency: how long one query takes, in each stage and in the whole pipeline.

A batch divided by its queries is no latency: batches fill accelerators, and caches answer in no time. Here a sample of
queries goes through a pipeline one by one, as a user's would, with warm models and no cache.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rankloom.checks import whole
from rankloom.errors import UsageError
from rankloom.execution import execute
from rankloom.records import Query
from rankloom.run import Run
from rankloom.session import Session
from rankloom.stage import Stage

#: Percentiles that are reported. With fewer than 100 queries p99 lies between the two slowest.
LEVELS = (50, 95, 99)


class Percentiles(NamedTuple):
    """Milliseconds that so many percent of the queries do not exceed; between two queries, interpolated linearly."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Percentiles:
        """The percentiles of some times.

        >>> Percentiles.of([0.001, 0.002, 0.003]).p50
        2.0
        """
        return cls(*(float(value) for value in 1000 * np.percentile(seconds, LEVELS)))


@dataclass(frozen=True, slots=True)
class Latency:
    """How long single queries took.

    Args:
        queries: How many were timed.
        warm_up: How many went before them, untimed.
        whole: From the query to the last stage's result, what happens between the stages included.
        stages: Stage -> its own time, without the stages inside it; a stage that stands twice in a pipeline is summed.
    """

    queries: int
    warm_up: int
    whole: Percentiles
    stages: Mapping[str, Percentiles]

    def to_dict(self) -> dict[str, Any]:
        """A JSON form, in milliseconds."""
        return {
            "unit": "ms",
            "queries": self.queries,
            "warm_up": self.warm_up,
            "whole": self.whole._asdict(),
            "stages": {name: percentiles._asdict() for name, percentiles in self.stages.items()},
        }


def measure_latency(
    pipeline: Stage, queries: Sequence[Query], session: Session, *, sample: int = 50, warm_up: int = 3
) -> Latency:
    """Send a sample of queries through a pipeline, one by one.

    Nothing is taken from the session's cache or put into it: a stage that costs money is paid for each query, again.

    Args:
        pipeline: What to time; its models are loaded first.
        queries: Where the sample is drawn from, without replacement, by the session's seed.
        session: How the pipeline is carried out.
        sample: How many queries to time; all, if there are no more.
        warm_up: How many of them go through once before, untimed.

    Raises:
        UsageError: There is no query, or a number is out of range.
    """
    whole(sample, least=1, stage="latency", parameter="queries")
    whole(warm_up, least=0, stage="latency", parameter="warm_up")
    if not queries:
        raise UsageError("there is no query to time", stage="latency")
    drawn = np.random.default_rng(session.seed).permutation(len(queries))[:sample]
    alone = session.uncached()
    pipeline.warm_up(alone)
    for number in drawn[:warm_up]:
        _timed(pipeline, queries[number], alone)
    totals: list[float] = []
    stages: dict[str, list[float]] = defaultdict(list)
    with session.progress.task("latency", len(drawn)) as advance:
        for number in drawn:
            seconds, by_stage = _timed(pipeline, queries[number], alone)
            totals.append(seconds)
            for name, own in by_stage.items():
                stages[name].append(own)
            advance(1)
    by_name = {name: Percentiles.of(times) for name, times in stages.items()}
    return Latency(len(drawn), min(warm_up, len(drawn)), Percentiles.of(totals), by_name)


def _timed(pipeline: Stage, query: Query, session: Session) -> tuple[float, dict[str, float]]:
    """Seconds that one query takes: all, and in each stage."""
    begun = time.perf_counter()
    run = execute(pipeline, Run(queries=(query,), session=session))
    seconds = time.perf_counter() - begun
    return seconds, {name: cost.seconds for name, cost in run.ledger.by_stage().items()}
