"""Lucene as a stage: against our own BM25, and all the ways in and out."""

import gc
import random
import tempfile
from functools import cache
from pathlib import Path

import pytest

from rankloom import Document, Query, Run, Session
from rankloom.config import PipelineBuilder
from rankloom.corpus import Corpus
from rankloom.errors import ConfigError, DamagedIndexError, DataError, NotFoundError, StageError, UsageError
from rankloom.eval import load_collection
from rankloom.extras import installed
from rankloom.prf import KL, RM3, Bo1, TermRocchio
from rankloom.retrieval import BM25, EnglishAnalyzer, Lucene, LuceneAnalyzer, LuceneIndex
from rankloom.retrieval.lucene import index as index_module
from rankloom.retrieval.lucene.analyzer import LANGUAGES
from rankloom.retrieval.lucene.process import lucene_process
from rankloom.testing import AWKWARD_QUERIES, StageConformance

pytestmark = pytest.mark.skipif(not installed("pyserini"), reason="the extra 'lucene' is not installed")

TEXTS = {
    "d1": "The sky is blue because air scatters blue light more than red light.",
    "d2": "Red sunsets: at dusk the light of the sun takes a longer way through the air.",
    "d3": "Tides follow the moon.",
    "d4": "...",
    "d5": "Tides follow the moon.",
    "d6": "blue " * 60 + "whale",
}
QUERIES = {"q1": "why is the sky blue", "q2": "blue blue light", "q3": "the moon's tides", "q4": "red air"}


@cache
def corpus():
    return Corpus.of([Document(doc_id, text) for doc_id, text in TEXTS.items()])


@cache
def folder():
    """An index of the corpus, built once in a process."""
    place = tempfile.TemporaryDirectory()
    Lucene.build(corpus(), Path(place.name) / "index")
    folder.place = place  # goes when the process does
    return Path(place.name) / "index"


@pytest.fixture(scope="module", autouse=True)
def process():
    """One process for all tests of this file."""
    return lucene_process()


@pytest.fixture
def lucene():
    return Lucene.open(folder(), corpus=corpus())


def same(lucene_run, bm25_run):
    """Whether two runs hold the same hits in the same order with the same scores, to the last bit."""
    ours, theirs = lucene_run.to_dict(), bm25_run.to_dict()
    assert {query: list(hits.items()) for query, hits in ours.items()} == {
        query: list(hits.items()) for query, hits in theirs.items()
    }


def test_scores_are_told_apart_as_lucene_explains_them(lucene):
    bm25 = BM25.of(corpus())
    for text in QUERIES.values():
        for hit in lucene.search(text):
            told, ours = hit.explain(), bm25.explain(text, hit.doc_id)
            assert told.score == pytest.approx(hit.score, rel=1e-6)
            assert [(one.term, one.weight, one.value) for one in told.terms] == [
                (one.term, one.weight, one.value) for one in ours.terms
            ]
            assert [one.part for one in told.terms] == pytest.approx([one.part for one in ours.terms], rel=1e-6)
            assert [one.idf for one in told.terms] == pytest.approx([one.idf for one in ours.terms], rel=1e-6)
            assert told.missing == ours.missing
            assert told.facts == pytest.approx(ours.facts, rel=1e-6)
    weighted = lucene.explain(Query("q", "", terms={"blue": 0.5, "zebra": 2.0}), "d6")
    assert [(one.term, one.weight, one.value) for one in weighted.terms] == [("blue", 0.5, 60)]
    assert weighted.missing == ("zebra",)
    assert lucene.explain("blue", "d4").score == 0
    with pytest.raises(DataError, match="no such document"):
        lucene.explain("blue", "d9")


# --- what it finds ---------------------------------------------------------------------------------------------------


def test_scores_and_order_are_those_of_our_bm25(lucene):
    same(lucene.run(QUERIES), BM25.of(corpus()).run(QUERIES))
    assert list(lucene.run(QUERIES)["q3"].doc_ids) == ["d3", "d5"]


