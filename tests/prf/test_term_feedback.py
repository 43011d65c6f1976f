"""What all feedback over terms does with queries and documents that have little to say, and how it explains itself."""

import numpy as np
import pytest

from rankloom import Document, Query, Run
from rankloom.corpus import Corpus
from rankloom.errors import CompositionError, UsageError
from rankloom.prf import KL, RM3, Bo1, TermRocchio
from rankloom.prf.term_feedback import TermFeedback
from rankloom.retrieval import BM25, LearnedSparse, StoredTerms
from rankloom.sources import CountedTermSource
from rankloom.weighted_terms import SparseEncoded
from tests.prf.fakes import FakeTerms

TEXTS = {
    "d1": "sky blue blue light",
    "d2": "sky rayleigh rayleigh blue",
    "d3": "sea green sea",
    "twin": "sky blue blue light",
    "empty": "",
    "stop": "the of the",
    **{f"filler{number:02}": f"word{number:02} common" for number in range(25)},
}
RETRIEVER = FakeTerms(texts=TEXTS)
METHODS = [RM3, TermRocchio, Bo1, KL]


@pytest.fixture(params=METHODS, ids=lambda method: method.name)
def method(request) -> type[TermFeedback]:
    return request.param


def rewritten(stage, scores, text="sky"):
    run = Run.from_dict({"q": scores}, queries=[Query("q", text)])
    after = stage.run(run)
    return after.queries[0].terms, [(note.kind, note.doc_id, note.detail) for note in after.ledger.notes]


class TestLittleToRead:
    def test_no_documents(self, method):
        terms, notes = rewritten(method(retriever=RETRIEVER), {})
        assert dict(terms) == {"sky": 1.0}
        assert notes == [("no_feedback", "", "no document was found")]

    def test_fewer_documents_than_asked_for(self, method):
        some = {"d1": 2.0, "d2": 1.0}
        many, notes = rewritten(method(docs=50, retriever=RETRIEVER), some)
        assert many == rewritten(method(docs=2, retriever=RETRIEVER), some)[0]
        assert {"blue", "sky"} <= many.keys()
        assert notes == []

    def test_documents_without_terms_are_skipped_and_noted(self, method):
        stage = method(docs=4, retriever=RETRIEVER)
        terms, notes = rewritten(stage, {"empty": 4.0, "d1": 2.0, "stop": 1.5, "d2": 1.0})
        assert terms == rewritten(stage, {"d1": 2.0, "d2": 1.0})[0]
        assert notes == [("empty_document", doc_id, "the index holds no term of it") for doc_id in ("empty", "stop")]

    def test_nothing_but_documents_without_terms(self, method):
        terms, notes = rewritten(method(retriever=RETRIEVER), {"empty": 2.0, "stop": 1.0})
        assert dict(terms) == {"sky": 1.0}
        assert notes[-1] == ("no_feedback", "", "the documents hold no term")
        assert len(notes) == 3

    def test_documents_with_equal_texts_count_each(self, method):
        stage = method(docs=3, retriever=RETRIEVER)
        once, _ = rewritten(stage, {"d1": 1.0, "d2": 1.0})
        twice, _ = rewritten(stage, {"d1": 1.0, "twin": 1.0, "d2": 1.0})
        assert twice["blue"] / twice["rayleigh" if "rayleigh" in twice else "sky"] != pytest.approx(
            once["blue"] / once["rayleigh" if "rayleigh" in once else "sky"]
        )

    def test_a_query_of_stop_words_is_what_its_documents_say(self, method):
        terms, notes = rewritten(method(retriever=RETRIEVER), {"d1": 1.0, "d2": 1.0}, text="the of")
        assert {"blue", "sky"} <= terms.keys()
        assert notes == []

    def test_a_query_of_stop_words_without_documents_asks_for_nothing(self, method):
        assert rewritten(method(retriever=RETRIEVER), {}, text="the of")[0] == {}

    @pytest.mark.parametrize("method", [RM3, TermRocchio])
    def test_a_tiny_corpus_says_why_no_term_is_added(self, method):
        tiny = FakeTerms(texts={"d1": "sky blue", "d2": "sea"})
        terms, notes = rewritten(method(retriever=tiny), {"d1": 1.0})
        assert dict(terms) == {"sky": 1.0}
        assert notes == [("no_feedback", "", "each term is in more than 0.1 (max_df) of the index's 2 documents")]
        assert "blue" in rewritten(method(retriever=tiny, max_df=1), {"d1": 1.0})[0]

    @pytest.mark.parametrize("method", [Bo1, KL])
    def test_a_tiny_corpus_is_enough_for_models_of_chance(self, method):
        tiny = FakeTerms(texts={"d1": "sky blue", "d2": "sea"})
        assert "blue" in rewritten(method(retriever=tiny), {"d1": 1.0})[0]

    @pytest.mark.parametrize("method", [RM3, TermRocchio])
    def test_malformed_terms_say_why_no_term_is_added(self, method):
        odd = FakeTerms(texts={"d1": "x " + "y" * 21})
        _, notes = rewritten(method(retriever=odd), {"d1": 1.0})
        assert notes == [("no_feedback", "", "no term of the documents looks like a word")]


