"""Budgets: what is counted, and when there is no room left."""

import pytest

from rankloom.budget import Budget
from rankloom.errors import UsageError
from rankloom.eval.costs import Price
from rankloom.ledger import Cost


def test_each_limit_is_reached_by_what_it_limits():
    cost = Cost("setwise", calls=2, tokens=1500, written=500, seconds=3.0, model="gpt")
    prices = {"setwise": Price(call=9.0), "gpt": Price(input=1000.0, output=4000.0)}  # that of the model goes first
    for name, amount in {"calls": 2, "tokens": 1500, "seconds": 3.0, "money": 3.0}.items():
        for limit, reached in ((amount, True), (amount + 1, False)):
            budget = Budget(**{name: limit}, prices=prices)
            assert budget.exhausted() == ""
            budget.spend(cost)
            assert bool(budget.exhausted()) == reached
            assert budget.spent[name] == pytest.approx(amount)


def test_money_is_not_spent_on_what_has_no_price():
    budget = Budget(money=1.0, prices={"gpt": Price(), "setwise": Price(call=0.1)})
    budget.check_priced("pairwise", "gpt")
    budget.check_priced("setwise", "llama")
    with pytest.raises(UsageError, match=r"nobody says what the model costs; got 'llama'"):
        budget.check_priced("pairwise", "llama")
    with pytest.raises(UsageError, match="nobody says"):
        budget.spend(Cost("pairwise", calls=1, model="llama"))
    Budget(calls=1).check_priced("pairwise", "llama")


def test_calls_without_tokens_are_noted_where_tokens_are_limited():
    silent = Cost("setwise", calls=2, model="gpt")
    for limits, noted in (
        ({"tokens": 9}, "tokens"),
        ({"money": 1.0}, "money"),
        ({"calls": 9}, ""),
        ({"seconds": 9}, ""),
    ):
        notes = Budget(**limits, prices={"gpt": Price(output=1.0)}).uncounted(silent)
        assert [(note.kind, note.amount) for note in notes] == ([("uncounted_tokens", 2)] if noted else [])
        assert all(f"no limit of {noted} can be kept" in note.detail for note in notes)
    assert Budget(tokens=9).uncounted(Cost("setwise", calls=2, tokens=5)) == ()
    assert Budget(tokens=9).uncounted(Cost("setwise")) == ()
    assert Budget(money=9, prices={"gpt": Price(call=1.0)}).uncounted(silent) == ()  # money goes by calls alone


def test_calls_that_belong_together_need_room_for_all():
    budget = Budget(calls=3)
    assert (budget.exhausted(calls=3), budget.calls_left(2), budget.calls_left(99)) == ("", 2, 3)
    budget.spend(Cost("pairwise", calls=2))
    assert budget.exhausted() == ""
    assert budget.exhausted(calls=2) == "the budget of 3 calls is spent"
    assert budget.calls_left(99) == 1
    assert Budget(tokens=5).calls_left(99) == 99


@pytest.mark.parametrize(
    ("limits", "problem"),
    [({}, "needs a limit"), ({"calls": 0}, "calls is out of range"), ({"money": 1.0}, "needs prices")],
)
def test_a_budget_that_limits_nothing_is_refused(limits, problem):
    with pytest.raises(UsageError, match=problem):
        Budget(**limits)
