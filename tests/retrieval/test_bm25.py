"""BM25 against Lucene's own scores and against the formula in plain Python."""

import math
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom import Document, Query, Run, Session
from rankloom.corpus import Corpus
from rankloom.errors import DamagedIndexError, DataError, NotFoundError, UsageError
from rankloom.retrieval import BM25, BM25Scoring, EnglishAnalyzer, ImpactIndex, ImpactIndexWriter
from rankloom.retrieval.bm25_scoring import VARIANTS
from rankloom.retrieval.document_length import LENGTHS, length_codes
from rankloom.retrieval.index import segment
from rankloom.testing import StageConformance

TEXTS = {
    "d1": "The sky is blue because air scatters blue light more than red light.",
    "d2": "Red sunsets: at dusk the light of the sun takes a longer way through the air.",
    "d3": "Tides follow the moon.",
    "d4": "...",
    "d5": "Tides follow the moon.",
    "d6": "blue " * 60 + "whale",
}
QUERIES = {"q1": "why is the sky blue", "q2": "blue blue light", "q3": "the moon's tides", "q4": "red air"}
#: What Lucene answers (BM25Similarity(0.9f, 0.4f), EnglishAnalyzer, repeated terms as boosts), to the last bit.
LUCENE = {
    "q1": {"d1": 1.4186863899230957, "d6": 0.8504199981689453},
    "q2": {"d1": 1.8997514247894287, "d6": 1.7008399963378906, "d2": 0.5018320083618164},
    "q3": {"d3": 1.0934040546417236, "d5": 1.0934040546417236},
    "q4": {"d2": 1.0036640167236328, "d1": 0.992032527923584},
}


@pytest.fixture(scope="module")
def corpus():
    return Corpus.of([Document(doc_id, text) for doc_id, text in TEXTS.items()])


@pytest.fixture(scope="module")
def bm25(corpus):
    return BM25.of(corpus)


def scores_of(stage, query):
    """Document id -> score, best first."""
    return next(iter(stage.run([query]).to_dict().values()))


# --- scores --------------------------------------------------------------------------------------------------


def test_scores_are_lucenes_to_the_last_bit(bm25):
    found = bm25.run(QUERIES).to_dict()
    assert found == LUCENE
    assert {query: list(hits) for query, hits in found.items()} == {query: list(hits) for query, hits in LUCENE.items()}


def formula(documents, weights, *, k1, b):
    """BM25 in plain Python, document by document."""
    filled = [document for document in documents if document]
    average = sum(map(len, filled)) / max(1, len(filled))
    scores = {}
    for code, document in enumerate(documents):
        rounded = int(LENGTHS[length_codes(np.array([len(document)], dtype=np.int32))[0]])
        counts = Counter(document)
        for term, weight in weights.items():
            if counts[term] and weight:
                holders = sum(term in other for other in documents)
                idf = math.log(1 + (len(filled) - holders + 0.5) / (holders + 0.5))
                tf = counts[term] / (counts[term] + k1 * (1 - b + b * rounded / average))
                scores[code] = scores.get(code, 0.0) + weight * idf * tf
    return scores


TERM = st.sampled_from("abcdefg")
WEIGHTS = st.dictionaries(st.sampled_from("abcdefgz"), st.floats(0, 5), max_size=5)


@settings(deadline=None)
@given(
    st.lists(st.lists(TERM, max_size=60), max_size=15),
    WEIGHTS,
    st.floats(0, 3),
    st.floats(0, 1),
)
def test_scores_are_the_formula_s(documents, weights, k1, b):
    ids = [f"d{number:02}" for number in range(len(documents))]
    hits = BM25Scoring(ImpactIndex.of(ids, map(Counter, documents)), k1=k1, b=b).search([weights], 20)
    expected = formula(documents, weights, k1=k1, b=b)
    assert sorted(hits.codes.tolist()) == sorted(expected)
    assert (hits.codes.dtype, hits.scores.dtype) == (np.int32, np.float32)
    np.testing.assert_allclose(hits.scores, [expected[code] for code in hits.codes.tolist()], rtol=1e-5, atol=1e-6)


