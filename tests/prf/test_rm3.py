import pytest

from rankloom import Document, Query, Run, ScoreKind
from rankloom.corpus import Corpus
from rankloom.errors import CompositionError, UsageError
from rankloom.eval.collections import load_collection
from rankloom.eval.sources import data_folder
from rankloom.prf import RM3
from rankloom.retrieval import BM25
from rankloom.testing import StageConformance
from tests.prf.fakes import FakeTerms, FakeVectors

# 20 documents, so that a term of one or two of them is not too frequent; "common" is in all but two
TEXTS = {
    "d1": "sky blue blue light common",
    "d2": "sky rayleigh rayleigh rayleigh common",
    "d3": "sea green common",
    "empty": "",
    "odd": "ω été x a-b 2nd " + "y" * 21,
    **{f"filler{number:02}": f"word{number:02} common" for number in range(15)},
}
RETRIEVER = FakeTerms(texts=TEXTS)


def expand(scores, *, text="sky", weighted=None, kind=ScoreKind.SIMILARITY, **parameters):
    """The terms and the notes after RM3 over one ranking."""
    run = Run.from_dict({"q": scores}, queries=[Query("q", text, weighted)], kind=kind)
    after = RM3(retriever=RETRIEVER, **parameters).run(run)
    return after.queries[0].terms, after.ledger.notes


class TestArithmetic:
    def test_two_documents_by_hand(self):
        # d1: sky 1, blue 2, light 1 -> 1/4, 1/2, 1/4, times 3; d2: sky 1, rayleigh 3 -> 1/4, 3/4, times 1
        # sums: blue 1.5, sky 1, light .75, rayleigh .75, together 4; half of it, plus half of sky
        terms, notes = expand({"d1": 3.0, "d2": 1.0})
        assert terms == pytest.approx({"sky": 0.5 + 1 / 8, "blue": 1.5 / 8, "light": 0.75 / 8, "rayleigh": 0.75 / 8})
        assert list(terms) == ["sky", "blue", "light", "rayleigh"]  # heaviest first, ties by the alphabet
        assert notes == ()

    def test_documents_are_cut_down_before_they_are_scaled(self):
        # d1 keeps blue 2 and light 1 (before sky, by the alphabet): 2/3, 1/3, times 3; d2: rayleigh 3/4, sky 1/4
        # sums: blue 2, light 1, rayleigh .75, sky .25; the best two, scaled: 2/3, 1/3
        terms, _ = expand({"d1": 3.0, "d2": 1.0}, terms=2)
        assert terms == pytest.approx({"sky": 0.5, "blue": 1 / 3, "light": 1 / 6})

    def test_only_the_best_documents_count(self):
        assert expand({"d1": 3.0, "d2": 1.0, "d3": 0.5}, docs=1)[0] == expand({"d1": 7.0})[0]

    def test_fewer_documents_than_asked_for(self):
        assert expand({"d1": 3.0}, docs=50)[0] == pytest.approx({"sky": 0.625, "blue": 0.25, "light": 0.125})

    def test_documents_with_equal_texts_count_twice(self):
        twins = FakeTerms(texts={**TEXTS, "twin": TEXTS["d2"]})
        run = Run.from_dict({"q": {"d1": 1.0, "d2": 1.0, "twin": 1.0}}, queries={"q": "sky"})
        terms = RM3(retriever=twins, weight=0, max_df=1).run(run).queries[0].terms
        # d1 has 5 words, the others 5: rayleigh 2 * 3/5 of 3, blue 2/5 of 3
        assert terms["rayleigh"] == pytest.approx(0.4)
        assert terms["blue"] == pytest.approx(2 / 15)

    def test_a_repeated_query_word_weighs_twice(self):
        terms, _ = expand({"d3": 1.0}, text="sky sky moon")
        assert terms["sky"] == pytest.approx(1 / 3)
        assert terms["moon"] == pytest.approx(1 / 6)

    def test_weighted_terms_of_the_query_come_before_its_text(self):
        terms, _ = expand({"d3": 1.0}, text="moon", weighted={"sky": 3.0, "sea": 1.0})
        assert terms == pytest.approx({"sky": 0.375, "sea": 0.125 + 0.25, "green": 0.25})

    @pytest.mark.parametrize(("weight", "expected"), [(1, {"sky"}), (0, {"sea", "green"})])
    def test_terms_without_weight_are_left_out(self, weight, expected):
        assert set(expand({"d3": 1.0}, weight=weight)[0]) == expected

    def test_frequent_terms_are_no_feedback(self):
        assert "common" not in expand({"d3": 1.0})[0]
        assert "common" in expand({"d3": 1.0}, max_df=1)[0]

    def test_a_term_at_the_limit_is_feedback(self):
        assert "sky" in expand({"d1": 1.0}, text="moon", max_df=2 / len(TEXTS))[0]
        assert "sky" not in expand({"d1": 1.0}, text="moon", max_df=1.9 / len(TEXTS))[0]

    def test_negative_scores_give_positive_terms(self):
        assert min(expand({"d1": -1.0, "d2": -3.0})[0].values()) > 0

    def test_malformed_terms_are_no_feedback(self):
        assert set(expand({"odd": 1.0})[0]) == {"sky", "2nd"}
        assert set(expand({"odd": 1.0}, ascii_terms=False)[0]) == {"sky", "2nd", "été", "a-b"}


