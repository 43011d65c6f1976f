"""Pairwise ranking prompting: both orders, ties, methods, budgets."""

import re

import pytest

from rankloom import Session
from rankloom.budget import Budget
from rankloom.errors import UsageError
from rankloom.rerank.llm import Pairwise
from rankloom.testing import StageConformance
from tests.rerank.llm.models import Grader, graded_run, grades

MIXED = [3, 9, 1, 7, 5, 8, 2, 6, 4, 0]
METHODS = ["all_pair", "heapsort", "sliding", "tournament"]


class TestPairwiseConformance(StageConformance):
    def make_stage(self):
        return Pairwise(Grader(), k=2, depth=5)

    def make_run(self):
        return graded_run([1, 5, 3, 2, 4, 6], [2, 1], [])


@pytest.mark.parametrize("method", METHODS)
def test_true_answers_give_the_true_best(method):
    model = Grader()
    stage = Pairwise(model, method=method, k=4)
    run = stage.run(graded_run(MIXED, MIXED[::-1]))
    assert grades(run, "q0")[:4] == grades(run, "q1")[:4] == [9, 8, 7, 6]
    least, most = stage.calls(stage.params(), 10)
    assert 2 * least <= len(model.prompts) <= 2 * most
    assert len(set(model.prompts)) == len(model.prompts)
    if method != "sliding":
        assert grades(run, "q0")[4:] == [grade for grade in MIXED if grade < 6]


def test_both_orders_are_asked():
    model = Grader()
    Pairwise(model, method="sliding").run(graded_run([1, 2]))
    shown = [re.findall(r"grade (\d)", prompt.text) for prompt in model.prompts]
    assert sorted(shown) == [["1", "2"], ["2", "1"]]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("says", "kinds"),
    [
        (lambda _: "Passage A", set()),  # whatever stands first
        (lambda _: "equally good", {"repaired_output"}),
        (lambda _: "what?", {"unparsed_output"}),
        (
            lambda prompt: "Passage A" if prompt.text.index("grade 1") < prompt.text.index("grade 2") else "",
            {"unparsed_output"},
        ),
    ],
)
def test_what_does_not_win_in_both_orders_is_a_tie(method, says, kinds):
    run = Pairwise(Grader(says=says), method=method).run(graded_run([1, 2]))
    assert grades(run, "q0") == [1, 2]
    assert set(run.ledger.counts()) == kinds


def test_a_budget_gives_the_best_so_far_and_says_so(tmp_path):
    budget = Budget(calls=21)
    model = Grader()
    run = Pairwise(model, method="all_pair", k=10).run(
        graded_run(MIXED, [2, 1], session=Session(cache=tmp_path, budget=budget))
    )
    assert len(model.prompts) == 20  # both orders or none
    assert [note.query_id for note in run.ledger.of("unfinished")] == ["q0"]
    assert run.ledger.of("unfinished")[0].detail == "the budget of 21 calls is spent; the best so far"
    assert grades(run, "q1") == [2, 1]
    after = Pairwise(model, method="all_pair", k=10).run(graded_run(MIXED, [2, 1], session=Session(cache=tmp_path)))
    assert grades(after, "q0") == sorted(MIXED, reverse=True)
    assert len(model.prompts) == len(set(model.prompts)) == 92  # what was paid is not paid again
    assert after.ledger.of("unfinished") == ()


def test_a_budget_is_for_all_stages_of_a_session():
    session = Session(budget=Budget(calls=30))
    for _ in range(2):
        run = Pairwise(Grader(), method="sliding", k=1).run(graded_run(MIXED, session=session))
    assert session.budget.spent["calls"] == 30
    assert len(run.ledger.of("unfinished")) == 1


def test_what_can_not_be_is_refused():
    with pytest.raises(UsageError, match="did you mean 'sliding'"):
        Pairwise(Grader(), method="slide")
    with pytest.raises(UsageError, match="k is out of range"):
        Pairwise(Grader(), k=0)
    with pytest.raises(UsageError, match="can not show 2 passages"):
        Pairwise(Grader(), prompt="yes_no")