def test_random_corpora_and_parameters():
    rng = random.Random(4)
    words = [f"w{number}" for number in range(12)]
    for _ in range(6):
        documents = [" ".join(rng.choices(words, k=rng.randrange(9))) for _ in range(rng.randrange(1, 60))]
        held = Corpus.of([Document(f"d{number}", text) for number, text in enumerate(documents)])
        queries = [" ".join(rng.choices([*words, "other"], k=rng.randrange(1, 6))) for _ in range(10)]
        stage, ours = Lucene.of(held), BM25.of(held)
        for changes in ({}, {"k": 3}, {"k": 1, "k1": 1.2, "b": 0.75}, {"k1": 0.0}, {"b": 1.0}):
            same(stage.replace(**changes).run(queries), ours.replace(**changes).run(queries))


def test_ties_go_by_document_id_also_at_the_cut():
    ids = ["d10", "d9", "d1", "\xe4", "Z", *(f"e{number:04}" for number in range(3000))]
    stage = Lucene.of(Corpus.of([Document(doc_id, "the same words") for doc_id in reversed(ids)]))
    assert list(stage.replace(k=2).run(["same"])["q1"].doc_ids) == ["Z", "d1"]
    assert list(stage.replace(k=5000).run(["same"])["q1"].doc_ids) == sorted(ids)


@pytest.mark.slow
def test_documents_stay_in_order_through_many_segments(monkeypatch):
    monkeypatch.setattr(index_module, "_BUFFER_MB", 0.05)  # dozens of small segments, merged in steps
    rng = random.Random(5)
    texts = [" ".join(rng.choices([f"w{number}" for number in range(300)], k=40)) for _ in range(600)]
    held = Corpus.of([Document(f"d{number}", text) for number, text in enumerate(texts)])
    queries = [f"w{number} w{number + 1}" for number in range(0, 300, 25)]
    same(Lucene.of(held).run(queries), BM25.of(held).run(queries))


def test_title_and_text_are_indexed():
    stage = Lucene.of(Corpus.of([Document("d1", "body", title="heading"), Document("d2", "other")]))
    assert list(stage.run(["heading"])["q1"].doc_ids) == list(stage.run(["body"])["q1"].doc_ids) == ["d1"]


def test_queries_without_hits_are_noted(lucene):
    queries = [Query("q1", "the of and"), Query("q2", "zebra"), Query("q3", "sky"), Query("q4", "")]
    run = lucene.run([*queries, Query("q5", "sky", terms={})])
    assert {query_id: len(hits) for query_id, hits in run.items()} == {"q1": 0, "q2": 0, "q3": 1, "q4": 0, "q5": 0}
    noted = {note.query_id: note.kind for note in run.ledger.notes}
    assert noted == {"q1": "empty_query", "q2": "no_hits", "q4": "empty_query", "q5": "empty_query"}


def test_more_terms_than_lucene_takes_by_default(lucene):
    assert list(lucene.run([" ".join(f"w{number}" for number in range(3000)) + " whale"])["q1"].doc_ids) == ["d6"]


def test_a_corpus_without_terms():
    stage = Lucene.of(Corpus.of([Document("d1", "..."), Document("d2", "")]))
    assert len(stage.run(["sky"])["q1"]) == 0
    assert stage.term_vectors(["d1"]) == [{}]
    assert stage.collection_length == 0


def test_texts_in_any_script_and_with_control_characters():
    texts = [text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in AWKWARD_QUERIES]
    held = Corpus.of([Document(f"d{number}", text) for number, text in enumerate(texts)])
    same(Lucene.of(held).run(list(AWKWARD_QUERIES)), BM25.of(held).run(list(AWKWARD_QUERIES)))


# --- analysis --------------------------------------------------------------------------------------------------------


def test_our_english_analyzer_makes_the_terms_that_lucene_makes(lucene):
    texts = [document.contents for document in load_collection("mini").corpus][:200]
    ours = EnglishAnalyzer()
    for text in [*texts, *AWKWARD_QUERIES, "The patient's T-cells weren't activated in U.S. trials"]:
        assert lucene.analyze(text) == ours(text)


@pytest.mark.parametrize(
    ("analyzer", "terms"),
    [
        (LuceneAnalyzer(stemmer="none"), ["houses", "marketing"]),
        (LuceneAnalyzer(stemmer="krovetz"), ["house", "marketing"]),
        (LuceneAnalyzer(stop_words=False), ["the", "hous", "of", "market"]),
    ],
)
def test_stemmers_and_stop_words(process, analyzer, terms):
    assert process.ask("analyze", analyzer=analyzer.settings(), text="The houses of marketing") == terms


