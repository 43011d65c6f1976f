"""GRF: terms of made-up texts, weighed as often as they occur, against a computation by hand."""

from collections import Counter

import pytest

from rankloom import Run
from rankloom.errors import CompositionError, UsageError
from rankloom.prf import GRF
from rankloom.records import Query
from rankloom.testing import StageConformance
from tests.prf.fakes import FakeTerms, FakeVectors
from tests.prf.writers import Writer

TEXTS = {
    "d1": "sea salt",
    "d2": "tea leaf",
    "d3": "wave wave sea",
    "d4": "moon",
    "d5": "tide",
    "d6": "x",
    "d7": "the of",
}
SAID = {
    "List the words and phrases that": "salt wave sea the",
    "Write an essay": "wave wave of the tide unheard",
    "void": "",
}
ALL = {"max_df": 1.0}


def rewritten(queries, model=None, **options):
    settings = {"kinds": ["keywords", "essay"], "retriever": FakeTerms(texts=TEXTS), **ALL, **options}
    return GRF(model or Writer(SAID), **settings).run(queries)


def terms(run, place=0):
    return dict(run.queries[place].terms)


class TestWeights:
    def test_by_hand(self):
        # salt 1, wave 3, sea 1, tide 1; "unheard" is in no document, and the stop words are no terms
        found = terms(rewritten({"q": "sea moon"}, terms=3))
        assert found == pytest.approx({"sea": 0.25 + 0.1, "moon": 0.25, "wave": 0.3, "salt": 0.1})
        # the best three of them: wave, then salt and sea by the alphabet; tide is left out

    def test_brute_force(self):
        texts = [text for key, text in SAID.items() if key != "void"]
        counts = Counter(word for text in texts for word in text.split() if word not in ("the", "of", "unheard"))
        total = sum(counts.values())
        for weight in (0.0, 0.3, 1.0):
            found = terms(rewritten({"q": "sea sea tea"}, weight=weight))
            query = {"sea": 2 / 3, "tea": 1 / 3}
            expected = {
                term: weight * query.get(term, 0.0) + (1 - weight) * counts[term] / total for term in {*query, *counts}
            }
            assert found == pytest.approx({term: value for term, value in expected.items() if value})

    def test_all_ten_kinds_are_asked_for(self):
        model = Writer()
        rewritten({"q": "sea", "r": "tea"}, model, kinds=None)
        assert len(model.asked) == 20
        assert len({one.text for one in model.asked}) == 20
        assert model.asked[0].text.endswith("\n\nQuery: sea")

    def test_frequent_terms_are_no_feedback_terms(self):
        # of seven documents, one is a seventh; sea is in two
        assert "sea" not in terms(rewritten({"q": "moon"}, max_df=0.15))
        assert "wave" in terms(rewritten({"q": "moon"}, max_df=0.15))

    def test_terms_that_feedback_wrote_are_expanded(self):
        found = terms(rewritten([Query("q", "sea").with_terms({"moon": 2.0})], weight=1.0))
        assert found == {"moon": 1.0}

    def test_it_is_searched_for(self):
        fake = FakeTerms(texts=TEXTS)
        hits = (GRF(Writer(SAID), kinds=["essay"], **ALL) >> fake).run("moon")
        assert hits.to_dict()["q1"] == pytest.approx({"d4": 0.5, "d3": 2 / 3, "d5": 1 / 6})


class TestNotes:
    @pytest.mark.parametrize(
        ("text", "said", "options", "reason"),
        [
            (" ", SAID, {}, "the query is empty"),
            ("void", {"void": " "}, {}, "the model said nothing"),
            ("sea", {"sea": "the of"}, {}, "the texts hold no term"),
            ("sea", {"sea": "unheard"}, {}, "the index holds no term of the texts"),
            ("sea", {"sea": "\u5929"}, {}, "no term of the documents looks like a word"),
            (
                "sea",
                {"sea": "wave"},
                {"max_df": 0.01},
                "each term is in more than 0.01 (max_df) of the index's 7 documents",
            ),
        ],
    )
    def test_without_feedback_the_query_is_its_own_terms(self, text, said, options, reason):
        run = rewritten({"q": text, "r": "moon"}, Writer({**said, "moon": "wave"}), **options)
        assert terms(run) == ({} if text == " " else {text: 1.0})
        assert [note.detail for note in run.ledger.of("no_feedback") if note.query_id == "q"] == [reason]

    def test_empty_and_cut_texts(self):
        run = rewritten(
            {"q": "moon"}, Writer({"List the words": " ", "Write an essay": "wave"}, cut=["Write an essay"])
        )
        assert run.ledger.counts() == {"cut_output": 1, "empty_output": 1}
        assert terms(run) == {"moon": 0.5, "wave": 0.5}

    def test_costs(self):
        (cost,) = rewritten({"q": "sea", "r": "tea"}).ledger.costs
        assert (cost.model, cost.inputs, cost.calls, cost.written) == ("writer-1", 2, 4, 2 * (4 + 6))


class TestComposition:
    def test_it_needs_a_retriever_over_counted_terms(self):
        with pytest.raises(CompositionError, match="can not read"):
            GRF(Writer()) >> FakeVectors(vectors={"d": (1.0, 0.0, 0.0)})
        with pytest.raises(CompositionError, match="grf: has no index"):
            GRF(Writer()).run({"q": "sea"})

    @pytest.mark.parametrize(
        "wrong",
        [
            {"kinds": []},
            {"kinds": ["essay", "essay"]},
            {"kinds": ["poem"]},
            {"terms": 0},
            {"weight": 1.5},
            {"max_df": -1.0},
            {"max_tokens": 0},
        ],
    )
    def test_refuses_wrong_parameters(self, wrong):
        with pytest.raises(UsageError, match="grf: "):
            GRF(Writer(), **wrong)


class TestContract(StageConformance):
    def make_stage(self):
        return GRF(Writer(SAID), kinds=["keywords", "essay", "news"], retriever=FakeTerms(texts=TEXTS), **ALL)

    def make_run(self):
        return Run.start({"q1": "sea", "q2": "tea leaf", "q3": "moon"})
