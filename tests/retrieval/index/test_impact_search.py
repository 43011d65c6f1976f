"""Search over impacts, against scoring every document."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.errors import DataError, UsageError
from rankloom.retrieval import ImpactBatch, ImpactIndex, ImpactIndexWriter
from rankloom.retrieval.index.impact_columns import LEVELS, levels_of

WORDS = ["a", "b", "c", "blue", "漢", "ä"]
DOCUMENT = st.dictionaries(st.sampled_from(WORDS), st.integers(1, 400), max_size=5)
WEIGHT = st.one_of(st.sampled_from([0.0, 1.0, 0.5, -1.0]), st.floats(-3, 3, width=32))
QUERY = st.dictionaries(st.sampled_from([*WORDS, "unknown"]), WEIGHT, max_size=6)


def brute_force(documents, query, k):
    """Every document that holds a term of the query with a weight: score and id, best first, ties by id."""
    scored = []
    for doc_id, terms in documents.items():
        parts = [np.float32(query[term]) * np.float32(terms[term]) for term in terms if query.get(term)]
        if parts:
            scored.append((-np.float32(math.fsum(map(float, parts))), doc_id))
    return [(doc_id, -score) for score, doc_id in sorted(scored)[:k]]


def found(index, queries, k, **options):
    """Ids and scores of the hits of each query."""
    hits = index.search_impacts(queries, k, **options)
    ids = index.ids.take(hits.codes)
    ends = hits.offsets.tolist()
    return [list(zip(ids[start:end], hits.scores[start:end], strict=True)) for start, end in itertools.pairwise(ends)]


@settings(deadline=None, max_examples=150)
@given(st.lists(DOCUMENT, max_size=30), st.lists(QUERY, min_size=1, max_size=3), st.integers(1, 40))
def test_hits_are_brute_force_s(documents, queries, k):
    held = {f"d{number * 7 % 31:02}": terms for number, terms in enumerate(documents)}
    index = ImpactIndex.of(list(held), list(held.values()), linear=True)
    assert found(index, queries, k) == [brute_force(held, query, k) for query in queries]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(DOCUMENT, max_size=12), max_size=4), st.sets(st.integers(0, 47)), st.booleans(), QUERY)
def test_hits_are_brute_force_s_in_many_segments_with_deletions(tmp_path_factory, segments, deleted, merged, query):
    held, folder = {}, tmp_path_factory.mktemp("index")
    with ImpactIndexWriter(folder, linear=True) as writer:
        for documents in segments:
            for terms in documents:
                doc_id = f"d{len(held) * 7 % 48:02}"
                held[doc_id] = terms
                writer.add(doc_id, terms)
            writer.commit()
        gone = {f"d{number:02}" for number in deleted} & held.keys()
        assert writer.delete(gone) == len(gone)
        if merged:
            writer.merge()
    left = {doc_id: terms for doc_id, terms in held.items() if doc_id not in gone}
    index = ImpactIndex.open(folder, verify=True)
    for k in (1, 5, 60):
        assert found(index, [query], k) == [brute_force(left, query, k)]
    codes = range(len(index))
    assert dict(zip(index.ids, map(index.term_vector, codes), strict=True)) == {
        doc_id: {word: left[doc_id][word] for word in sorted(left[doc_id])} for doc_id in sorted(left)
    }


@pytest.mark.parametrize("weight", [1e39, 1e41, -1e39, 1e25, float("nan")])
def test_weights_that_a_score_can_not_hold_are_refused(weight):
    index = ImpactIndex.of(["d1", "d2"], [{"a": 1, "b": 2**31 - 1}, {"b": 3}], linear=True)
    for query in ({"b": 1.0, "a": weight}, {"b": 1.0, "unknown": weight}):
        with pytest.raises(DataError, match=r"index: .*'(a|unknown)'"):
            index.search_impacts([{"b": 1.0}, query], 5)
        with pytest.raises(DataError, match=r"index: .*'(a|unknown)'"):
            index.impact_scores(query, np.array([0], dtype=np.int32))
    assert found(index, [{"b": 1e24, "a": 1.0}], 5) == [
        [("d1", np.float32(1e24) * np.float32(2**31 - 1)), ("d2", np.float32(1e24) * np.float32(3))]
    ]


def test_the_kernel_scores_no_documents_of_which_nothing_was_added():
    """With a weight that is infinite, as no caller lets it through."""
    from rankloom.retrieval.index.impact_search import SearchedImpacts, search_impacts
    from rankloom.retrieval.index.queries import WeightedTerms

    index = ImpactIndex.of(["d1", "d2"], [{"a": 1}, {"b": 3}], linear=True)
    queries = WeightedTerms(np.array([0, 1]), ["a"], np.array([np.inf], np.float32), np.zeros(1, np.float32))
    searched = SearchedImpacts(index._commit.parts[0].segment, np.zeros(0, dtype=np.int32))
    hits = search_impacts([searched], queries, 5, reach=1.0, threads=1)
    assert set(hits.codes.tolist()) <= {0, 1}


# --- more documents than a block has ---------------------------------------------------------------------------

SIZE, VOCABULARY = 150_000, 60


@pytest.fixture(scope="module")
def matrix():
    """Impacts of many documents: few terms in most, weights as skewed as those of models."""
    rng = np.random.default_rng(5)
    shares = 1.0 / np.arange(3, VOCABULARY + 3)
    there = rng.random((SIZE, VOCABULARY)) < shares
    return np.where(there, np.minimum(500, rng.lognormal(3.0, 1.0, there.shape) + 1), 0).astype(np.int32)


def batches(matrix, size=40_000):
    words = [f"w{number:02}" for number in range(VOCABULARY)]
    for start in range(0, len(matrix), size):
        rows, places = np.nonzero(matrix[start : start + size])
        count = min(size, len(matrix) - start)
        offsets = np.searchsorted(rows, np.arange(count + 1))
        ids = [f"d{number:06}" for number in range(start, start + count)]
        yield ImpactBatch(ids, words, offsets, places, matrix[start : start + size][rows, places])


@pytest.fixture(scope="module")
def large(matrix, tmp_path_factory):
    return ImpactIndex.build_impacts(tmp_path_factory.mktemp("large") / "index", batches(matrix))


def asked(rng, terms):
    places = rng.permutation(VOCABULARY)[:terms]
    return dict(zip((f"w{place:02}" for place in places), rng.lognormal(0, 1, terms).astype(np.float32), strict=True))


def all_scores(matrix, query):
    """The score of every document, -inf for those without a term of the query."""
    places = [int(word[1:]) for word in query]
    parts = matrix[:, places].astype(np.float32) * np.array(list(query.values()), dtype=np.float32)
    scores = parts.astype(np.float64).sum(axis=1).astype(np.float32)
    return np.where((matrix[:, places] > 0).any(axis=1), scores, -np.inf)


@pytest.mark.parametrize("k", [1, 10, 100, 1000])
def test_blocks_of_documents_are_searched_exactly(matrix, large, k):
    rng = np.random.default_rng(k)
    queries = [asked(rng, terms) for terms in (1, 3, 12, 30, 60) for _ in range(4)]
    hits = large.search_impacts(queries, k)
    for number, query in enumerate(queries):
        scores = all_scores(matrix, query)
        best = np.lexsort((np.arange(SIZE), -scores))[:k]
        start, end = hits.offsets[number : number + 2]
        assert hits.codes[start:end].tolist() == best.tolist()
        assert hits.scores[start:end].tolist() == scores[best].tolist()


def test_less_reach_finds_fewer_of_the_best_and_scores_what_it_finds_exactly(matrix, large):
    rng = np.random.default_rng(9)
    queries = [asked(rng, 20) for _ in range(20)]
    every = [all_scores(matrix, query) for query in queries]
    exact = large.search_impacts(queries, 10).codes.reshape(20, 10)
    shares = []
    for reach in (1.0, 0.5, 0.3, 0.15, 0.05):
        hits = large.search_impacts(queries, 10, reach=reach)
        codes, scores = hits.codes.reshape(20, 10), hits.scores.reshape(20, 10)
        for number in range(20):
            assert scores[number].tolist() == every[number][codes[number]].tolist()
            assert (np.diff(scores[number]) <= 0).all()
        shares.append(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(codes.tolist(), exact.tolist(), strict=True)]))
    assert shares[0] == 1.0
    assert shares[1] > 0.95
    assert shares[-1] < shares[0]


def test_columns_make_the_index_that_dictionaries_make(matrix):
    some = matrix[:3000]
    columns = ImpactIndex.of_impacts(batches(some, 700))
    held = [{f"w{place:02}": int(row[place]) for place in np.flatnonzero(row)} for row in some]
    dictionaries = ImpactIndex.of([f"d{number:06}" for number in range(3000)], held, linear=True)
    assert columns.fingerprint() == dictionaries.fingerprint()
    assert columns.total_terms == int(some.sum())


@pytest.mark.slow  # compiled for wider sums
def test_a_query_of_very_many_terms():
    rng = np.random.default_rng(3)
    words = [f"w{number:05}" for number in range(9000)]
    held = {
        f"d{n:02}": {words[place]: int(rng.integers(1, 300)) for place in rng.permutation(9000)[:50]} for n in range(40)
    }
    query = dict(zip(words, rng.lognormal(0, 1, 9000).astype(np.float32).tolist(), strict=True))
    index = ImpactIndex.of(list(held), list(held.values()), linear=True)
    assert found(index, [query], 15) == [brute_force(held, query, 15)]


# --- columns and levels ------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 2**31 - 1), min_size=1))
def test_a_level_is_at_most_an_eighth_above_the_value(values):
    bounds = LEVELS[levels_of(np.array(values, dtype=np.int32))]
    assert (bounds >= values).all()
    assert (bounds <= np.array(values) * 1.125 + 1e-9).all()


def batch(offsets=(0, 1, 2), places=(0, 1), values=(1, 2)):
    return ImpactBatch(["d1", "d2"], ["a", "b"], np.array(offsets), np.array(places), np.array(values))


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (batch(offsets=(0, 1)), "do not fit"),
        (batch(offsets=(0, 2, 1)), "do not fit"),
        (batch(offsets=(1, 1, 2)), "do not fit"),
        (batch(values=(1,)), "do not fit"),
        (batch(places=(0, 2)), "place is out of range"),
        (batch(places=(0, -1)), "place is out of range"),
        (batch(values=(1, 0)), "value is out of range"),
        (batch(values=(1, 2**31)), "value is out of range"),
        (batch(values=(1, 1.5)), "a value is no whole number; got 1.5.*scale"),
        (batch(places=(0, 0.5)), "a place is no whole number; got 0.5"),
        (batch(offsets=(0, 1.5, 2)), "an offset is no whole number; got 1.5"),
        (batch(offsets=(0, 0, 2), places=(1, 1)), "stands twice.*'d2'"),
    ],
)
def test_bad_columns_are_refused(given, match):
    with pytest.raises(DataError, match=match):
        ImpactIndex.of_impacts([given])


def test_impacts_do_not_go_among_frequencies(tmp_path):
    with ImpactIndexWriter(tmp_path / "index") as writer, pytest.raises(UsageError, match="frequencies"):
        writer.add_impacts(batch())
