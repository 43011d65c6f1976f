"""Encoding and indexing on a real cluster: the files of the ordinary build, whatever happens to workers and driver."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rankloom.distributed import RayCluster, build_bm25, build_learned_sparse, build_vectors, encode_corpus
from rankloom.encoders import SentenceEncoder
from rankloom.retrieval import bm25_parts
from rankloom.retrieval.analysis import EnglishAnalyzer
from rankloom.retrieval.bm25 import BM25
from rankloom.retrieval.bm25_parts import BM25Parts
from rankloom.retrieval.learned_sparse import LearnedSparse
from rankloom.retrieval.sparse_encoder import SparseEncoder
from rankloom.retrieval.vectors.index import VectorIndex
from rankloom.retrieval.vectors.shards import encode_corpus as encode_here
from rankloom.retrieval.vectors.shards import shard_count, shards_beside
from tests.distributed.small_cluster import AtFirstStep, offline, wait_for, workers

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("cluster")]
DRIVER = """
import sys
from rankloom import Session
from rankloom.corpus import Corpus
from rankloom.distributed import RayCluster, encode_corpus
from rankloom.encoders import SentenceEncoder
corpus, path, model, address = sys.argv[1:]
encode_corpus(Corpus.open(corpus), path, SentenceEncoder(model), session=Session(offline=False, device="cpu"),
              cluster=RayCluster(address, workers=1))
"""


def files(folder):
    """The bytes of all files of a folder, by name; the random half of a segment's name is masked everywhere."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and path.name != "lock":
            name, held = str(path.relative_to(folder)), path.read_bytes()
            for segment in Path(folder).rglob("segments/*"):
                masked = f"{segment.name.partition('-')[0]}-RANDOM"
                name, held = name.replace(segment.name, masked), held.replace(segment.name.encode(), masked.encode())
            found[name] = held
    return found


def test_a_vector_index_is_the_same_bytes_though_a_worker_is_killed(corpus, models, tmp_path):
    killed = []

    def kill_one(label):
        if label == "dense shards":
            killed.append(workers()[0])
            os.kill(killed[0], signal.SIGKILL)

    watched, encoder = offline(progress=AtFirstStep(kill_one)), SentenceEncoder(models["dense"])
    there = build_vectors(corpus, tmp_path / "there", encoder=encoder, session=watched, cluster=RayCluster(workers=2))
    assert len(killed) == 1
    VectorIndex.build(corpus, tmp_path / "here", encoder=SentenceEncoder(models["dense"]), session=offline())
    assert files(tmp_path / "there") == files(tmp_path / "here")
    assert len(there) == len(corpus)
    assert {path.name for path in tmp_path.iterdir()} == {"there", "here"}


def test_a_killed_driver_goes_on_where_it_stopped(cluster, corpus, models, tmp_path):
    folder = shards_beside(tmp_path / "dense")
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(corpus.directory), str(tmp_path / "dense"), models["dense"], cluster]
    )
    try:
        wait_for(lambda: list(folder.glob("*.shard")) or driver.poll() is not None)
    finally:
        driver.kill()
        driver.wait()
    wait_for(lambda: not workers())  # the cluster notices that the driver has gone
    shards = sorted(folder.glob("*.shard"))
    if len(shards) == shard_count(corpus):  # the workers were faster than the kill
        shards.pop().unlink()
    kept = {path: path.stat().st_mtime_ns for path in shards}
    assert 0 < len(kept) < shard_count(corpus)
    encode_corpus(
        corpus, tmp_path / "dense", SentenceEncoder(models["dense"]), session=offline(), cluster=RayCluster(workers=1)
    )
    here = tmp_path / "here"
    assert sum(1 for _ in encode_here(corpus, SentenceEncoder(models["dense"]), offline(), folder=here)) == 6
    assert files(folder) == files(here)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_a_learned_sparse_index_is_the_same_bytes(corpus, models, tmp_path):
    encoder = SparseEncoder(models["sparse"], activation="log1p", top_terms=20)
    build_learned_sparse(corpus, tmp_path / "there", encoder=encoder, session=offline(), cluster=RayCluster(workers=1))
    LearnedSparse.build(corpus, tmp_path / "here", encoder, session=offline())
    assert files(tmp_path / "there") == files(tmp_path / "here")


@pytest.mark.parametrize("fields", [None, {"title": 2.0, "text": 1.0}])
def test_a_bm25_index_is_the_same_bytes(corpus, monkeypatch, tmp_path, fields):
    monkeypatch.setattr(bm25_parts, "PART_BATCHES", 1)
    parts = BM25Parts.beside(tmp_path, corpus, EnglishAnalyzer(), fields=(), term_vectors=False)
    assert len(parts) == 3
    there = build_bm25(corpus, tmp_path / "there", fields=fields, term_vectors=fields is None)
    here = BM25.build(corpus, tmp_path / "here", fields=fields, term_vectors=fields is None)
    assert files(tmp_path / "there") == files(tmp_path / "here")
    assert there.index.fingerprint() == here.index.fingerprint()
    assert {path.name for path in tmp_path.iterdir()} == {"there", "here"}


def test_parts_of_other_things_are_not_taken_over(corpus, monkeypatch, tmp_path):
    monkeypatch.setattr(bm25_parts, "PART_BATCHES", 2)
    plain, stemless = EnglishAnalyzer(), EnglishAnalyzer(stem=False)
    parts = BM25Parts.beside(tmp_path / "index", corpus, stemless, fields=(), term_vectors=False)
    parts.index(0)
    assert parts.kept(0) is not None
    assert parts.kept(1) is None
    mine = BM25Parts.beside(tmp_path / "index", corpus, plain, fields=(), term_vectors=False)
    assert mine.kept(0) is None
    built = BM25.build(corpus, tmp_path / "index", analyzer=plain)
    assert built.index.fingerprint() == BM25.build(corpus, tmp_path / "other", analyzer=plain).index.fingerprint()