@settings(deadline=None)
@given(
    st.lists(st.lists(TERM, max_size=6), min_size=1, max_size=15), st.text("abcdefg ", max_size=10), st.integers(1, 4)
)
def test_top_k_is_the_head_of_the_whole_order(documents, query, k):
    held = Corpus.of([Document(f"d{number}", " ".join(document)) for number, document in enumerate(documents)])
    stage = BM25.of(held, analyzer=EnglishAnalyzer(stop_words=[], stem=False))
    everything = list(scores_of(stage, query).items())
    assert everything == sorted(everything, key=lambda hit: (-hit[1], hit[0]))
    assert list(scores_of(stage.replace(k=k), query).items()) == everything[:k]


def test_ties_go_by_document_id():
    held = Corpus.of([Document(doc_id, "the same words") for doc_id in ["d10", "d9", "d1", "\xe4", "Z"]])
    assert list(scores_of(BM25.of(held), "same")) == ["Z", "d1", "d10", "d9", "\xe4"]
    assert list(scores_of(BM25.of(held, k=2), "same")) == ["Z", "d1"]


def test_title_and_text_are_indexed():
    bm25 = BM25.of(Corpus.of([Document("d1", "body", title="heading"), Document("d2", "other")]))
    assert scores_of(bm25, "heading") == scores_of(bm25, "body") != {}


@pytest.mark.parametrize("variant", VARIANTS)
@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(TERM, max_size=60), min_size=1, max_size=12), WEIGHTS, st.floats(0, 3), st.floats(0, 1))
def test_parts_are_those_of_the_score_to_the_last_bit(variant, documents, weights, k1, b):
    held = Corpus.of([Document(f"d{number:02}", " ".join(document)) for number, document in enumerate(documents)])
    stage = BM25.of(held, analyzer=EnglishAnalyzer(stop_words=[], stem=False), k1=k1, b=b, variant=variant)
    hits = stage.run([Query("q", "", terms=weights)])["q"]
    for hit in hits:
        told = hit.explain()
        counts = Counter(documents[int(hit.doc_id[1:])])
        assert told.score == hit.score
        assert math.fsum(one.part for one in told.terms) == pytest.approx(hit.score, rel=1e-6, abs=1e-12)
        assert {one.term: (one.weight, one.value) for one in told.terms} == {
            term: (weight, counts[term]) for term, weight in weights.items() if weight and counts[term]
        }
        assert {one.term for one in told.terms} | {*told.missing} == {
            term for term, weight in weights.items() if weight
        }


def test_a_score_is_told_as_the_formula_has_it(bm25):
    told = bm25.explain("why is the blue sky blue", "d1")
    documents = [bm25.analyze(text) for text in TEXTS.values()]
    for one in told.terms:
        assert one.part == pytest.approx(formula(documents, {one.term: one.weight}, k1=0.9, b=0.4)[0], rel=1e-6)
    weights = {one.term: (one.weight, one.value) for one in told.terms}
    assert weights == {"blue": (2, 2), "sky": (1, 1)}
    assert [one.idf for one in told.terms] == pytest.approx([math.log(1 + 3.5 / 2.5), math.log(1 + 4.5 / 1.5)])
    assert told.facts == {"length": 11, "average length": pytest.approx(17.6), "k1": 0.9, "b": 0.4}
    assert told.missing == ("why",)
    assert bm25.replace(variant="atire").explain("sky", "d1").facts["variant"] == "atire"


# --- queries -------------------------------------------------------------------------------------------------


def test_a_repeated_term_counts_as_often(bm25):
    once, twice = scores_of(bm25, "sky"), scores_of(bm25, "sky, sky")
    assert twice == {doc_id: pytest.approx(2 * score) for doc_id, score in once.items()}


def test_weighted_terms_take_the_text_s_place(bm25):
    query = Query("q", "tides of the moon", terms={"sky": 2.0, "blue": 0.5, "unheard": 3.0, "tide": 0.0})
    run = bm25.run([query])
    sky, blue = scores_of(bm25, "sky"), scores_of(bm25, "blue")
    assert run.to_dict()["q"] == {
        "d1": pytest.approx(2 * sky["d1"] + 0.5 * blue["d1"]),
        "d6": pytest.approx(0.5 * blue["d6"]),
    }
    assert run.queries[0].terms is None  # the rewritten form has been used up
    assert run.queries[0].text == "tides of the moon"


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), 1e39, -1e300])
@pytest.mark.parametrize("term", ["sky", "unheard"])
def test_weights_are_numbers_that_a_score_can_hold(bm25, weight, term):
    query = Query("q", "", terms={"blue": 1.0, term: weight})
    with pytest.raises(DataError, match=f"bm25: .*'{term}'"):
        bm25.run([query])
    with pytest.raises(DataError, match=f"bm25: .*'{term}'"):
        bm25.explain(query, "d1")


