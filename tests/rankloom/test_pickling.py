"""Stages, corpora and indexes leave a process as parameters and folders."""

import pickle
import shutil

import pytest

from rankloom import Document, rrf
from rankloom.corpus import Corpus
from rankloom.errors import NotFoundError, UsageError
from rankloom.prf import RM3
from rankloom.rerank import BiEncoder
from rankloom.retrieval.bm25 import BM25

DOCUMENTS = [Document("d1", "the blue sky"), Document("d2", "the red sea", "Seas"), Document("d3", "a blue sea")]


def again(value):
    return pickle.loads(pickle.dumps(value))


@pytest.fixture
def bm25(tmp_path):
    return BM25.build(Corpus.build(DOCUMENTS, tmp_path / "corpus"), tmp_path / "bm25", k=7)


def test_a_pipeline_is_the_same_pipeline(bm25):
    pipeline = rrf(bm25 >> RM3(docs=1) >> bm25, bm25.top(2)) >> BiEncoder(depth=2, batch_size=3)
    copy = again(pipeline)
    assert copy.fingerprint() == pipeline.fingerprint()
    assert copy.stages[-1].batch_size == 3
    assert (bm25 >> RM3(docs=1) >> bm25).run({"q": "blue"}).to_dict() == again(bm25 >> RM3(docs=1) >> bm25).run(
        {"q": "blue"}
    ).to_dict()


def test_a_corpus_in_memory_is_pickled_whole():
    corpus = Corpus.of(DOCUMENTS)
    copy = again(corpus)
    assert list(copy) == list(corpus)
    assert copy.fingerprint() == corpus.fingerprint()


def test_a_corpus_on_disk_is_opened_again(tmp_path):
    corpus = Corpus.build(DOCUMENTS, tmp_path / "corpus")
    pickled = pickle.dumps(corpus)
    assert pickle.loads(pickled).directory == (tmp_path / "corpus").resolve()
    Corpus.build(DOCUMENTS[:2], tmp_path / "corpus")
    with pytest.raises(UsageError, match="the folder holds another corpus than it did elsewhere"):
        pickle.loads(pickled)
    shutil.rmtree(tmp_path / "corpus")
    with pytest.raises(NotFoundError):
        pickle.loads(pickled)


def test_an_index_that_has_changed_is_refused(bm25, tmp_path):
    pickled = pickle.dumps(bm25.index)
    assert pickle.loads(pickled).fingerprint() == bm25.index.fingerprint()
    BM25.build(Corpus.of(DOCUMENTS[:2]), tmp_path / "bm25")
    with pytest.raises(UsageError, match="the folder holds another index than it did elsewhere"):
        pickle.loads(pickled)


def test_an_index_in_memory_stays_where_it_is():
    with pytest.raises(UsageError, match="an index in memory can not leave its process; fix: build it into a folder"):
        pickle.dumps(BM25.of(DOCUMENTS))
