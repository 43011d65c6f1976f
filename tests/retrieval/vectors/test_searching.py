"""What a vector index takes as a search, and how ties come out of it."""

import numpy as np
import pytest

from rankloom.encoders import GivenVectors
from rankloom.errors import DataError, UsageError
from rankloom.records import Document
from rankloom.retrieval import VectorIndex

ENCODER = GivenVectors("given", ["text"], np.ones((1, 8), dtype=np.float32))
KINDS = ["exact_float32", "exact_int8", "flat", "sq8"]


def index_of(vectors, kind, ids=None):
    ids = [f"m{number:02}" for number in range(len(vectors))] if ids is None else ids
    return VectorIndex.from_vectors(ids, vectors.astype(np.float32), encoder=ENCODER, kind=kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "queries",
    [np.ones((1, 3)), np.ones((1, 64)), np.ones((0, 3)), np.ones(8), np.ones((1, 1, 8)), np.float32(1)],
    ids=["narrow", "wide", "none but narrow", "vector", "cube", "number"],
)
def test_queries_of_another_shape_are_errors(kind, queries):
    with pytest.raises(DataError, match=r"queries do not fit.*float32 of shape \(queries, 8\)"):
        index_of(np.eye(4, 8), kind).search(queries, 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e39])
def test_queries_that_are_not_finite_are_errors(kind, number):
    queries = np.ones((3, 8))
    queries[1, 5] = number
    with pytest.raises(DataError, match="not finite; got 'query 1'"):
        index_of(np.eye(4, 8), kind).search(queries, 2)


@pytest.mark.parametrize("k", [0, -1, 1.5, True, None])
def test_k_is_a_whole_number_from_one_on(k):
    with pytest.raises(UsageError, match="k is out of range"):
        index_of(np.eye(4, 8), "exact_float32").search(np.ones((1, 8)), k)


def test_a_rescoring_that_can_not_be_obeyed_is_an_error():
    index, query = index_of(np.eye(40, 8), "sq8"), np.ones((1, 8))
    with pytest.raises(UsageError, match=r"rescore 9.*at least k, which is 10"):
        index.search(query, 10, rescore=9)
    with pytest.raises(UsageError, match="rescore is out of range"):
        index.search(query, 10, rescore=-1)
    with pytest.raises(UsageError, match="final scores"):
        index_of(np.eye(4, 8), "exact_int8").search(query, 2, rescore=10)
    assert [len(index.search(query, 10, rescore=rescore).codes) for rescore in (0, 10, None)] == [10, 10, 10]


@pytest.mark.parametrize("effort", [{"nprobe": 0}, {"nprobe": -3}, {"nprobe": 1.5}, {"ef": 3}])
def test_an_effort_that_can_not_be_made_is_an_error(effort):
    with pytest.raises(UsageError, match=r"nprobe is out of range|has no ef"):
        index_of(np.eye(40, 8), "ivf").search(np.ones((1, 8)), 2, effort=effort)


@pytest.mark.parametrize("kind", ["exact_float32", "exact_int8", "flat"])
@pytest.mark.parametrize("k", [1, 3, 6, 7, 9])
def test_ties_go_by_id_at_the_cut_too(kind, k):
    index = index_of(np.ones((6, 8)), kind).add([Document("a", "text")]).delete(["m01"])
    queries = np.stack([np.ones(8), np.zeros(8), -np.ones(8)])
    hits = index.search(queries, k)
    for number in range(3):
        assert index.ids.take(hits.of(number)[0]) == ["a", "m00", "m02", "m03", "m04", "m05"][:k]


@pytest.mark.parametrize("kind", ["exact_float32", "exact_int8", "flat"])
def test_ties_beside_queries_without_any_and_documents_of_several_rows(kind):
    rng = np.random.default_rng(0)
    vectors = rng.integers(-1, 2, (60, 8)).astype(np.float32)
    owners = rng.integers(0, 25, 60)
    ids = [f"d{(7 * owner) % 25:02}" for owner in owners]
    index = VectorIndex.from_vectors(ids, vectors, encoder=ENCODER, kind=kind, several=True)
    queries = np.concatenate([rng.integers(-2, 3, (20, 8)), rng.standard_normal((5, 8)), np.zeros((1, 8))])
    hits = index.search(queries, 5)
    for number, query in enumerate(queries.astype(np.float32)):
        best = {}
        for doc_id, row in zip(ids, vectors, strict=True):
            best[doc_id] = max(best.get(doc_id, -np.inf), float(row.astype(np.float64) @ query))
        expected = sorted(best, key=lambda doc_id: (-best[doc_id], doc_id))[:5]
        assert index.ids.take(hits.of(number)[0]) == expected
