"""query2doc: the query and a made-up passage as one text."""

import json

import pytest

from rankloom import Run
from rankloom.errors import DataError, NotFoundError, UsageError
from rankloom.eval.explain import explain_run
from rankloom.prf import Query2Doc
from rankloom.records import Query
from rankloom.testing import StageConformance
from tests.prf.fakes import FakeTerms
from tests.prf.writers import Writer

SAID = {"sea": " Salt water.\n", "tea": "A drink.", "void": ""}


def texts(queries, model=None, **options):
    run = Query2Doc(model or Writer(SAID), **options).run(queries)
    return [query.text for query in run.queries], run


class TestTheText:
    def test_the_query_keeps_its_weight_for_terms(self):
        assert texts({"q": "sea"})[0] == ["sea sea sea sea sea Salt water."]
        assert texts({"q": "sea"}, repeats=2)[0] == ["sea sea Salt water."]

    def test_a_separator_for_encoders(self):
        assert texts({"q": "sea"}, form="dense")[0] == ["sea [SEP] Salt water."]
        assert texts({"q": "sea"}, form="dense", separator="</s>")[0] == ["sea </s> Salt water."]

    def test_what_is_asked(self):
        model = Writer(SAID)
        texts({"q": "sea"}, model)
        assert [one.text for one in model.asked] == [
            "Write a passage that answers the given query:\n\nQuery: sea\nPassage:"
        ]

    def test_examples_stand_before_the_query(self, tmp_path):
        shown = [{"query": "a {query}?", "passage": "b"}, {"query": "c", "passage": "d"}]
        (tmp_path / "shown.jsonl").write_text("\n".join(map(json.dumps, shown)))
        model = Writer(SAID)
        texts({"q": "sea"}, model, examples=str(tmp_path / "shown.jsonl"))
        examples = "Query: a {query}?\nPassage: b\n\nQuery: c\nPassage: d\n\n"
        assert [one.text for one in model.asked] == [
            f"Write a passage that answers the given query:\n\n{examples}Query: sea\nPassage:"
        ]
        before = Query2Doc(model, examples=str(tmp_path / "shown.jsonl")).fingerprint()
        (tmp_path / "shown.jsonl").write_text(json.dumps(shown[0]))
        assert Query2Doc(model, examples=str(tmp_path / "shown.jsonl")).fingerprint() != before

    def test_it_is_searched_for(self):
        fake = FakeTerms(texts={"d1": "the sea", "d2": "salt water. is salt"})
        assert (Query2Doc(Writer(SAID)) >> fake).run("sea").to_dict()["q1"] == {"d1": 5.0, "d2": 3.0}

    def test_terms_of_the_query_are_dropped(self):
        _, run = texts([Query("q", "sea").with_terms({"x": 1.0}), Query("r", "void").with_terms({"x": 1.0})])
        assert [query.terms for query in run.queries] == [None, None]


def test_explain_shows_the_new_text_also_at_the_head_of_a_pipeline():
    run = (Query2Doc(Writer(SAID), repeats=1) >> FakeTerms(texts={"d1": "sea"})).run({"q": "sea"})
    told = explain_run(run, "q", parts=False)
    assert told.text == "sea"
    assert [(view.stage, view.text) for view in told.stages] == [("query2doc", "sea Salt water."), ("fake_terms", None)]


class TestNotes:
    @pytest.mark.parametrize(("text", "reason"), [(" ", "the query is empty"), ("void", "the model said nothing")])
    def test_the_query_stays_without_a_passage(self, text, reason):
        found, run = texts({"q": text, "r": "tea"}, repeats=1)
        assert found == [text, "tea A drink."]
        assert [(note.query_id, note.detail) for note in run.ledger.of("no_feedback")] == [("q", reason)]

    def test_costs_and_cut_passages(self):
        found, run = texts({"q": "sea", "r": "tea"}, Writer(SAID, cut=["sea"]))
        assert [(note.kind, note.query_id) for note in run.ledger.notes] == [("cut_output", "q")]
        assert found[0].endswith("Salt water.")
        (cost,) = run.ledger.costs
        assert (cost.model, cost.inputs, cost.calls, cost.tokens, cost.written) == ("writer-1", 2, 2, 26, 4)


class TestParameters:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"form": "both"},
            {"repeats": 0},
            {"max_tokens": 0},
            {"form": "dense", "repeats": 5},
            {"separator": "[SEP]"},
        ],
    )
    def test_refuses_wrong_parameters(self, wrong):
        with pytest.raises(UsageError, match="query2doc: "):
            Query2Doc(Writer(), **wrong)

    def test_examples_that_can_not_be_read(self, tmp_path):
        (tmp_path / "shown.jsonl").write_text('{"query": "a"}')
        with pytest.raises(DataError, match="line 1: an example lacks a text"):
            Query2Doc(Writer(), examples=str(tmp_path / "shown.jsonl"))
        with pytest.raises(NotFoundError):
            Query2Doc(Writer(), examples="nowhere.jsonl")


class TestContract(StageConformance):
    def make_stage(self):
        return Query2Doc(Writer(SAID))

    def make_run(self):
        return Run.start({"q1": "sea", "q2": "tea", "q3": "moon"})