def test_weights_are_checked_after_what_they_are_multiplied_by(bm25):
    found = bm25.run([Query("q", "", terms={"sky": 1e23, "blue": 1.0})])
    assert list(found.to_dict()["q"]) == ["d1", "d6"]
    for more in ({"k1": 1e6, "variant": "atire"}, {"delta": 1e6, "variant": "bm25+"}):
        with pytest.raises(DataError, match=r"bm25: .*'sky'"):
            bm25.replace(**more).run([Query("q", "", terms={"sky": 1e23, "blue": 1.0})])


def test_queries_without_hits_are_noted(bm25):
    run = bm25.run(
        [
            Query("q1", "the of and"),
            Query("q2", "zebra"),
            Query("q3", "sky"),
            Query("q4", ""),
            Query("q5", "sky", terms={}),
        ]
    )
    assert {query_id: len(hits) for query_id, hits in run.items()} == {"q1": 0, "q2": 0, "q3": 1, "q4": 0, "q5": 0}
    noted = {note.query_id: note.kind for note in run.ledger.notes}
    assert noted == {"q1": "empty_query", "q2": "no_hits", "q4": "empty_query", "q5": "empty_query"}
    assert {note.stage for note in run.ledger.notes} == {"bm25"}


def test_a_corpus_without_terms():
    bm25 = BM25.of(Corpus.of([Document("d1", "..."), Document("d2", "")]))
    assert scores_of(bm25, "sky") == {}
    assert len(BM25(ImpactIndex.of([], [])).run(["sky"])) == 1


# --- parameters and places -----------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [{"k": 0}, {"k": 2.5}, {"k1": -0.1}, {"b": 1.1}, {"b": float("nan")}])
def test_parameters_are_checked(corpus, wrong):
    with pytest.raises(UsageError, match=r"bm25: .* out of range"):
        BM25.of(corpus, **wrong)


def test_parameters_change_the_scores(bm25):
    flat = scores_of(bm25.replace(b=0.0), "blue")
    assert flat["d6"] > flat["d1"]  # 60 times the word, and its length does not count
    presence = scores_of(bm25.replace(k1=0.0), "blue")
    assert presence["d6"] == presence["d1"] == pytest.approx(math.log(1 + (5 - 2 + 0.5) / 2.5))


def test_stages_of_other_settings_share_the_index(bm25):
    other = bm25.replace(k1=1.2, b=0.75, variant="bm25+", delta=0.5)
    assert other.index is bm25.index
    assert other.fingerprint() != bm25.fingerprint()


def test_a_query_brings_its_own_settings(bm25):
    own = {"q1": {"k1": 1.2, "b": 0.75}, "q3": {"b": 0.0}, "q4": {"k1": 1.2, "b": 0.75}}
    queries = [
        Query(name, text, metadata={"stage_settings": {"bm25": own[name]}} if name in own else {})
        for name, text in QUERIES.items()
    ]
    found = bm25.run(queries)
    for query in queries:
        alone = bm25.replace(**own.get(query.id, {})).run([Query(query.id, query.text)])
        assert found.to_dict()[query.id] == alone.to_dict()[query.id]
    assert found.to_dict()["q1"] != LUCENE["q1"]
    assert found.to_dict()["q2"] == LUCENE["q2"]
    assert list(found.to_dict()) == list(QUERIES)
    assert bm25.run(queries[:1]).to_dict()["q1"] == found.to_dict()["q1"]
    assert found["q1"][0].explain().score == found["q1"][0].score


def test_settings_of_queries_reach_the_cache(bm25, tmp_path):
    session = Session(cache=tmp_path)
    scores = [
        bm25.run([Query("q", "blue sky", metadata=metadata)], session=session).to_dict()["q"]["d6"]
        for metadata in ({}, {"stage_settings": {"bm25": {"b": 0.0}}}, {})
    ]
    assert scores[0] == scores[2] != scores[1]


