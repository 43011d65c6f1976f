"""The impact index against counting and scoring by hand, in memory and on disk, whole and damaged."""

import json
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.errors import DamagedIndexError, DataError, NotFoundError, UsageError
from rankloom.files import MANIFEST
from rankloom.retrieval import BM25Scoring, ImpactIndex
from rankloom.retrieval.bm25_scoring import DELTAS, VARIANTS
from rankloom.retrieval.document_length import LENGTHS, length_codes
from rankloom.retrieval.index.queries import weighted_terms

TERMS = st.sampled_from(["a", "b", "blue", "\u6f22", "\U0001f600", "\uffff", "z" * 300, "\x00"])
DOCUMENTS = st.lists(st.dictionaries(TERMS, st.integers(1, 400) | st.integers(1, 3), max_size=6), max_size=12)


def names(documents):
    return [f"d{number:04}" for number in range(len(documents))]


def check_against(index, documents):
    """Everything the index says, against counting by hand."""
    assert len(index) == len(documents)
    assert list(index.ids) == names(documents)
    assert index.total_terms == sum(sum(document.values()) for document in documents)
    assert index.nonempty_documents == sum(map(bool, documents))
    terms = [*sorted(set().union(*documents)), "unknown", ""]
    assert index.document_frequencies(terms).tolist() == [sum(term in one for one in documents) for term in terms]
    assert index.term_vectors(range(len(index))) == documents
    assert [index.term_vector(code) for code in range(min(20, len(index)))] == documents[:20]


@settings(deadline=None)
@given(DOCUMENTS, st.booleans(), st.booleans())
def test_in_memory_as_counted_by_hand(documents, linear, term_vectors):
    index = ImpactIndex.of(names(documents), documents, linear=linear, term_vectors=term_vectors)
    assert index.has_term_vectors == (term_vectors or linear)
    check_against(index, documents)


@pytest.mark.parametrize("term_vectors", [False, True])
@pytest.mark.parametrize(
    "documents",
    [
        [],
        [{}],
        [{"a": 1}, {}, {"b": 2, "a": 255}],
        [{f"t{number % 97}": number + 1 for number in range(size)} for size in range(600)],
        [{f"t{number}": 1 + number * 10_000_019 for number in range(0, 200, step)} for step in range(1, 200)],
    ],
)
def test_on_disk_as_counted_by_hand(documents, term_vectors, tmp_path):
    about = {"analyzer": "x"}
    ids = names(documents)
    built = ImpactIndex.build(tmp_path / "index", ids, documents, term_vectors=term_vectors, about=about)
    check_against(built, documents)
    again = ImpactIndex.open(tmp_path / "index", verify=True)
    check_against(again, documents)
    assert (again.about, again.has_term_vectors) == (about, term_vectors)
    assert again.fingerprint() == built.fingerprint()
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


# --- search --------------------------------------------------------------------------------------------------


def bm25(documents, query, *, k1, b, variant):
    """The variants' formulas in plain Python; code -> score."""
    filled = [document for document in documents if document]
    count = len(filled)
    average = sum(sum(document.values()) for document in filled) / max(1, count)
    delta = DELTAS.get(variant, 0.0)
    scores = {}
    for code, document in enumerate(documents):
        length = int(LENGTHS[length_codes(np.array([sum(document.values())], dtype=np.int32))[0]])
        for term, weight in query.items():
            tf = document.get(term, 0)
            if not tf or not weight:
                continue
            df = sum(term in other for other in documents)
            norm = 1 - b + b * length / average
            idf, part = {
                "lucene": (math.log(1 + (count - df + 0.5) / (df + 0.5)), tf / (tf + k1 * norm)),
                "robertson": (max(0, math.log((count - df + 0.5) / (df + 0.5))), tf / (tf + k1 * norm)),
                "atire": (math.log(count / df), (k1 + 1) * tf / (tf + k1 * norm)),
                "bm25+": (math.log((count + 1) / df), (k1 + 1) * tf / (tf + k1 * norm) + delta),
                "bm25l": (
                    math.log((count + 1) / (df + 0.5)),
                    (k1 + 1) * (tf / norm + delta) / (k1 + tf / norm + delta),
                ),
            }[variant]
            scores[code] = scores.get(code, 0.0) + weight * idf * part
    return scores


@settings(deadline=None, max_examples=200)
@given(
    DOCUMENTS,
    st.dictionaries(TERMS, st.floats(-2, 4), max_size=5),
    st.floats(0.01, 3),
    st.floats(0, 0.99),
    st.sampled_from(VARIANTS),
)
def test_every_variant_is_its_formula(documents, query, k1, b, variant):
    index = ImpactIndex.of(names(documents), documents)
    hits = BM25Scoring(index, k1=k1, b=b, variant=variant).search([query], 100)
    expected = bm25(documents, query, k1=k1, b=b, variant=variant)
    assert sorted(hits.codes.tolist()) == sorted(expected)
    np.testing.assert_allclose(hits.scores, [expected[code] for code in hits.codes.tolist()], rtol=2e-5, atol=2e-6)


