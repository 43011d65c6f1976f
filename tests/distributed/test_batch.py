"""Pipelines on a real cluster: the run files and notes of the ordinary run, whatever happens to workers and driver."""

import os
import pickle
import random
import signal
import subprocess
import sys

import pytest

from rankloom.cache import Cache
from rankloom.distributed import RayCluster, fill_cache, run_on_ray
from rankloom.errors import CompositionError, DataError, UsageError
from rankloom.rerank import BiEncoder, CrossEncoder
from rankloom.retrieval.bm25 import BM25
from rankloom.run import Run
from tests.distributed.small_cluster import AtFirstStep, offline, wait_for, workers
from tests.tiny_models import WORDS

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("cluster")]
# it waits after its first unit, so that it is killed before its end
DRIVER = """
import pickle, sys, time
from rankloom import Session
from rankloom.cache import Cache
from rankloom.distributed import RayCluster, run_on_ray
put = Cache.put
def put_and_wait(self, values, *, stage):
    put(self, values, stage=stage)
    if stage == "ray":
        time.sleep(300)
Cache.put = put_and_wait
stage, queries = pickle.load(open(sys.argv[1], "rb"))
session = Session(offline=False, device="cpu", cache=sys.argv[2])
run_on_ray(stage, queries, session=session, cluster=RayCluster(sys.argv[3], workers=1))
"""


@pytest.fixture(scope="module")
def queries():
    random.seed(5)
    words = [word for word in WORDS if word.isalpha()]
    return {f"q{number:03}": " ".join(random.choices(words, k=4)) for number in range(150)}


@pytest.fixture(scope="module")
def bm25(corpus, tmp_path_factory):
    return BM25.build(corpus, tmp_path_factory.mktemp("indexes") / "bm25", k=30)


@pytest.fixture(scope="module")
def pipeline(bm25, models):
    return bm25.top(10) >> CrossEncoder(models["cross"], depth=6)


def written(run, path):
    run.to_trec(path)
    return path.read_bytes(), run.ledger.notes


def local(stage, start, cache):
    return stage.run(start, session=offline(cache=cache))


def test_reranking_is_the_same_bytes_though_a_worker_is_killed(bm25, models, queries, tmp_path):
    first = bm25.run(dict(list(queries.items())[:40]))
    stage = CrossEncoder(models["cross"], depth=9)
    here = written(local(stage, first, tmp_path / "here"), tmp_path / "here.trec")
    killed = []

    def kill_one(label):
        if label == "ray":
            killed.append(workers()[0])
            os.kill(killed[0], signal.SIGKILL)

    watched = offline(cache=tmp_path / "there", progress=AtFirstStep(kill_one))
    run = run_on_ray(stage, first, session=watched, cluster=RayCluster(workers=2))
    assert len(killed) == 1
    assert written(run, tmp_path / "there.trec") == here
    assert here[1]  # pairs that were cut, and hits below the depth
    cost = run.ledger.costs[-1]
    assert cost.inputs == cost.cached == 40 * 9  # this process has computed nothing
    # the two caches hold the same: the next run may go either way
    results = {entry for entry in Cache(tmp_path / "there").entries() if entry[0] != "ray"}
    assert results == set(Cache(tmp_path / "here").entries())


def test_a_pipeline_is_the_same_bytes(bm25, models, queries, tmp_path):
    pipeline = bm25.top(10) >> BiEncoder(models["dense"], depth=5)
    here = written(local(pipeline, queries, tmp_path / "here"), tmp_path / "here.trec")
    there = offline(cache=tmp_path / "there")
    run = run_on_ray(pipeline, queries, session=there, cluster=RayCluster(workers=2))
    assert written(run, tmp_path / "there.trec") == here
    assert [(cost.stage, cost.inputs, cost.cached) for cost in run.ledger.costs] == [
        ("bm25", 150, 150),
        ("bi_encoder", 750, 750),
    ]


def units_asked_for(monkeypatch):
    """Lists of the numbers that jobs will hand out from now on."""
    asked, each = [], RayCluster.each

    def recorded(self, make, arguments, numbers, **more):
        asked.append(list(numbers))
        return each(self, make, arguments, numbers, **more)

    monkeypatch.setattr(RayCluster, "each", recorded)
    return asked


def test_a_killed_driver_goes_on_where_it_stopped(cluster, pipeline, queries, tmp_path, monkeypatch):
    here = written(local(pipeline, queries, tmp_path / "here"), tmp_path / "here.trec")
    (tmp_path / "job").write_bytes(pickle.dumps((pipeline, queries)))
    cache = Cache(tmp_path / "there")

    def marked():
        return sum(stage == "ray" for stage, _, _ in cache.entries())

    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path / "job"), str(cache.directory), cluster])
    try:
        wait_for(lambda: marked() or driver.poll() is not None)
    finally:
        driver.kill()
        driver.wait()
    done = marked()
    assert done == 1
    asked = units_asked_for(monkeypatch)
    there = offline(cache=cache)
    run = run_on_ray(pipeline, queries, session=there, cluster=RayCluster(workers=1))
    assert [len(numbers) for numbers in asked] == [3 - done]
    assert written(run, tmp_path / "there.trec") == here


def test_a_pipeline_that_fails_leaves_the_others(bm25, models, queries, tmp_path, monkeypatch):
    session = offline(cache=tmp_path / "cache", on_truncate="error")
    start = Run.start(queries, session=session)
    pipelines = {"cut": bm25 >> BiEncoder(models["dense"], depth=30), "whole": bm25.top(5)}
    cluster = RayCluster(workers=1)
    failed = fill_cache(pipelines, start, cluster=cluster)
    assert list(failed) == ["cut"]
    assert isinstance(failed["cut"], DataError)
    assert "bi_encoder: a text is longer than the model reads" in str(failed["cut"])
    asked = units_asked_for(monkeypatch)
    assert fill_cache({"whole": pipelines["whole"]}, start, cluster=cluster) == {}
    assert asked == [[]]  # nothing is left to do
    with pytest.raises(DataError, match="longer than the model reads"):
        run_on_ray(pipelines["cut"], start, cluster=cluster)


def test_without_a_cache_there_is_no_job(bm25, queries):
    with pytest.raises(UsageError, match=r"^ray: results come through the cache, and there is none; fix: Session"):
        run_on_ray(bm25, queries, session=offline())


def test_a_pipeline_that_can_not_follow_the_run_is_refused_before_any_job(models, queries, tmp_path):
    with pytest.raises(CompositionError, match="needs ranking"):
        run_on_ray(CrossEncoder(models["cross"]), queries, session=offline(cache=tmp_path))


def test_an_index_in_memory_is_refused(corpus, queries, tmp_path):
    with pytest.raises(UsageError, match="an index in memory can not leave its process"):
        run_on_ray(BM25.of(corpus), queries, session=offline(cache=tmp_path))
