"""Every kind of FAISS index against brute force; deleted rows, added rows, files, threads."""

import copy
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from rankloom.errors import UsageError
from rankloom.retrieval.vectors.faiss_kinds import KINDS
from rankloom.retrieval.vectors.faiss_search import FaissSearch, row_kind, sample
from rankloom.retrieval.vectors.vector_parts import VectorParts

DIMENSIONS, ROWS, DEPTH = 24, 3000, 10
#: Least recall@10 of each kind; those that look at all rows in full may miss nothing.
LEAST = {"flat": 1, "sq8": 0.97, "hnsw": 0.99, "hnsw_sq8": 0.96, "ivf": 0.85, "ivf_sq8": 0.85, "ivf_pq": 0.5}


def _clustered(rows, seed):
    """Unit vectors around a few hundred centres, as those of texts lie."""
    centres = np.random.default_rng(0).standard_normal((200, DIMENSIONS))
    rng = np.random.default_rng(seed)
    vectors = centres[rng.integers(0, 200, rows)] + 0.7 * rng.standard_normal((rows, DIMENSIONS))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


VECTORS, QUERIES = _clustered(ROWS, 1), _clustered(60, 2)
PARTS = VectorParts([VECTORS[:1000], VECTORS[1000:]])


def _best(live=None, vectors=VECTORS):
    """Rows of the best by brute force."""
    scores = QUERIES.astype(np.float64) @ vectors.T.astype(np.float64)
    if live is not None:
        scores[:, ~live] = -np.inf
    return np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]


def _recall(found, best):
    return float(np.mean([len(set(a) & set(b)) / DEPTH for a, b in zip(found.tolist(), best.tolist(), strict=True)]))


