"""Vector feedback beside pyserini's own, on the same vectors.

Pyserini's module of vector feedback is loaded from its file, as it is. What it imports for ANCE-PRF alone (an encoder
and Lucene's searcher, which would start Java) is left out.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from rankloom import Query, Run
from rankloom.encoders import Encoded
from rankloom.prf import VectorPRF
from tests.prf.fakes import FakeVectors

DIMENSIONS, DOCUMENTS, QUERIES = 384, 50, 7
RNG = np.random.default_rng(5)
STORED = {f"d{number}": RNG.standard_normal(DIMENSIONS).astype(np.float32) for number in range(DOCUMENTS)}
ASKED = [RNG.standard_normal(DIMENSIONS).astype(np.float32) for _ in range(QUERIES)]
UNUSED = {"pyserini.encode": "AnceQueryEncoder", "pyserini.search.lucene": "LuceneSearcher"}


class Wide(FakeVectors):
    """As FakeVectors; queries bring their vectors, which are longer."""

    def encode_queries(self, queries, session):  # noqa: ARG002
        none = np.zeros(len(queries), dtype=np.int64)
        return Encoded(np.array([query.vectors["letters"] for query in queries]), none, none, 0)

    def document_vectors(self, doc_ids):
        return np.array([self.vectors[doc_id] for doc_id in doc_ids]), np.ones(len(doc_ids), dtype=np.bool_)


@pytest.fixture
def theirs(monkeypatch):
    """Pyserini's module of vector feedback."""
    found = importlib.util.find_spec("pyserini")
    if found is None or found.origin is None:
        pytest.skip("pyserini is not installed (extra lucene)")
    for name, unused in UNUSED.items():
        stub = ModuleType(name)
        setattr(stub, unused, object)
        monkeypatch.setitem(sys.modules, name, stub)
    path = Path(found.origin).with_name("search") / "faiss" / "_prf.py"
    spec = importlib.util.spec_from_file_location("pyserini_vector_feedback", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # its dataclass looks itself up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run():
    """Every query with ten hits."""
    hits = {f"q{n}": {f"d{one}": float(-place) for place, one in enumerate(RNG.permutation(DOCUMENTS)[:10])}
            for n in range(QUERIES)}  # fmt: skip
    queries = [Query(f"q{n}", "text", vectors={"letters": vector}) for n, vector in enumerate(ASKED)]
    return Run.from_dict(hits, queries=queries)


def moved(run, **parameters):
    after = VectorPRF(retriever=Wide(vectors=STORED), **parameters).run(run)
    return np.array([query.vectors["letters"] for query in after.queries])


def candidates(theirs, run, depth):
    """What pyserini's searcher hands over: the best documents of each query, with their vectors."""
    return {
        query: [theirs.PrfDenseSearchResult(hit.doc_id, hit.score, STORED[hit.doc_id]) for hit in hits[:depth]]
        for query, hits in run.items()
    }


def test_average_of_three(theirs, run):
    expected = theirs.DenseVectorAveragePrf().get_batch_prf_q_emb(
        list(run), np.array(ASKED), candidates(theirs, run, 3)
    )
    np.testing.assert_allclose(moved(run, docs=3), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("weights", "docs", "negatives"), [((0.4, 0.6, 0.0), 5, 0), ((0.9, 0.1, 0.1), 3, 4), ((1.0, 0.5, 0.25), 5, 5)]
)
def test_rocchio(theirs, run, weights, docs, negatives):
    method = theirs.DenseVectorRocchioPrf(*weights, docs, negatives)
    depth = 10 if negatives else docs
    expected = method.get_batch_prf_q_emb(list(run), np.array(ASKED), candidates(theirs, run, depth))
    alpha, beta, gamma = weights
    ours = moved(run, method="rocchio", docs=docs, alpha=alpha, beta=beta, gamma=gamma, negatives=negatives)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6)
    assert np.abs(ours - np.array(ASKED)).max() > 0.1