class TestWithoutFeedback:
    @pytest.mark.parametrize(
        ("scores", "text", "expected", "reason"),
        [
            ({}, "sky the sea", {"sky": 0.5, "sea": 0.5}, "no document was found"),
            ({"d1": 1.0}, "  ", {}, "the query is empty"),
            ({"nobody": 1.0, "d3": 0.0}, "sky", {"sky": 1.0}, "the documents that the index holds have a score of 0"),
        ],
    )
    def test_the_query_stays_and_is_noted(self, scores, text, expected, reason):
        terms, notes = expand(scores, text=text)
        assert dict(terms) == expected
        said = [(note.stage, note.query_id, note.detail) for note in notes if note.kind == "no_feedback"]
        assert said == [("rm3", "q", reason)]

    def test_a_query_of_stop_words_is_what_its_documents_say(self):
        terms, notes = expand({"d3": 1.0}, text="the of")
        assert dict(terms) == {"green": 0.25, "sea": 0.25}
        assert notes == ()

    def test_unknown_documents_are_left_out_and_noted(self):
        terms, notes = expand({"nobody": 9.0, "d3": 1.0})
        assert terms == expand({"d3": 1.0})[0]
        assert [(note.kind, note.doc_id) for note in notes] == [("unread_document", "nobody")]

    def test_nothing_but_unknown_documents(self):
        terms, notes = expand({"nobody": 9.0})
        assert dict(terms) == {"sky": 1.0}
        assert [note.doc_id for note in notes] == ["nobody", ""]
        assert notes[1].detail == "the index holds none of the documents"


class TestComposition:
    def test_reads_from_the_retriever_behind_it(self):
        pipeline = RETRIEVER >> RM3(docs=2) >> RETRIEVER
        assert pipeline.stages[1].retriever is RETRIEVER
        assert pipeline.search("rayleigh sky")[0].doc_id == "d2"

    def test_finds_documents_without_a_word_of_the_query(self):
        texts = {"d1": "sky rayleigh", "d2": "rayleigh", **{f"filler{n}": "nothing" for n in range(30)}}
        retriever = FakeTerms(texts=texts)
        assert retriever.search("sky").doc_ids == ["d1"]
        assert (retriever >> RM3() >> retriever).search("sky").doc_ids == ["d1", "d2"]

    def test_refuses_a_retriever_over_vectors(self):
        vectors = FakeVectors(vectors={"d1": (1.0, 0.0, 0.0)})
        with pytest.raises(CompositionError, match=r"rm3.*fake_vectors.*TermSource"):
            RETRIEVER >> RM3() >> vectors
        with pytest.raises(CompositionError, match="rm3: has no index to read terms from"):
            RM3(retriever=vectors).run(Run.from_dict({"q": {"d1": 1.0}}))

    def test_refuses_to_work_unbound(self):
        with pytest.raises(CompositionError, match="pass retriever="):
            (RETRIEVER >> RM3()).run("sky")

    @pytest.mark.parametrize(
        "wrong",
        [{"docs": 0}, {"terms": 0}, {"docs": 1.5}, {"weight": 1.1}, {"weight": float("nan")}, {"max_df": -0.1}],
    )
    def test_refuses_parameters_out_of_range(self, wrong):
        with pytest.raises(UsageError, match=f"rm3: {next(iter(wrong))}"):
            RM3(**wrong)


class TestContract(StageConformance):
    def make_stage(self):
        return RM3(docs=2, terms=3, retriever=RETRIEVER)

    def make_run(self):
        scores = {"q1": {"d1": 3.0, "d2": 1.0}, "q2": {"d3": 2.0, "nobody": 1.0}, "q3": {}, "q4": {"empty": 1.0}}
        texts = {"q1": "sky", "q2": "sea", "q3": "moon", "q4": "nothing"}
        return Run.from_dict(scores, queries=texts, documents=RETRIEVER.documents)


class TestWithBM25:
    def test_scores_of_every_kind_will_do(self):
        bm25 = BM25.of(Corpus.of([Document(doc_id, text) for doc_id, text in TEXTS.items()]))
        for kind in ScoreKind:
            run = Run.from_dict({"q": {"d1": 0.0, "d2": -1.0}}, queries={"q": "sky"}, kind=kind)
            assert set((RM3() >> bm25).run(run)["q"].doc_ids) == {"d1", "d2"}

    def test_mini_collection(self):
        mini = load_collection("mini")
        bm25 = BM25.of(mini.corpus)
        run = (bm25 >> RM3() >> bm25).run(mini.queries)
        assert mini.evaluate(run, ["nDCG@10"]).means["nDCG@10"] > 0.5

    @pytest.mark.skipif(data_folder() is None, reason="RANKLOOM_DATA is not there")
    @pytest.mark.parametrize(
        ("name", "lexical", "expanded"),
        [("scifact", 0.6789, 0.6457), ("nfcorpus", 0.3218, 0.3460)],  # Anserini's but for the last, which is our own
    )
    def test_figures_of_anserini(self, name, lexical, expanded):
        collection = load_collection(name)
        bm25 = BM25.of(collection.corpus)
        for pipeline, expected in [(bm25, lexical), (bm25 >> RM3(docs=10, terms=10, weight=0.5) >> bm25, expanded)]:
            measured = collection.evaluate(pipeline.run(collection.queries), ["nDCG@10"])
            assert measured.means["nDCG@10"] == pytest.approx(expected, abs=0.0005)