@pytest.fixture(scope="module")
def built():
    return {kind: FaissSearch.build(kind, PARTS) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_most_of_the_best_are_found(built, kind):
    scores, rows = built[kind].search(QUERIES, DEPTH)
    assert (scores.dtype, rows.dtype, rows.shape) == (np.float32, np.int64, (60, DEPTH))
    assert (np.diff(scores, axis=1) <= 0).all()
    assert LEAST[kind] <= _recall(rows, _best()) <= 1
    exact = np.einsum("qd,qkd->qk", QUERIES, VECTORS[rows])
    assert np.abs(scores - exact).max() < {"float32": 1e-5, "sq8": 0.05, "pq": 0.5}[KINDS[kind][1]]


@pytest.mark.parametrize("kind", ["ivf", "ivf_sq8", "ivf_pq", "hnsw"])
def test_more_effort_finds_more(built, kind):
    def recall(effort):
        return _recall(built[kind].search(QUERIES, DEPTH, effort=effort)[1], _best())

    little, much = ({"ef": 10}, {"ef": 3000}) if kind == "hnsw" else ({"nprobe": 1}, {"nprobe": 10**6})
    assert recall(little) + 0.01 < recall(much)
    if kind in ("ivf", "hnsw"):
        assert recall(much) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_not_live_are_never_found(built, kind):
    live = np.random.default_rng(4).random(ROWS) < 0.5
    live[_best()[:, :3]] = False
    scores, rows = built[kind].search(QUERIES, DEPTH, live=live)
    assert live[rows[rows >= 0]].all()
    assert _recall(rows, _best(live)) >= 0.9 * LEAST[kind]
    again = built[kind].search(QUERIES, DEPTH)  # the index itself is unchanged
    assert _recall(again[1], _best()) >= LEAST[kind]
    assert scores[:, 0].max() < again[0][:, 0].max()


@pytest.mark.parametrize("kind", KINDS)
def test_where_fewer_are_found_the_row_is_minus_one(built, kind):
    live = np.zeros(ROWS, dtype=bool)
    live[[5, 700, 2999]] = True
    scores, rows = built[kind].search(QUERIES, DEPTH, live=live)
    assert set(rows.reshape(-1).tolist()) <= {-1, 5, 700, 2999}
    assert (rows[:, 3:] == -1).all()
    assert (scores[rows < 0] == -np.inf).all()
    assert np.isfinite(scores[rows >= 0]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_written_index_is_read_as_it_was(built, kind, tmp_path):
    built[kind].write(tmp_path)
    opened = row_kind(kind).read(tmp_path, PARTS, built[kind].settings())
    assert (len(opened), opened.kind, opened.nbytes) == (ROWS, kind, built[kind].nbytes)
    assert opened.settings() == built[kind].settings()
    for mine, theirs in zip(opened.search(QUERIES, DEPTH), built[kind].search(QUERIES, DEPTH), strict=True):
        assert mine.tobytes() == theirs.tobytes()
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert 0.9 * size < opened.nbytes <= size


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mapped", [False, True])
def test_added_rows_are_found(kind, mapped, tmp_path):
    search = FaissSearch.build(kind, VectorParts([VECTORS]))
    if mapped:
        search.write(tmp_path)
        search = FaissSearch.read(kind, tmp_path, search.settings())
    further = _clustered(200, 9)
    search.add(further)
    assert len(search) == ROWS + 200
    _, rows = search.search(QUERIES, DEPTH)
    best = _best(vectors=np.concatenate([VECTORS, further]))
    assert (best >= ROWS).sum() > 20
    assert _recall(rows, best) >= 0.95 * LEAST[kind]
    assert (rows >= ROWS).sum() > 0.5 * (best >= ROWS).sum()
    if mapped:  # what was written is as it was
        assert len(FaissSearch.read(kind, tmp_path, search.settings())) == ROWS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mapped", [False, True])
def test_a_copy_is_added_to_by_itself(built, kind, mapped, tmp_path):
    search = built[kind]
    if mapped:
        search.write(tmp_path)
        search = FaissSearch.read(kind, tmp_path, search.settings())
    other = copy.copy(search)
    other.add(_clustered(20, 9))
    assert (len(search), len(other)) == (ROWS, ROWS + 20)
    assert search.search(QUERIES, DEPTH)[1].max() < ROWS


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_rows_give_the_same_bytes(kind, built, tmp_path):
    for name, search in {"first": built[kind], "second": FaissSearch.build(kind, VectorParts([VECTORS]))}.items():
        (tmp_path / name).mkdir()
        search.write(tmp_path / name)
    assert (tmp_path / "first/rows.faiss").read_bytes() == (tmp_path / "second/rows.faiss").read_bytes()


@pytest.mark.parametrize("kind", ["ivf", "ivf_pq", "hnsw"])
def test_threads_search_with_settings_of_their_own(built, kind):
    name = "ef" if kind == "hnsw" else "nprobe"
    efforts = [{name: value} for value in (1, 2, 8, 32, 512)] * 8
    alone = [built[kind].search(QUERIES, DEPTH, effort=effort)[1] for effort in efforts[:5]]
    assert len({rows.tobytes() for rows in alone}) > 1
    with ThreadPoolExecutor(4) as pool:
        together = pool.map(lambda effort: built[kind].search(QUERIES, DEPTH, effort=effort)[1], efforts)
    for number, rows in enumerate(together):
        assert rows.tolist() == alone[number % 5].tolist()


def test_a_build_onone_thread_leaves_others_their_threads():
    import faiss

    from rankloom.retrieval.vectors.faiss_search import one_thread

    before = faiss.omp_get_max_threads()
    inside, go = threading.Event(), threading.Event()

    def second():
        with one_thread(wanted=True):
            inside.set()
            go.wait(30)
            return faiss.omp_get_max_threads()

    with ThreadPoolExecutor(1) as pool:
        with one_thread(wanted=True):
            running = pool.submit(second)
            assert inside.wait(30)
            assert faiss.omp_get_max_threads() == 1
        assert faiss.omp_get_max_threads() == before  # though the other is still on one
        go.set()
        assert running.result() == 1
        assert pool.submit(faiss.omp_get_max_threads).result() == before
    assert faiss.omp_get_max_threads() == before


def test_asked_for_more_than_there_is(built):
    scores, rows = built["flat"].search(QUERIES[:2], ROWS + 5)
    assert sorted(rows[0].tolist()) == [-1] * 5 + list(range(ROWS))
    assert (scores[:, ROWS:] == -np.inf).all()
    assert built["hnsw"].search(QUERIES[:0], 5)[1].shape == (0, 5)


def test_too_few_to_learn_from(caplog, capfd):
    with pytest.raises(UsageError, match="too few vectors to learn a product quantiser"):
        FaissSearch.build("ivf_pq", VectorParts([VECTORS[:15]]))
    with caplog.at_level(logging.WARNING, "rankloom"):
        FaissSearch.build("ivf_pq", VectorParts([VECTORS[:300]]))
    assert "ivf_pq learns from 300 vectors, fewer than FAISS advises" in caplog.text
    assert capfd.readouterr().err == ""


def test_settings_are_kept(tmp_path):
    search = FaissSearch.build("ivf_pq", PARTS, {"nlist": 12, "code_bytes": 6})
    search.write(tmp_path)
    opened = FaissSearch.read("ivf_pq", tmp_path, search.settings())
    assert opened.settings() == {"training_rows": ROWS, "nlist": 12, "code_bytes": 6}
    assert FaissSearch.build("hnsw", PARTS, {"links": 7}).settings()["links"] == 7


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "other"])
def test_a_damaged_file_is_an_error(built, damage, tmp_path):
    built["ivf"].write(tmp_path)
    file = tmp_path / "rows.faiss"
    if damage == "missing":
        file.unlink()
    elif damage == "other":
        built["ivf_sq8"].write(tmp_path)
    else:
        file.write_bytes(b"" if damage == "empty" else file.read_bytes()[:5000])
    with pytest.raises((OSError, ValueError), match=r"rows\.faiss"):
        FaissSearch.read("ivf", tmp_path, built["ivf"].settings())


def test_a_sample_is_spread_and_repeatable():
    rows = sample(10**9, 1000)
    assert rows.tolist() == sample(10**9, 1000).tolist()
    assert (np.diff(rows) > 0).all()
    assert (rows // 10**6).tolist() == list(range(1000))
    assert sample(50, 50).tolist() == list(range(50))