def test_settings_of_many_queries_are_not_all_kept(corpus):
    bm25 = BM25.of(corpus)
    queries = [
        Query(f"q{number}", "blue sky", metadata={"stage_settings": {"bm25": {"k1": 0.5 + number % 50 / 100}}})
        for number in range(100)
    ]
    found = bm25.run(queries).to_dict()
    assert len(bm25._other_settings) == 16
    assert found["q3"] == found["q53"] == scores_of(bm25.replace(k1=0.53), "blue sky")
    assert len({tuple(hits.values()) for hits in found.values()}) == 50


@pytest.mark.parametrize("wrong", [{"k": 3}, {"b": 2.0}, {"k1": "high"}, {"delta": 1.0}])
def test_settings_of_queries_are_checked(bm25, wrong):
    with pytest.raises(DataError, match="'q7'"):
        bm25.run([Query("q7", "sky", metadata={"stage_settings": {"bm25": wrong}})])


def test_built_opened_and_in_memory_agree(corpus, bm25, tmp_path):
    built = BM25.build(corpus, tmp_path / "index", k=5)
    opened = BM25.open(tmp_path / "index", k=5)
    assert built.run(QUERIES).to_dict() == opened.run(QUERIES).to_dict() == bm25.run(QUERIES).to_dict()
    assert (built.documents, opened.documents) == (corpus, None)
    assert built.run(QUERIES)["q1"][0].text == TEXTS["d1"]
    with pytest.raises(NotFoundError):
        BM25.open(tmp_path / "elsewhere")


def test_an_index_is_searched_as_it_was_made(corpus, tmp_path):
    unstemmed = EnglishAnalyzer(stem=False)
    BM25.build(corpus, tmp_path / "index", analyzer=unstemmed)
    with pytest.raises(UsageError, match="another analyzer"):
        BM25.open(tmp_path / "index")
    assert scores_of(BM25.open(tmp_path / "index", analyzer=unstemmed), "scatters") != {}
    with pytest.raises(UsageError, match="another corpus"):
        BM25.open(tmp_path / "index", analyzer=unstemmed, corpus=Corpus.of([Document("d1", "another")]))


def test_for_corpus_builds_once(corpus, tmp_path, monkeypatch):
    session = Session(cache=tmp_path)
    first = BM25.for_corpus(corpus, session, k=3)
    assert first.run(QUERIES).to_dict() == {query: dict(list(hits.items())[:3]) for query, hits in LUCENE.items()}
    monkeypatch.setattr(BM25, "build", lambda *_, **__: pytest.fail("built again"))
    second = BM25.for_corpus(corpus, session, k1=1.2)
    assert (second.index.fingerprint(), second.k1, second.documents) == (first.index.fingerprint(), 1.2, corpus)
    assert second.fingerprint() != first.fingerprint()


def test_an_index_with_term_vectors_answers_the_same(corpus, tmp_path):
    plain, kept = (BM25.for_corpus(corpus, Session(cache=tmp_path), term_vectors=kept) for kept in (False, True))
    assert (plain.index.has_term_vectors, kept.index.has_term_vectors) == (False, True)
    assert kept.index_bytes > plain.index_bytes
    assert kept.run(QUERIES).to_dict() == LUCENE
    assert kept.term_vectors(list(TEXTS)) == plain.term_vectors(list(TEXTS))
    assert BM25.for_corpus(corpus, Session(), term_vectors=True).index.has_term_vectors  # in memory


def test_for_corpus_builds_anew_where_segments_are_of_another_version(corpus, tmp_path, monkeypatch):
    for version in (1_000, 1_001):
        monkeypatch.setattr(segment, "VERSION", version)
        BM25.for_corpus(corpus, Session(cache=tmp_path))
    assert len([path for path in tmp_path.rglob("segments") if path.is_dir()]) == 2


def test_for_corpus_mends_a_damaged_index(corpus, tmp_path, caplog):
    session = Session(cache=tmp_path)
    BM25.for_corpus(corpus, session)
    next(tmp_path.glob("indexes/bm25-*/segments/*/norms")).unlink()
    assert BM25.for_corpus(corpus, session).run(QUERIES).to_dict() == LUCENE
    assert "built again" in caplog.text
    (tmp_path / "mine").mkdir()
    with pytest.raises(DamagedIndexError):  # a directory that the user named is never replaced unasked
        BM25.open(tmp_path / "mine")


