"""Choosing by likelihood instead of by what is written: pairs, sets and windows."""

import pytest

from rankloom.errors import UsageError
from rankloom.likelihood import Likelihood
from rankloom.rerank.llm import Listwise, Pairwise, Setwise
from tests.rerank.llm.models import Grader, Scorer, graded_run, grades

MIXED = [3, 9, 1, 7, 5, 8, 2, 6, 4, 0]
STAGES = [
    lambda model: Pairwise(model, scoring="likelihood", k=4),
    lambda model: Setwise(model, scoring="likelihood", k=4),
    lambda model: Setwise(model, scoring="likelihood", k=4, permutations=3),
    lambda model: Listwise(model, scoring="likelihood", window=6, step=2),
]


@pytest.mark.parametrize("make", STAGES)
def test_the_likelier_label_wins(make):
    model = Scorer()
    run = make(model).run(graded_run(MIXED, MIXED[::-1]))
    assert grades(run, "q0")[:4] == grades(run, "q1")[:4] == [9, 8, 7, 6]
    assert model.prompts == []  # nothing is written
    (cost,) = run.ledger.costs
    assert cost.calls == len({one.prompt for one in model.asked})
    assert {one.text for one in model.asked} <= {f"Passage {label}" for label in "ABCDEF"}


@pytest.mark.parametrize("make", STAGES)
def test_equal_likelihoods_change_nothing(make):
    class Even(Scorer):
        def log_likelihoods(self, asked, *, session):  # noqa: ARG002
            yield from ((one, Likelihood(-1.0, 1)) for one in asked)

    assert grades(make(Even()).run(graded_run([1, 2, 3, 4])), "q0") == [1, 2, 3, 4]


def test_windows_are_ordered_as_a_whole():
    run = Listwise(Scorer(), scoring="likelihood", window=10, step=5).run(graded_run(MIXED))
    assert grades(run, "q0") == sorted(MIXED, reverse=True)


@pytest.mark.parametrize("make", STAGES)
def test_a_model_that_only_writes_is_refused(make):
    with pytest.raises(UsageError, match="does not tell how likely an output is"):
        make(Grader())


def test_a_window_has_no_more_passages_than_labels():
    with pytest.raises(UsageError, match="can not show 24 passages"):
        Listwise(Scorer(), scoring="likelihood", window=24)