def test_every_language_has_an_analyzer(process):
    for language in LANGUAGES:
        settings = LuceneAnalyzer(language).settings()
        assert process.ask("analyze", analyzer=settings, text="Lucene 1999 \u5929\u7a7a"), language
    german = Lucene.of(Corpus.of([Document("d1", "viele H\xe4user")]), analyzer=LuceneAnalyzer("de"))
    assert list(german.run(["das Haus"])["q1"].doc_ids) == ["d1"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"language": "xx"}, "unknown language"),
        ({"stemmer": "portr"}, "did you mean 'porter'"),
        ({"language": "de", "stemmer": "none"}, "for English"),
    ],
)
def test_analyzers_are_checked(wrong, message):
    with pytest.raises(UsageError, match=message):
        LuceneAnalyzer(**wrong)


# --- weighted terms and feedback -------------------------------------------------------------------------------------


def test_weighted_terms_take_the_text_s_place(lucene):
    query = Query("q", "tides of the moon", terms={"sky": 2.0, "blue": 0.5, "unheard": 3.0, "tide": 0.0})
    run = lucene.run([query])
    same(run, BM25.of(corpus()).run([query]))
    assert (run.queries[0].terms, run.queries[0].text) == (None, "tides of the moon")


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), 1e300, -0.1])
def test_weights_that_lucene_does_not_take(lucene, weight):
    with pytest.raises(DataError, match=r"lucene: .*weight.*sky"):
        lucene.run([Query("q", "", terms={"sky": weight})])


def test_feedback_reads_lucenes_term_vectors(lucene):
    ours = BM25.of(corpus())
    ids, terms = ["d6", "unknown", "d4", "d3"], ["blue", "tide", "zebra"]
    assert lucene.term_vectors(ids) == ours.term_vectors(ids)
    assert lucene.document_frequencies(terms).tolist() == ours.document_frequencies(terms).tolist() == [2, 2, 0]
    assert lucene.collection_frequencies(terms).tolist() == ours.collection_frequencies(terms).tolist()
    assert lucene.collection_length == ours.collection_length > 0
    assert lucene.document_count == 6


def test_feedback_over_lucene_is_feedback_over_bm25():
    mini = load_collection("mini")
    stage, ours = Lucene.of(mini.corpus), BM25.of(mini.corpus)
    for feedback in (RM3(), TermRocchio(), Bo1(), KL()):
        same((stage >> feedback >> stage).run(mini.queries), (ours >> feedback >> ours).run(mini.queries))


def test_composition_in_yaml():
    builder = PipelineBuilder({})
    builder.check([{"lucene": {"k": 10, "stemmer": "krovetz"}}, "rm3", "lucene"], at=())
    with pytest.raises(ConfigError, match="can not read"):
        builder.check(["lucene", "vector_prf", "lucene"], at=())
    with pytest.raises(ConfigError, match="did you mean 'stemmer'"):
        builder.check([{"lucene": {"stemer": "none"}}], at=())


# --- places ----------------------------------------------------------------------------------------------------------


def test_built_opened_and_temporary_agree(lucene):
    temporary = Lucene.of(corpus())
    place = temporary.index.directory
    same(temporary.run(QUERIES), lucene.run(QUERIES))
    assert temporary.fingerprint() == lucene.fingerprint()
    assert lucene.run(QUERIES)["q1"][0].text == TEXTS["d1"]
    temporary.close()
    del temporary
    gc.collect()
    assert not place.exists()


def test_an_index_finds_the_corpus_beside_it(tmp_path):
    held = Corpus.build([Document("d1", "The sky is blue.")], tmp_path / "corpus")
    Lucene.build(held, tmp_path / "lucene")
    assert Lucene.open(tmp_path / "lucene").search("sky")[0].text == "The sky is blue."


def test_an_index_of_another_corpus_is_refused():
    with pytest.raises(UsageError, match=r"lucene: the index was made from another corpus"):
        Lucene.open(folder(), corpus=Corpus.of([Document("d1", "another")]))


