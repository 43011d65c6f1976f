"""Exact MaxSim against brute force in float64, on data that a scan can and can not tell apart."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from time import sleep

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.errors import DataError
from rankloom.retrieval.token_index import exact_search
from rankloom.retrieval.token_index.asked import Asked
from rankloom.retrieval.token_index.exact_search import ExactSearch
from rankloom.retrieval.token_index.int8_kernel import has_instruction
from rankloom.retrieval.token_index.scoring import document_rows, pieces, score_documents
from rankloom.retrieval.token_index.storage import Float16Storage, Int8Storage
from rankloom.retrieval.vectors.crew import Crew
from rankloom.retrieval.vectors.quantised import kept_codes
from rankloom.retrieval.vectors.vector_parts import VectorParts
from rankloom.token_vectors import TokenVectors, maxsim
from tests.retrieval.token_index.brute_force import check, kept, some_texts, texts

KINDS = [Float16Storage, Int8Storage]
WAYS = ["codes", "plain", "all"]


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    """Codes are scanned, or the vectors, or every document is scored."""
    if request.param == "codes" and not has_instruction():
        pytest.skip("this processor has no instruction for int8 products")
    if request.param != "all":
        monkeypatch.setattr(exact_search, "SMALL", 0)
    if request.param == "plain":
        monkeypatch.setattr(ExactSearch, "_by_codes", False)
    return request.param


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 10, 300])
@pytest.mark.usefixtures("way")
def test_the_best_are_found(kind, k):
    storage, offsets = kept(kind, some_texts(1, 700, 12))
    check(ExactSearch.build(storage, offsets), storage, offsets, some_texts(2, 9, 7), k)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("way")
def test_every_document_is_ranked_if_k_allows(kind):
    storage, offsets = kept(kind, some_texts(3, 60, 3))
    assert (np.diff(offsets) == 0).any()
    for k in (59, 60, 61, 1000):
        check(ExactSearch.build(storage, offsets), storage, offsets, some_texts(4, 3, 5), k)


@pytest.mark.parametrize("magnitudes", [(-9, 9), (-12, 1), (3, 12)])
@pytest.mark.usefixtures("way")
def test_long_and_short_vectors(magnitudes):
    rng = np.random.default_rng(5)
    documents = [one * 10.0 ** rng.uniform(*magnitudes, (len(one), 1)) for one in some_texts(6, 400, 6)]
    storage, offsets = kept(Int8Storage, [one.astype(np.float32) for one in documents])
    queries = [one * 10.0 ** rng.uniform(*magnitudes, (len(one), 1)) for one in texts(7, [1, 4, 9])]
    check(ExactSearch.build(storage, offsets), storage, offsets, [one.astype(np.float32) for one in queries], 20)


@pytest.mark.parametrize("small", [0, 1 << 20])
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 30), st.sampled_from([3, 4]))
def test_ties_go_by_document(small, seed, count, k, width):
    # few different small whole numbers, which float16 holds: sums are exact, and most documents tie
    rng = np.random.default_rng(seed)
    most, levels = rng.integers(0, 6), rng.integers(1, 3)
    documents = [
        rng.integers(-levels, levels + 1, (n, width)).astype(np.float32) for n in rng.integers(0, most + 1, count)
    ]
    queries = [rng.integers(-levels, levels + 1, (n, width)).astype(np.float32) for n in (1, 2, 0, 5)]
    storage, offsets = kept(Float16Storage, documents, width)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(exact_search, "SMALL", small)
        check(ExactSearch.build(storage, offsets), storage, offsets, queries, k)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("way")
def test_copies_of_one_document_and_zeros(kind):
    one = texts(8, [5])[0]
    documents = [one] * 300 + [np.zeros((4, 16), dtype=np.float32)] * 5 + texts(9, [5] * 50) + [one[:0]]
    storage, offsets = kept(kind, documents)
    check(ExactSearch.build(storage, offsets), storage, offsets, [one, np.zeros((3, 16), dtype=np.float32), -one], 7)


@pytest.mark.usefixtures("way")
def test_nothing_to_find():
    storage, offsets = kept(Float16Storage, texts(10, [0, 0, 0]))
    check(ExactSearch.build(storage, offsets), storage, offsets, texts(11, [3]), 2)
    storage, offsets = kept(Float16Storage, [])
    hits = ExactSearch.build(storage, offsets).search(TokenVectors.of(texts(11, [3, 0]), 16), 2)
    assert (hits.offsets.tolist(), len(hits.codes)) == ([0, 0, 0], 0)
    storage, offsets = kept(Float16Storage, texts(10, [2, 1]))
    hits = ExactSearch.build(storage, offsets).search(TokenVectors.of([], 16), 2)
    assert hits.offsets.tolist() == [0]


def test_a_score_depends_on_the_two_texts_alone(monkeypatch):
    storage, offsets = kept(Float16Storage, some_texts(12, 900, 9))
    queries = TokenVectors.of(texts(13, [6] * 70), 16)
    together = ExactSearch.build(storage, offsets).search(queries, 40)
    monkeypatch.setattr(exact_search, "SMALL", 0)
    scanned = ExactSearch.build(storage, offsets).search(queries, 40)
    alone = ExactSearch.build(storage, offsets).search(queries.take([41]), 40)
    np.testing.assert_array_equal(together.scores, scanned.scores)
    np.testing.assert_array_equal(together.codes, scanned.codes)
    np.testing.assert_array_equal(alone.scores, scanned.of(41)[1])
    chosen = np.array([5, 800, 5, 0], dtype=np.int32)
    everything = score_documents(storage, offsets, queries[0], np.arange(900, dtype=np.int32), Crew(2))
    np.testing.assert_array_equal(score_documents(storage, offsets, queries[0], chosen, Crew(1)), everything[chosen])


def test_scores_are_those_of_the_reference():
    documents = some_texts(14, 80, 6)
    storage, offsets = kept(Float16Storage, documents)
    query = texts(15, [5])[0]
    held = TokenVectors(storage.take(np.arange(len(storage))), offsets)
    scores = score_documents(storage, offsets, query, np.arange(80, dtype=np.int32), Crew(1))
    np.testing.assert_allclose(scores, maxsim(query, held), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_change_nothing(threads, monkeypatch):
    monkeypatch.setattr(exact_search, "SMALL", 0)
    monkeypatch.setattr(exact_search, "threads", lambda: threads)
    for piece in ("_PRODUCTS", "_ROWS", "_FINE_ROWS"):
        monkeypatch.setattr(exact_search, piece, 200)
    storage, offsets = kept(Int8Storage, some_texts(16, 500, 9))
    check(ExactSearch.build(storage, offsets), storage, offsets, some_texts(17, 12, 6), 15)


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_written_is_read(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(exact_search, "SMALL", 0)
    storage, offsets = kept(kind, some_texts(18, 300, 8))
    built = ExactSearch.build(storage, offsets, folder=tmp_path)
    read = ExactSearch.read(tmp_path, storage, offsets, built.settings())
    in_memory = ExactSearch.build(storage, offsets)
    assert built.nbytes == read.nbytes == in_memory.nbytes == len(storage) * (12 + 16 * (kind is Float16Storage))
    for search in (built, read, in_memory):
        check(search, storage, offsets, some_texts(19, 4, 5), 10)
    (tmp_path / "scan_measures.npy").unlink()
    with pytest.raises(OSError, match="scan_measures"):
        ExactSearch.read(tmp_path, storage, offsets, {})
    np.save(tmp_path / "scan_measures.npy", np.zeros((3, 7), dtype=np.float32))
    with pytest.raises(ValueError, match="other vectors"):
        ExactSearch.read(tmp_path, storage, offsets, {})


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(-12, 12), st.integers(1, 70))
def test_bounds_hold(seed, magnitude, dimensions):
    rng = np.random.default_rng(seed)
    storage = Int8Storage.build(VectorParts([texts(seed, [40], dimensions, 10.0**magnitude)[0]]))
    rows, codes = storage.take(np.arange(40)).astype(np.float64), kept_codes(storage.codes, storage.scales)
    scale, length, error = codes.measures.astype(np.float64)
    query = (rng.standard_normal((3, dimensions)) * 10.0 ** rng.uniform(-3, 3, (3, 1))).astype(np.float32)
    true = query.astype(np.float64) @ rows.T
    for asked in (Asked.coarse(TokenVectors.of([query], dimensions)), Asked.fine(TokenVectors.of([query], dimensions))):
        products = (asked.codes.astype(np.int64) @ codes.codes.T.astype(np.int64)).reshape(-1, 3, 40)
        middles = (products * asked.weights[:, :, None].astype(np.float64)).sum(axis=0) * scale
        slack = asked.errors[:, None] * length + asked.lengths[:, None] * error
        assert (np.abs(true / asked.units[0] - middles) <= slack).all()
    loose = 1e-5 * asked.lengths[:, None] * length  # fine codes of exactly kept rows: a bound, not just anything
    assert (slack <= loose + 1e-30 + asked.errors[:, None] * length).all()
    assert (asked.errors <= 1e-4 * asked.lengths * np.sqrt(dimensions)).all()


def test_rows_and_pieces():
    offsets = np.array([0, 2, 2, 5, 9])
    rows, starts = document_rows(offsets, np.array([3, 1, 0]))
    assert (rows.tolist(), starts.tolist()) == ([5, 6, 7, 8, 0, 1], [0, 4, 4, 6])
    everything = np.arange(4)
    assert list(pieces(offsets, everything, 5)) == [slice(0, 3), slice(3, 4)]
    assert list(pieces(offsets, everything, 1)) == [slice(0, 1), slice(1, 2), slice(2, 3), slice(3, 4)]
    assert list(pieces(offsets, everything, 100)) == [slice(0, 4)]
    assert list(pieces(offsets, everything[:0], 100)) == []


def test_queries_that_can_not_be_searched():
    storage, offsets = kept(Float16Storage, texts(20, [2, 3]))
    for wrong in (np.full((1, 16), np.nan, dtype=np.float32), np.full((1, 16), 1e20, dtype=np.float32)):
        with pytest.raises(DataError, match="not finite"):
            ExactSearch.build(storage, offsets).search(TokenVectors.of([wrong], 16), 1)
    with pytest.raises(DataError, match="do not fit"):
        ExactSearch.build(storage, offsets).search(TokenVectors.of(texts(21, [2], 4), 4), 1)


def test_threads_share_what_is_on_a_device(monkeypatch):
    moved, both = [], Barrier(2)

    def slowly(*_):
        moved.append(sleep(0.05))
        return object()

    monkeypatch.setattr(exact_search, "DeviceSearch", slowly)
    search = ExactSearch.build(*kept(Float16Storage, texts(22, [2, 3])))

    def ask(_):
        both.wait()
        return search._on("cuda:0")

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(ask, range(2))
    assert one is other
    assert len(moved) == 1
