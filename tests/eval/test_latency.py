"""Latency: single queries, no cache, each stage's own time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankloom import Document, Query, Session
from rankloom.corpus import Corpus
from rankloom.errors import UsageError
from rankloom.eval.latency import Percentiles, measure_latency
from rankloom.ranking import Ranking
from rankloom.retrieval import BM25
from rankloom.run import Run
from rankloom.stage import Reranker

QUERIES = tuple(Query(f"q{number}", "sky") for number in range(10))


class Recorder(Reranker):
    """Keeps the ranking, and what it was called with."""

    name = "recorder"
    unit = 1

    def __init__(self, *, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.seen: list[tuple[str, ...]] = []
        self.warmed = 0

    def warm_up(self, session: Session | None = None) -> None:
        assert session is not None
        assert not self.seen
        self.warmed += 1

    def __call__(self, run: Run) -> Run:
        self.seen.append(tuple(run))
        assert run.session.cache is None
        time.sleep(self.seconds)
        scores = [[(hit.doc_id, hit.score) for hit in hits] for hits in run.values()]
        return run.ranked(Ranking.from_lists(scores, stage=self.name))


def bm25() -> BM25:
    return BM25.of(Corpus.of([Document(f"d{number}", "the sky is blue") for number in range(20)]))


def test_queries_go_one_by_one_after_a_warm_up_and_past_the_cache(tmp_path: Path) -> None:
    stage = Recorder()
    session = Session(cache=tmp_path, offline=True)
    latency = measure_latency(bm25() >> stage, QUERIES, session, sample=4, warm_up=2)
    assert stage.warmed == 1
    assert [len(ids) for ids in stage.seen] == [1] * 6
    assert stage.seen[:2] == stage.seen[2:4]  # the first of the sample warm up
    assert len(set(stage.seen)) == latency.queries == 4
    assert latency.warm_up == 2
    assert session.cache is not None
    assert session.cache.holdings() == []


def test_the_sample_follows_the_seed() -> None:
    drawn = []
    for seed in (1, 1, 2):
        stage = Recorder()
        measure_latency(bm25() >> stage, QUERIES, Session(seed=seed), sample=5, warm_up=0)
        drawn.append(stage.seen)
    assert drawn[0] == drawn[1] != drawn[2]
    stage = Recorder()
    assert measure_latency(bm25() >> stage, QUERIES, Session(), sample=99, warm_up=99).queries == 10
    assert sorted(set(stage.seen)) == sorted((query.id,) for query in QUERIES)


def test_a_stage_is_charged_for_its_own_time() -> None:
    slow = Recorder(seconds=0.02)
    latency = measure_latency(bm25() >> slow, QUERIES, Session(), sample=3, warm_up=1)
    assert list(latency.stages) == ["bm25", "recorder"]
    assert latency.stages["recorder"].p50 >= 20  # it sleeps so long
    assert latency.whole.p50 >= latency.stages["recorder"].p50
    assert latency.to_dict()["stages"]["recorder"]["p95"] == latency.stages["recorder"].p95


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=30))
def test_percentiles_by_hand(seconds: list[float]) -> None:
    ordered = sorted(seconds)

    def by_hand(level: float) -> float:
        place = level / 100 * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        return 1000 * (ordered[low] + (place - low) * (ordered[high] - ordered[low]))

    assert np.allclose(Percentiles.of(seconds), [by_hand(50), by_hand(95), by_hand(99)])


@pytest.mark.parametrize("wrong", [{"sample": 0}, {"warm_up": -1}])
def test_bad_numbers(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="out of range"):
        measure_latency(bm25(), QUERIES, Session(), **wrong)
    with pytest.raises(UsageError, match="no query"):
        measure_latency(bm25(), (), Session())