class TestExplained:
    def test_a_query_that_is_not_in_the_run_is_an_error(self):
        run = (RETRIEVER >> RM3(docs=2, max_df=1) >> RETRIEVER).run({"q1": "rayleigh sky"})
        with pytest.raises(UsageError, match=r"no such query in the run; got 'q9'; accepted: q1"):
            run.feedback("q9")

    def test_parts_of_documents_and_of_the_query(self):
        run = (RETRIEVER >> RM3(docs=2, max_df=1) >> RETRIEVER).run({"q1": "rayleigh sky"})
        told = run.feedback("q1")
        assert (told.stage, told.query_id) == ("rm3", "q1")
        sky = next(one for one in told.terms if one.term == "sky")
        assert sky.original == 0.25
        assert {doc_id for doc_id, _ in sky.documents} == {"d1", "d2"}
        assert sky.weight == pytest.approx(sky.original + sum(part for _, part in sky.documents))
        blue = next(one for one in told.terms if one.term == "blue")
        assert blue.original == 0
        assert dict(blue.documents).keys() == {"d1", "d2"}
        assert "blue" in str(told)
        assert "query 0.2500" in str(told)

    def test_a_query_without_feedback_is_its_own(self, method):
        run = method(retriever=RETRIEVER).run(Run.from_dict({"q": {}}, queries={"q": "sky"}))
        assert [(one.term, one.weight, one.original, one.documents) for one in run.feedback("q").terms] == [
            ("sky", 1.0, 1.0, ())
        ]

    def test_which_stage_is_meant(self):
        pipeline = RETRIEVER >> RM3(max_df=1) >> RETRIEVER >> Bo1() >> RETRIEVER
        run = pipeline.run({"q1": "sky"})
        assert run.feedback("q1").stage == "bo1"
        assert run.feedback("q1", stage="rm3").stage == "rm3"
        with pytest.raises(UsageError, match=r"'kl'; accepted: rm3, bo1"):
            run.feedback("q1", stage="kl")
        with pytest.raises(UsageError, match="pipelines with a stage such as rm3"):
            RETRIEVER.run({"q1": "sky"}).feedback("q1")


class Encoder:
    """Letters weigh how often they stand in a text; as a model that reads ten letters."""

    def fingerprint(self):
        return "letters"

    def encode(self, texts, *, role, session):  # noqa: ARG002
        terms = [{letter: float(text.count(letter)) for letter in sorted(set(text)) if letter != " "} for text in texts]
        lengths = np.array([len(text) for text in texts])
        return SparseEncoded(terms, np.minimum(lengths, 10), np.maximum(lengths - 10, 0), 1)


