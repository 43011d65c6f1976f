"""Pointwise prompting: scores against their formulas, costs, cuts and budgets."""

import math

import numpy as np
import pytest

from rankloom import ScoreKind, Session
from rankloom.budget import Budget
from rankloom.errors import DataError, UsageError
from rankloom.eval.costs import Price
from rankloom.rerank.llm import GradedRelevance, QueryLikelihood, YesNo
from rankloom.testing import StageConformance
from tests.rerank.llm.models import Grader, Scorer, graded_run, grades

STAGES = [YesNo, QueryLikelihood, GradedRelevance]


class TestYesNoConformance(StageConformance):
    def make_stage(self):
        return YesNo(Scorer(), depth=4)

    def make_run(self):
        return graded_run([1, 5, 3, 2, 4, 6], [2, 1], [])


class TestQueryLikelihoodConformance(StageConformance):
    def make_stage(self):
        return QueryLikelihood(Scorer(), depth=4)

    def make_run(self):
        return graded_run([1, 5, 3, 2, 4, 6], [2, 1], [])


class TestGradedRelevanceConformance(StageConformance):
    def make_stage(self):
        return GradedRelevance(Scorer(), highest=2, depth=4)

    def make_run(self):
        return graded_run([1, 5, 3, 2, 4, 6], [2, 1], [])


@pytest.mark.parametrize("stage", STAGES)
def test_what_the_model_prefers_stands_first(stage):
    run = stage(Scorer()).run(graded_run([1, 5, 3], [2, 7]))
    assert grades(run, "q0") == [5, 3, 1]
    assert grades(run, "q1") == [7, 2]
    (cost,) = run.ledger.costs
    assert (cost.inputs, cost.calls, cost.model) == (5, 5, "scorer")  # one call for a pair, however many continuations
    assert run.ledger.counts() == {}


def test_scores_are_those_of_the_papers():
    table = Scorer().told("a passage of grade 3")
    run = graded_run([3])
    yes, no = table("Yes"), table("No")
    assert YesNo(Scorer()).run(run)["q0"].scores[0] == pytest.approx(math.exp(yes) / (math.exp(yes) + math.exp(no)))
    assert QueryLikelihood(Scorer()).run(run)["q0"].scores[0] == pytest.approx(table("query q0"))
    weights = np.exp([table(str(grade)) for grade in range(5)])
    expected = float(weights @ np.arange(5) / weights.sum())
    assert GradedRelevance(Scorer()).run(run)["q0"].scores[0] == pytest.approx(expected)
    kinds = [stage(Scorer()).run(run).ranking.kind for stage in STAGES]
    assert kinds == [ScoreKind.PROBABILITY, ScoreKind.LOGIT, ScoreKind.SIMILARITY]


def test_prompts_hold_the_passage_the_query_and_the_highest_grade():
    model = Scorer()
    GradedRelevance(model, highest=2).run(graded_run([3]))
    (prompt,) = {one.prompt for one in model.asked}
    assert prompt.text.startswith("From a scale of 0 to 2,")
    assert "Query: query q0\nDocument: a passage of grade 3\n" in prompt.text
    assert [one.text for one in model.asked] == ["0", "1", "2"]


def test_pairs_are_scored_once(tmp_path):
    model = Scorer()
    run = graded_run([1, 5, 3], session=Session(cache=tmp_path))
    YesNo(model).run(run)
    again = YesNo(model).run(run)
    assert len(model.asked) == 6
    assert (again.ledger.costs[0].cached, again.ledger.costs[0].calls) == (3, 0)


def test_long_passages_are_cut_and_noted():
    run = YesNo(Scorer(), passage_words=4).run(graded_run([1, 2]))
    assert [(note.kind, note.doc_id, note.amount) for note in run.ledger.notes] == [
        ("truncated", "q0d000", 1),
        ("truncated", "q0d001", 1),
    ]
    with pytest.raises(DataError, match="longer than the model reads"):
        YesNo(Scorer(), passage_words=4).run(graded_run([1], session=Session(on_truncate="error")))


def test_a_budget_that_does_not_suffice_scores_the_first_hits_and_says_so(tmp_path):
    model, session = Scorer(), Session(cache=tmp_path, offline=True)
    lists = [[1, 2, 3, 4]] * 10  # scored in groups of eight queries

    def within(calls):
        budget = Budget(calls=calls)
        limited = Session(cache=tmp_path, offline=True, budget=budget)
        return YesNo(model).run(graded_run(*lists, session=limited)), budget

    run, budget = within(35)
    assert budget.spent["calls"] == 35
    assert [grades(run, f"q{number}") for number in (7, 8, 9)] == [[4, 3, 2, 1], [3, 2, 1, 4], [1, 2, 3, 4]]
    told = [(one.kind, one.query_id, one.amount, one.detail) for one in run.ledger.notes]
    assert told == [
        ("unfinished", "q8", 1, "the budget of 35 calls is spent; its first 3 hits are done"),
        ("unfinished", "q9", 1, "the budget of 35 calls is spent; its first 0 hits are done"),
        ("not_reranked", "q8", 1, ""),
        ("not_reranked", "q9", 4, ""),
    ]
    cost = run.ledger.costs[-1]
    assert (cost.inputs, cost.cached, cost.calls) == (35, 0, 35)
    done, budget = within(3)  # what is known costs nothing, though it stands before and behind what is not
    assert [grades(done, f"q{number}") for number in (7, 8, 9)] == [[4, 3, 2, 1], [4, 3, 2, 1], [2, 1, 3, 4]]
    assert budget.spent["calls"] == 3
    whole, _ = within(99)
    assert whole.to_dict() == YesNo(model).run(graded_run(*lists, session=session)).to_dict()
    assert len(model.asked) == len({one.prompt for one in model.asked}) * 2 == 80
    assert not whole.ledger.notes


@pytest.mark.parametrize("limit", [{"tokens": 2000}, {"seconds": 1e-9}, {"money": 3.0}])
def test_other_limits_are_passed_by_one_batch_at_most(limit):
    budget = Budget(**limit, prices={"scorer": Price(call=0.1)})
    run = YesNo(Scorer()).run(graded_run(*[[1, 2, 3, 4]] * 30, session=Session(offline=True, budget=budget)))
    assert budget.spent["calls"] % 16 == 0
    assert 16 <= budget.spent["calls"] <= 48
    assert len(run.ledger.of("unfinished")) == 30 - budget.spent["calls"] // 4


def test_money_needs_a_price_and_tokens_need_counting():
    limited = Session(offline=True, budget=Budget(money=1.0, prices={"other": Price()}))
    with pytest.raises(UsageError, match="nobody says what the model costs"):
        YesNo(Scorer()).run(graded_run([1, 2], session=limited))

    class Uncounted(Scorer):
        def log_likelihoods(self, asked, *, session):
            yield from ((one, told._replace(read=0)) for one, told in super().log_likelihoods(asked, session=session))

    run = YesNo(Uncounted()).run(graded_run([1, 2], session=Session(offline=True, budget=Budget(tokens=9))))
    (note,) = run.ledger.of("uncounted_tokens")
    assert (note.stage, note.amount) == ("yes_no", 2)


def test_what_can_not_be_is_refused():
    with pytest.raises(UsageError, match="does not tell how likely"):
        YesNo(Grader())
    with pytest.raises(UsageError, match="for several passages"):
        YesNo(Scorer(), prompt="setwise")
