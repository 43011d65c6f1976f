"""Pointwise prompting: scores against their formulas, costs, cuts and budgets."""

import math

import numpy as np
import pytest

from rankloom import ScoreKind, Session
from rankloom.budget import Budget
from rankloom.errors import DataError, StageError, UsageError
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


def test_a_budget_that_does_not_suffice_is_an_error_and_loses_nothing(tmp_path):
    model = Scorer()
    lists = [[1, 2, 3, 4]] * 10  # scored in groups of eight queries
    with pytest.raises(StageError, match="the budget of 35 calls is spent, and 8 more pairs"):
        YesNo(model).run(graded_run(*lists, session=Session(cache=tmp_path, budget=Budget(calls=35))))
    done = YesNo(model).run(graded_run(*lists, session=Session(cache=tmp_path, budget=Budget(calls=35))))
    assert grades(done, "q9") == [4, 3, 2, 1]
    assert len({one.prompt for one in model.asked}) == 40
    assert len(model.asked) == 80


def test_what_can_not_be_is_refused():
    with pytest.raises(UsageError, match="does not tell how likely"):
        YesNo(Grader())
    with pytest.raises(UsageError, match="for several passages"):
        YesNo(Scorer(), prompt="setwise")