LETTERS = {
    "d1": {"a": 1.5, "##b": 0.5},
    "d2": {"a": 1.0, "c": 2.0},
    "d3": {"c": 1.0},
    **{f"f{n}": {"z": 1.0} for n in range(30)},
}


class TestOverLearnedTerms:
    def learned(self):
        return LearnedSparse.of_terms(LETTERS, queries=Encoder())

    @pytest.mark.parametrize("method", [RM3, TermRocchio])
    def test_weights_take_the_place_of_frequencies(self, method):
        index = self.learned()
        run = (index >> method(docs=2) >> index).run({"q": "a"})
        terms = {one.term: one.weight for one in run.feedback("q").terms}
        assert terms.keys() == {"a", "##b", "c"}  # of any form
        assert set(run["q"].doc_ids) == {"d1", "d2", "d3"}  # the last by a term that is not in the query

    def test_by_hand(self):
        # d1 scores 1.5, d2 1.0: a = .75 * 1.5 + 1/3 * 1, c = 2/3, ##b = .25 * 1.5, together 2.5; half of it, plus half
        index = self.learned()
        terms = RM3(docs=2, retriever=index).run(index.run({"q": "a"})).queries[0].terms
        whole = 0.75 * 1.5 + 1 / 3 + 2 / 3 + 0.25 * 1.5
        assert terms == pytest.approx(
            {"a": 0.5 + 0.5 * (1.125 + 1 / 3) / whole, "c": 0.5 * (2 / 3) / whole, "##b": 0.5 * 0.375 / whole}
        )

    def test_the_encoder_is_counted_and_cut_queries_are_noted(self):
        index = self.learned()
        after = RM3(docs=2, retriever=index).run(index.run({"q": "a b c d e f g"}))
        cost = after.ledger.costs[-1]
        assert (cost.stage, cost.calls, cost.tokens) == ("rm3", 1, 10)
        assert [(note.stage, note.amount) for note in after.ledger.of("truncated")] == [
            ("learned_sparse", 3),
            ("rm3", 3),
        ]

    @pytest.mark.parametrize("method", [Bo1, KL])
    def test_models_of_chance_need_counts(self, method):
        index = self.learned()
        with pytest.raises(CompositionError, match=rf"{method.name}.*learned_sparse.*CountedTermSource"):
            index >> method() >> index

    def test_stored_terms_are_written_once_more_before_feedback(self, tmp_path):
        (tmp_path / "queries.tsv").write_text("q\ta a\n")
        stored, index = StoredTerms(tmp_path / "queries.tsv"), LearnedSparse.of_terms(LETTERS)
        run = (stored >> index >> stored >> RM3(docs=2) >> index).run({"q": "some words"})
        assert run.feedback("q").terms[0].original == 0.5
        assert set(run["q"].doc_ids) == {"d1", "d2", "d3"}
        with pytest.raises(UsageError, match="StoredTerms before it, and once more before feedback"):
            (stored >> index >> RM3() >> index).run({"q": "some words"})

    def test_units_run_on_one_thread_where_a_model_may_run(self):
        assert not RM3(retriever=self.learned()).parallel
        assert RM3(retriever=RETRIEVER).parallel


class TestOverBM25:
    def test_every_method_finds_documents_without_a_word_of_the_query(self, method):
        texts = {"d1": "sky rayleigh", "d2": "sky rayleigh", "d3": "rayleigh scattering"}
        texts.update({f"filler{n}": "nothing" for n in range(30)})
        bm25 = BM25.of(Corpus.of([Document(doc_id, text) for doc_id, text in texts.items()]))
        assert isinstance(bm25, CountedTermSource)
        assert set(bm25.search("sky").doc_ids) == {"d1", "d2"}
        assert set((bm25 >> method() >> bm25).search("sky").doc_ids) == {"d1", "d2", "d3"}