def corpus(seed, documents, words):
    """A corpus large enough for many blocks, with Zipf's frequencies and many ties."""
    rng = np.random.default_rng(seed)
    drawn = np.minimum(rng.zipf(1.3, size=(documents, 12)), words)
    return [dict(Counter(f"w{word}" for word in row[: rng.integers(0, 13)].tolist())) for row in drawn]


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_top_k_is_the_head_of_the_whole_order(seed, linear):
    documents = corpus(seed, 3000, 200)
    ids = [f"{code * 7919 % 3001:05}" for code in range(3000)]  # neither ascending nor descending
    index = ImpactIndex.of(ids, documents, linear=linear)
    rng = np.random.default_rng(seed)
    queries = [
        {
            f"w{word}": float(weight)
            for word, weight in zip(rng.integers(1, 60, size), rng.integers(1, 4, size), strict=True)
        }
        for size in (1, 2, 3, 5, 8, 30)
    ]
    search = searcher(index, linear)
    everything = search(queries, 3000)
    for k in (1, 2, 10, 300, 2999):
        found = search(queries, k)
        for number in range(len(queries)):
            start, begin = int(everything.offsets[number]), int(found.offsets[number])
            end = int(found.offsets[number + 1])
            size = end - begin
            assert size == min(k, int(everything.offsets[number + 1]) - start)
            assert found.codes[begin:end].tolist() == everything.codes[start : start + size].tolist()
            assert found.scores[begin:end].tolist() == everything.scores[start : start + size].tolist()
    keys = list(zip((-everything.scores).tolist(), everything.codes.tolist(), strict=True))
    for number in range(len(queries)):
        own = keys[everything.offsets[number] : everything.offsets[number + 1]]
        assert own == sorted(own)
        held = [index.term_vector(code) for _, code in own[:20]]
        if linear:
            expected = [
                sum(weight * vector.get(word, 0) for word, weight in queries[number].items()) for vector in held
            ]
            assert [-score for score, _ in own[:20]] == expected


def searcher(index, linear):
    """Search of an index of either kind."""
    if not linear:
        return BM25Scoring(index, k1=0.9, b=0.4).search
    return index.search_impacts


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_tie_is_lost_by_the_last_digit(variant):
    """Parts just above a power of two, where rounding is coarsest; the hit is the last of many equal documents."""
    size = 3000
    documents = [{"a": 1, "b": 2, "c": 1}] * size + [{"other": 1}] * (size + 5)
    ids = [f"d{size - number:05}" for number in range(size)] + [f"x{number:05}" for number in range(size + 5)]
    index = ImpactIndex.of(ids, documents)
    delta = 1e6 if variant in DELTAS else None
    scoring = BM25Scoring(index, k1=0.01, b=0.4, variant=variant, delta=delta)
    unit = (float(scoring.idf(size)) or 1.0) * (1e6 if variant == "bm25+" else 1.0)
    rng = np.random.default_rng(0)
    queries = [
        {word: 2**20 * (1 + rng.uniform(0, 0.03)) / unit for word in words}
        for words in ("ab", "abc")
        for _ in range(500)
    ]
    hits = scoring.search(queries, 1)
    assert set(index.ids.take(hits.codes)) == {"d00001"}


@pytest.mark.parametrize("b", [0.0, 0.4, 1.0])
def test_bounds_are_of_the_lengths_that_there_are(b):
    """With b = 1, a document without a term would make all bounds infinite."""
    index = ImpactIndex.of(names(range(4)), [{"a": 1, "b": 3}, {}, {"a": 9}, {"b": 40}])
    bounds = BM25Scoring(index, k1=0.9, b=b)._scoring(index._commit.parts[0].segment).bounds
    assert np.isfinite(bounds[:255]).all()
    assert (np.diff(bounds[:255]) > 0).all()
    assert bounds[128] < 10


def test_threads_do_not_show():
    index = ImpactIndex.of(names(range(500)), corpus(5, 500, 50))
    queries = [{f"w{number % 40 + 1}": 1.0, f"w{number % 7 + 1}": 0.5} for number in range(200)]
    results = []
    for index.threads in (1, 4):
        results.append(BM25Scoring(index, k1=0.9, b=0.4).search(queries, 20))
    for one, other in zip(*results, strict=True):
        assert one.tolist() == other.tolist()


# --- what can not be indexed or read -------------------------------------------------------------------------


