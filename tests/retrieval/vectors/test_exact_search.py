"""Exact search against brute force in float64, on data that scans can and can not tell apart."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.errors import DataError
from rankloom.retrieval.vectors import candidates, exact_search
from rankloom.retrieval.vectors.exact_search import ExactSearch, auto_kind
from rankloom.retrieval.vectors.quantised import quantised, query_measures
from rankloom.retrieval.vectors.vector_parts import VectorParts

WAYS = ["exact_int8", "exact_float32"]


def brute_force(matrix, queries, depth, labels=None):
    """Scores and labels of the best rows: in float64, rounded once, ties by label."""
    labels = np.arange(len(matrix)) if labels is None else labels
    found = np.full((len(queries), depth), -1)
    best = np.full((len(queries), depth), -np.inf, dtype=np.float32)
    for number, query in enumerate(queries):
        scores = (matrix.astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
        live = np.flatnonzero(labels >= 0)
        order = live[np.lexsort((labels[live], -scores[live]))][:depth]
        found[number, : len(order)], best[number, : len(order)] = labels[order], scores[order]
    return best, found


def check(search, matrix, queries, depth, labels=None):
    scores, found = search.search(queries, depth) if labels is None else search.best(queries, depth, labels)
    expected_scores, expected = brute_force(matrix, queries, depth, labels)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-6, atol=1e-6 * np.abs(matrix).max(initial=1))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("queries", [1, 7, 150])
@pytest.mark.parametrize("depth", [1, 10, 700])
def test_the_best_are_found(way, queries, depth):
    rng = np.random.default_rng(3)
    matrix = rng.standard_normal((9000, 24)).astype(np.float32)
    asked = rng.standard_normal((queries, 24)).astype(np.float32)
    check(ExactSearch.build(way, VectorParts([matrix])), matrix, asked, depth)


@pytest.mark.parametrize("way", WAYS)
def test_long_and_short_vectors(way):
    rng = np.random.default_rng(4)
    matrix = (rng.standard_normal((3000, 8)) * 10.0 ** rng.uniform(-9, 9, (3000, 1))).astype(np.float32)
    check(ExactSearch.build(way, VectorParts([matrix])), matrix, matrix[:9], 20)


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6), st.lists(st.integers(1, 200), min_size=1, max_size=3), st.integers(1, 30), st.integers(1, 3)
)
def test_ties_go_by_label_and_deleted_rows_are_not_found(way, seed, sizes, depth, levels):
    # few different small whole numbers: sums are exact, and most rows tie
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-levels, levels + 1, (sum(sizes), 3)).astype(np.float32)
    queries = rng.integers(-levels, levels + 1, (3, 3)).astype(np.float32)
    labels = rng.permutation(len(matrix)).astype(np.int32)
    labels[rng.random(len(matrix)) < 0.3] = -1
    parts = VectorParts(np.split(matrix, np.cumsum(sizes)[:-1]))
    check(ExactSearch.build(way, parts), matrix, queries, depth, labels)


@pytest.mark.parametrize("way", WAYS)
def test_more_copies_than_candidates_are_kept(way, monkeypatch):
    monkeypatch.setattr(candidates, "_MOST", 100)
    monkeypatch.setattr(exact_search, "BLOCK", 64)
    rng = np.random.default_rng(5)
    matrix = np.ones((3000, 4), dtype=np.float32)
    matrix[2990:] = 2
    queries = np.concatenate([np.ones((1, 4)), np.zeros((1, 4)), rng.standard_normal((3, 4))]).astype(np.float32)
    labels = rng.permutation(3000).astype(np.int32)
    check(ExactSearch.build(way, VectorParts([matrix])), matrix, queries, 12, labels)


def test_without_torch_the_results_are_the_same(monkeypatch):
    rng = np.random.default_rng(6)
    matrix, queries = (
        rng.standard_normal((5000, 32)).astype(np.float32),
        rng.standard_normal((70, 32)).astype(np.float32),
    )
    search = ExactSearch.build("exact_int8", VectorParts([matrix]))
    with_torch = search.search(queries, 10)
    monkeypatch.setattr(exact_search, "int8_product", lambda: None)
    without = search.search(queries, 10)
    assert with_torch[0].tobytes() == without[0].tobytes()
    assert with_torch[1].tobytes() == without[1].tobytes()


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_change_nothing(threads, monkeypatch):
    rng = np.random.default_rng(7)
    matrix = rng.standard_normal((4000, 16)).astype(np.float32)
    monkeypatch.setattr(exact_search, "threads", lambda: threads)
    for queries in (matrix[:1], matrix[:90]):
        check(ExactSearch.build("exact_int8", VectorParts([matrix])), matrix, queries, 5)


def test_a_score_does_not_depend_on_the_batch_or_the_way():
    rng = np.random.default_rng(8)
    matrix, queries = (
        rng.standard_normal((3000, 384)).astype(np.float32),
        rng.standard_normal((80, 384)).astype(np.float32),
    )
    together = ExactSearch.build("exact_int8", VectorParts([matrix])).search(queries, 50)
    alone = ExactSearch.build("exact_float32", VectorParts(np.split(matrix, 3))).search(queries[17:18], 50)
    assert together[0][17].tobytes() == alone[0][0].tobytes()
    assert together[1][17].tobytes() == alone[1][0].tobytes()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(-20, 12), st.integers(1, 70))
def test_bounds_hold(seed, magnitude, dimensions):
    rng = np.random.default_rng(seed)
    rows = (rng.standard_normal((50, dimensions)) * 10.0**magnitude).astype(np.float32)
    query = rng.standard_normal((1, dimensions))
    query = (query / np.linalg.norm(query)).astype(np.float32)
    codes, (scales, lengths, errors) = quantised(rows)
    query_codes, query_scales = quantised(query).codes, quantised(query).measures[0]
    scale, error, length = query_measures(query, query_codes, query_scales)[0]
    middle = (codes.astype(np.int32) @ query_codes[0].astype(np.int32)).astype(np.float32) * (scale * scales)
    slack = error * lengths + length * errors
    true = rows.astype(np.float64) @ query[0].astype(np.float64)
    assert (np.abs(true - middle.astype(np.float64)) <= slack).all()
    if magnitude > -15 and dimensions > 8:
        assert slack.max() < 0.2 * 10.0**magnitude * np.sqrt(dimensions)  # a bound, not just anything


@pytest.mark.parametrize("way", WAYS)
def test_what_was_written_is_read(way, tmp_path):
    rng = np.random.default_rng(9)
    matrix = rng.standard_normal((9000, 12)).astype(np.float32)
    parts = VectorParts(np.split(matrix, [5000]))
    for number, search in enumerate([ExactSearch.build(way, parts), ExactSearch.build(way, parts)]):
        if number:  # one is written before it has scanned anything, the other after
            search.search(matrix[:1], 1)
        folder = tmp_path / str(number)
        folder.mkdir()
        search.write(folder)
        read = ExactSearch.read(way, folder, parts)
        assert read.nbytes == search.nbytes
        check(read, matrix, matrix[:3], 10)
    for path in (tmp_path / "0").iterdir():
        assert path.read_bytes() == (tmp_path / "1" / path.name).read_bytes()


@pytest.mark.parametrize("way", WAYS)
def test_added_rows_are_found_and_a_copy_stays_as_it_was(way):
    rng = np.random.default_rng(10)
    matrix = rng.standard_normal((300, 5)).astype(np.float32)
    search = ExactSearch.build(way, VectorParts([matrix[:200]]))
    before = copy.copy(search)
    search.add(matrix[200:])
    check(search, matrix, matrix[:4], 250)
    check(before, matrix[:200], matrix[:4], 250)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_numbers_that_can_not_be_searched_are_errors(way, bad):
    matrix = np.ones((5, 3), dtype=np.float32)
    matrix[3, 1] = bad
    with pytest.raises(DataError, match="row 3"):
        ExactSearch.build(way, VectorParts([matrix])).search(matrix[:1], 1)


def test_auto_scans_few_vectors_as_they_are():
    assert auto_kind(1000, 384) == "exact_float32"
    assert auto_kind(200_000, 384) == "exact_int8"
