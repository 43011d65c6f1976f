"""Setwise prompting: methods, permutations with a vote, reasoning, and answers that name nobody."""

import pytest

from rankloom.errors import UsageError
from rankloom.rerank.llm import Setwise
from rankloom.testing import StageConformance
from tests.rerank.llm.models import Grader, graded_run, grades, shown

MIXED = [3, 9, 1, 7, 5, 8, 2, 6, 4, 0]
METHODS = ["heapsort", "bubblesort", "tournament"]


class TestSetwiseConformance(StageConformance):
    def make_stage(self):
        return Setwise(Grader(), k=2, children=2, depth=5)

    def make_run(self):
        return graded_run([1, 5, 3, 2, 4, 6], [2, 1], [])


class TestPermutationsConformance(StageConformance):
    def make_stage(self):
        return Setwise(Grader(), method="bubblesort", k=2, permutations=3)

    def make_run(self):
        return graded_run([1, 5, 3, 2, 4, 6], [2, 1], [])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("prompt", "children"), [("setwise", 3), ("rank_r1", 19)])
def test_true_answers_give_the_true_best(method, prompt, children):
    model = Grader()
    stage = Setwise(model, method=method, k=4, prompt=prompt, children=children)
    run = stage.run(graded_run(MIXED, MIXED[::-1]))
    assert grades(run, "q0")[:4] == grades(run, "q1")[:4] == [9, 8, 7, 6]
    least, most = stage.calls(stage.params(), 10)
    assert 2 * least <= len(model.prompts) <= 2 * most
    assert run.ledger.of("repaired_output") == run.ledger.of("unparsed_output") == ()


@pytest.mark.parametrize("method", METHODS)
def test_where_nobody_is_named_the_higher_stays(method):
    run = Setwise(Grader(says=lambda _: "hm"), method=method).run(graded_run(MIXED))
    assert grades(run, "q0") == MIXED
    assert set(run.ledger.counts()) <= {"unparsed_output"}
    assert "'hm'" in run.ledger.of("unparsed_output")[0].detail


def test_permutations_vote():
    model = Grader(says=lambda _: "A")
    stage = Setwise(model, children=3, permutations=5, k=1)
    run = stage.run(graded_run([1, 2, 3, 4]))
    assert len(model.prompts) == len({prompt.text for prompt in model.prompts}) == 5
    votes = [dict(shown(prompt))["A"] for prompt in model.prompts]
    assert votes[0] == 1  # first as they stand
    best = max(set(votes), key=lambda grade: (votes.count(grade), -grade))  # of several, the one that ranked highest
    assert grades(run, "q0")[0] == best
    again = Setwise(Grader(says=lambda _: "A"), children=3, permutations=5, k=1).run(graded_run([1, 2, 3, 4]))
    assert again["q0"].doc_ids == run["q0"].doc_ids


def test_a_position_bias_is_voted_down():
    def biased(prompt):
        """The best, unless a passage that it likes for its place stands in the way."""
        ranked = shown(prompt)
        return "A" if ranked[0][0] == "B" else ranked[0][0]

    once = Setwise(Grader(says=biased), k=1).run(graded_run([1, 4, 2, 3]))
    often = Setwise(Grader(says=biased), k=1, permutations=9).run(graded_run([1, 4, 2, 3]))
    assert (grades(once, "q0")[0], grades(often, "q0")[0]) == (1, 4)


def test_what_can_not_be_is_refused():
    assert Setwise(Grader(), children=22).children == 22
    with pytest.raises(UsageError, match="can not show 24 passages"):
        Setwise(Grader(), children=23)
    with pytest.raises(UsageError, match="unknown method"):
        Setwise(Grader(), method="sliding")