def test_for_corpus_when_another_process_was_faster(corpus, tmp_path, monkeypatch):
    def slow_build(held, directory, **_):
        build(held, directory)
        raise OSError(39, "Directory not empty")

    build = BM25.build
    monkeypatch.setattr(BM25, "build", slow_build)
    assert BM25.for_corpus(corpus, Session(cache=tmp_path)).run(QUERIES).to_dict() == LUCENE


def test_for_corpus_without_a_cache_works_in_memory(corpus):
    assert BM25.for_corpus(corpus, Session()).run(QUERIES).to_dict() == LUCENE


def test_progress_is_reported(corpus):
    seen = []

    class Reporter:
        def task(self, label, total):
            seen.append((label, total))
            return self

        def __enter__(self):
            return seen.append

        def __exit__(self, *_):
            pass

    BM25.of(corpus, session=Session(progress=Reporter()))
    assert seen == [("bm25 index", 6), 6]


# --- what feedback reads -------------------------------------------------------------------------------------


def test_a_source_of_terms(bm25):
    assert bm25.document_count == 6
    assert bm25.analyze("The moons") == ["moon"]
    assert bm25.document_frequencies(["blue", "tide", "zebra"]).tolist() == [2, 2, 0]
    everything = [term for text in TEXTS.values() for term in bm25.analyze(text)]
    words = ["blue", "tide", "zebra"]
    assert bm25.collection_frequencies(words).tolist() == [everything.count(word) for word in words]
    assert bm25.collection_length == len(everything)
    vectors = bm25.term_vectors(["d6", "unknown", "d4", "d3"])
    assert vectors == [{"blue": 60, "whale": 1}, None, {}, {"tide": 1, "follow": 1, "moon": 1}]


# --- the contract --------------------------------------------------------------------------------------------


class TestBM25(StageConformance):
    tolerance = 0.0

    def make_stage(self):
        return BM25.of(Corpus.of([Document(doc_id, text) for doc_id, text in TEXTS.items()]), k=100)

    def make_run(self):
        return Run.start(QUERIES)


def test_needs_no_model_library():
    code = (
        "import sys; from rankloom.retrieval import BM25; from rankloom.corpus import Corpus; "
        "from rankloom import Document; BM25.of(Corpus.of([Document('d', 'sky')])).search('sky'); "
        "print([m for m in ('torch', 'faiss', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_index_finds_the_corpus_beside_it(tmp_path):
    documents = [Document("d1", "The sky is blue."), Document("d2", "Tides follow the moon.")]
    corpus = Corpus.build(documents, tmp_path / "corpus")
    BM25.build(corpus, tmp_path / "bm25")
    assert BM25.open(tmp_path / "bm25").search("sky")[0].text == "The sky is blue."


def test_an_index_that_was_changed_shows_no_texts_of_the_corpus_it_was_made_from(tmp_path):
    BM25.build(Corpus.build([Document("d1", "The sky is blue.")], tmp_path / "corpus"), tmp_path / "bm25")
    with ImpactIndexWriter(tmp_path / "bm25", analyzer=EnglishAnalyzer()) as writer:
        writer.delete(["d1"])
        writer.add_texts([("d1", "The tide rises.")])
    changed = BM25.open(tmp_path / "bm25")
    assert (changed.documents, [hit.doc_id for hit in changed.search("tides")]) == (None, ["d1"])


def test_another_corpus_beside_an_index_is_not_taken(tmp_path):
    BM25.build(Corpus.of([Document("d1", "The sky is blue.")]), tmp_path / "bm25")
    Corpus.build([Document("d1", "Something else.")], tmp_path / "corpus")
    assert BM25.open(tmp_path / "bm25").documents is None


def test_documents_in_place_of_an_index_are_refused_with_the_way_in() -> None:
    corpus = Corpus.of([Document("d1", "The sky is blue.")])
    with pytest.raises(UsageError, match=r"bm25.*BM25\.of\(documents\), BM25\.for_corpus"):
        BM25(corpus)  # type: ignore[arg-type]