def test_folders_that_are_no_index(tmp_path):
    with pytest.raises(NotFoundError):
        Lucene.open(tmp_path / "nowhere")
    with pytest.raises(DamagedIndexError, match="manifest"):
        Lucene.open(tmp_path)
    BM25.build(corpus(), tmp_path / "bm25")
    with pytest.raises(DamagedIndexError, match="another format"):
        Lucene.open(tmp_path / "bm25")


def test_a_missing_file_is_found_when_the_index_is_opened(tmp_path):
    Lucene.build(corpus(), tmp_path / "index")
    next((tmp_path / "index").glob("segments_*")).unlink()
    with pytest.raises(DamagedIndexError, match="segments_"):
        Lucene.open(tmp_path / "index")


@pytest.mark.parametrize("name", ["segments_*", "_*.si", "_*.tim"])
def test_a_cut_file_is_found_when_the_index_is_opened_or_searched(tmp_path, name):
    Lucene.build(corpus(), tmp_path / "index")
    opened = Lucene.open(tmp_path / "index")
    path = next((tmp_path / "index").glob(name))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DamagedIndexError, match=path.name):
        LuceneIndex.open(tmp_path / "index")
    with pytest.raises(DamagedIndexError, match="Lucene can not read the index"):
        opened.run(QUERIES)  # cut after it was opened


def test_an_index_that_is_replaced_is_opened_anew(tmp_path):
    Lucene.build(corpus(), tmp_path / "index").run(QUERIES)
    changed = Corpus.of([Document("d7", "blue sky")])
    assert list(Lucene.build(changed, tmp_path / "index").run(QUERIES)["q1"].doc_ids) == ["d7"]


def test_a_failed_build_leaves_nothing(tmp_path):
    too_long = Corpus.of([Document("d" * 40_000, "an id that Lucene can not index")])
    with pytest.raises(StageError, match=r"lucene: .*immense term"):
        Lucene.build(too_long, tmp_path / "index")
    assert list(tmp_path.iterdir()) == []
    assert lucene_process().running


def test_for_corpus_builds_once(tmp_path, monkeypatch):
    session = Session(cache=tmp_path)
    first = Lucene.for_corpus(corpus(), session, k=3)
    stemmed = Lucene.for_corpus(corpus(), session, stemmer="krovetz")
    assert first.index.directory != stemmed.index.directory
    monkeypatch.setattr(LuceneIndex, "build", lambda *_, **__: pytest.fail("built again"))
    second = Lucene.for_corpus(corpus(), session, k1=1.2)
    assert (second.index.directory, second.k1, second.documents) == (first.index.directory, 1.2, corpus())
    assert len({stage.fingerprint() for stage in (first, second, stemmed)}) == 3
    same(first.run(QUERIES), BM25.of(corpus(), k=3).run(QUERIES))


def test_for_corpus_mends_a_damaged_index(tmp_path, caplog):
    session = Session(cache=tmp_path)
    Lucene.for_corpus(corpus(), session)
    next(tmp_path.glob("indexes/lucene-*/ids.arrow")).unlink()
    same(Lucene.for_corpus(corpus(), session).run(QUERIES), BM25.of(corpus()).run(QUERIES))
    assert "built again" in caplog.text


def test_for_corpus_when_another_process_was_faster(tmp_path, monkeypatch):
    def slow_build(held, directory, **_):
        build(held, directory)
        raise OSError(39, "Directory not empty")

    build = LuceneIndex.build
    monkeypatch.setattr(LuceneIndex, "build", slow_build)
    assert len(Lucene.for_corpus(corpus(), Session(cache=tmp_path)).run(QUERIES)["q1"]) == 2


@pytest.mark.parametrize("wrong", [{"k": 0}, {"k1": -0.1}, {"b": 1.1}])
def test_parameters_are_checked(wrong):
    with pytest.raises(UsageError, match=r"lucene: .* out of range"):
        Lucene.open(folder(), **wrong)


# --- the contract ----------------------------------------------------------------------------------------------------


class TestLucene(StageConformance):
    def make_stage(self):
        return Lucene.open(folder(), corpus=corpus(), k=100)

    def make_run(self):
        return Run.start(QUERIES)