def test_fingerprints_tell_indexes_apart(tmp_path):
    documents = {"one": [{"a": 1}, {"b": 1}], "two": [{"a": 1}, {"b": 2}], "three": [{"a": 1}, {"c": 1}]}
    ids = ["d1", "d2"]
    on_disk = {ImpactIndex.build(tmp_path / name, ids, held).fingerprint() for name, held in documents.items()}
    in_memory = {ImpactIndex.of(ids, held).fingerprint() for held in documents.values()}
    assert (len(on_disk), len(in_memory)) == (3, 3)
    assert ImpactIndex.build(tmp_path / "again", ids, documents["one"]).fingerprint() in on_disk
    assert ImpactIndex.of(ids, documents["one"], about={"analyzer": "x"}).fingerprint() not in in_memory


@pytest.mark.parametrize("count", [1, 3])
def test_as_many_documents_as_ids(count, tmp_path):
    for make in (ImpactIndex.of, lambda *given: ImpactIndex.build(tmp_path / "index", *given)):
        with pytest.raises(DataError, match=f"{count} documents for 2 ids"):
            make(["d1", "d2"], [{"a": 1}] * count)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [0, -1, 2**31])
def test_values_are_whole_and_positive(value):
    with pytest.raises(DataError, match="out of range"):
        ImpactIndex.of(["d1"], [{"a": value}])


@pytest.mark.parametrize("value", [1.9, math.nan, math.inf, "1", 2**70])
@pytest.mark.parametrize("linear", [False, True])
def test_no_value_is_cut_off(value, linear):
    with pytest.raises(DataError, match=r"no whole number.*SparseVectors"):
        ImpactIndex.of(["a"], [{"x": value}], linear=linear)
    assert ImpactIndex.of(["a"], [{"x": 2.0}], linear=linear).term_vector(0) == {"x": 2}


def test_impacts_are_not_searched_as_frequencies():
    index = ImpactIndex.of(["a"], [{"x": 1}], linear=True)
    for search in (index.search, lambda *given: index.search_fields(given[0], ["title"], *given[1:])):
        with pytest.raises(UsageError, match="search_impacts"):
            search(weighted_terms([{"x": (np.float32(1), np.float32(0))}]), 10, None)


def test_ids_are_unique():
    with pytest.raises(DataError, match="d1"):
        ImpactIndex.of(["d1", "d1"], [{"a": 1}, {"b": 1}])


def test_a_build_that_fails_leaves_what_was_there(tmp_path):
    def broken():
        yield {"new": 1}
        raise RuntimeError("the source broke")

    ImpactIndex.build(tmp_path / "index", ["d"], [{"old": 1}])
    with pytest.raises(RuntimeError):
        ImpactIndex.build(tmp_path / "index", ["d1", "d2"], broken())
    assert ImpactIndex.open(tmp_path / "index").term_vector(0) == {"old": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


@pytest.mark.parametrize("code", [-1, 2])
def test_term_vector_of_no_document(code):
    with pytest.raises(IndexError):
        ImpactIndex.of(["d1", "d2"], [{}, {"a": 1}]).term_vector(code)
    with pytest.raises(IndexError):
        ImpactIndex.of(["d1", "d2"], [{}, {"a": 1}]).length_code(code)


@pytest.fixture
def folder(tmp_path):
    documents = [{"a": 1, "b": 300}, {"b": 1, "c": 2}, {"a": 1}]
    ImpactIndex.build(tmp_path / "index", ["d1", "d2", "d3"], documents, term_vectors=True)
    return tmp_path / "index"


def segment_of(folder):
    return next((folder / "segments").iterdir())


FILES = [
    "ids.arrow",
    "terms.arrow",
    "term_runs",
    "run_stretches",
    "places",
    "norms",
    "large_values",
    "reference",
    "vectors",
]


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_missing(folder, name):
    (segment_of(folder) / name).unlink()
    with pytest.raises(DamagedIndexError, match=name):
        ImpactIndex.open(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kept", [0, 1, -1])
def test_a_file_is_cut_off(folder, name, kept):
    file = segment_of(folder) / name
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(DamagedIndexError):
        ImpactIndex.open(folder)


def test_a_changed_byte_is_found_when_asked(folder):
    file = segment_of(folder) / "places"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(DamagedIndexError, match="places"):
        ImpactIndex.open(folder, verify=True)


@pytest.mark.parametrize(
    "change", [{"format": "something-else"}, {"version": 99}, {"segments": 7}, {"about": None}, {"segments": [{}]}]
)
def test_a_foreign_manifest(folder, change):
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, **change}))
    with pytest.raises(DamagedIndexError, match="fix:"):
        ImpactIndex.open(folder)


def test_no_manifest_no_index(folder, tmp_path):
    (folder / MANIFEST).unlink()
    with pytest.raises(DamagedIndexError):
        ImpactIndex.open(folder)
    with pytest.raises(NotFoundError):
        ImpactIndex.open(tmp_path / "nothing")
