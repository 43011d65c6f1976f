"""Listwise reranking: windows, repairs, notes, costs, and going on after a failure."""

import pytest

from rankloom import ScoreKind, Session
from rankloom.errors import DataError, NotFoundError, StageError, UsageError
from rankloom.rerank.llm import Listwise
from rankloom.testing import StageConformance
from tests.rerank.llm.models import SESSION, Grader, graded_run, grades

RISING = list(range(50))  # the best hit stands last


class TestListwiseConformance(StageConformance):
    def make_stage(self):
        return Listwise(Grader(), window=4, step=2, depth=5)

    def make_run(self):
        return graded_run([1, 5, 3, 2, 4, 6], [2, 1], [])


def test_what_is_best_climbs_through_the_windows():
    model = Grader()
    run = Listwise(model).run(graded_run(RISING, [3, 1, 2]))
    assert grades(run, "q0")[:10] == RISING[:-11:-1]
    assert grades(run, "q1") == [3, 2, 1]
    assert [prompt.text.count("grade") for prompt in model.prompts] == [20, 3, 20, 20, 20]
    assert run.ranking.kind == ScoreKind.RANK
    assert run["q1"].scores == (0.0, -1.0, -2.0) or list(run["q1"].scores) == [0.0, -1.0, -2.0]
    (cost,) = [cost for cost in run.ledger.costs if cost.stage == "listwise"]
    assert (cost.inputs, cost.cached, cost.calls, cost.model) == (5, 0, 5, "grader")
    assert cost.tokens == sum(100 + len(model.truth(prompt)) for prompt in model.prompts)
    assert run.ledger.counts() == {}


def test_hits_below_the_depth_keep_their_order():
    run = Listwise(Grader(), depth=3, window=2, step=1, repeats=3).run(graded_run([1, 2, 3, 4, 5]))
    assert grades(run, "q0") == [3, 2, 1, 4, 5]
    assert run.ledger.of("not_reranked")[0].amount == 2
    assert run.ranking.scored.tolist() == [3]


@pytest.mark.parametrize(
    ("output", "order", "note"),
    [
        ("[3] > [3] > [9]", [30, 10, 20], ("repaired_output", 4, "1 repeated, 1 unknown, 2 missing")),
        ("I can not.", [10, 20, 30], ("unparsed_output", 1, "'I can not.'")),
        ("", [10, 20, 30], ("unparsed_output", 1, "nothing")),
    ],
)
def test_malformed_outputs(output, order, note):
    run = Listwise(Grader(says=lambda _: output)).run(graded_run([10, 20, 30]))
    assert grades(run, "q0") == order
    assert [(one.kind, one.amount, one.detail, one.query_id) for one in run.ledger.notes] == [(*note, "q0")]


def test_a_failure_loses_nothing_that_was_paid(tmp_path):
    run = graded_run(RISING, RISING, session=Session(cache=tmp_path))
    with pytest.raises(StageError, match="the line is dead"):
        Listwise(Grader(fails_after=5)).run(run)
    model = Grader()
    done = Listwise(model).run(run)
    assert len(model.prompts) == 8 - 5
    (cost,) = done.ledger.costs
    assert (cost.inputs, cost.cached, cost.calls) == (8, 5, 3)
    again = Grader()
    assert Listwise(again).run(run)["q0"].doc_ids == done["q0"].doc_ids
    assert again.prompts == []


def test_long_passages_are_cut_and_noted():
    run = graded_run([1, 2])
    stage = Listwise(Grader(), passage_words=3)
    after = stage.run(run)
    told = [(note.kind, note.query_id, note.doc_id, note.amount, note.detail) for note in after.ledger.notes][:2]
    assert told == [("truncated", "q0", f"q0d00{place}", 2, "words beyond 3") for place in (0, 1)]
    with pytest.raises(DataError, match="longer than the model reads"):
        stage.run(graded_run([1, 2], session=Session(on_truncate="error")))


def test_a_query_without_text_is_not_asked_about():
    from rankloom import Query

    run = graded_run([1, 2])
    model = Grader()
    after = Listwise(model).run(run.rewritten([Query("q0", " ")], keep=True))
    assert (model.prompts, grades(after, "q0")) == ([], [1, 2])
    assert after.ledger.counts() == {"empty_query": 1, "not_reranked": 1}


def test_what_can_not_be_is_refused():
    with pytest.raises(UsageError, match="climb from one window"):
        Listwise(Grader(), window=4, step=4)
    with pytest.raises(UsageError, match="called by numbers"):
        Listwise(Grader(), prompt="setwise")
    with pytest.raises(UsageError, match="not a language model"):
        Listwise("gpt-4")
    with pytest.raises(NotFoundError, match="did you mean 'rank_gpt'"):
        Listwise(Grader(), prompt="rankgpt")
    assert SESSION.budget is None
