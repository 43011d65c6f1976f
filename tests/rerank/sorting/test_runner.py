"""The runner: batches over queries, budgets, and comparators that break their contract."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.budget import Budget
from rankloom.errors import StageError
from rankloom.ledger import Note
from rankloom.rerank.sorting import AllPair, Answered, Bubblesort, Heapsort, Tournament, Windows, best_of_set, sort_hits
from tests.rerank.sorting.comparators import Perfect

TRUTH = [7, 3, 9, 1, 8, 0, 6, 2, 5, 4]
MAKERS = {
    "all_pair": lambda: AllPair(10),
    "heapsort": lambda: Heapsort(10, k=5),
    "heapsort by sets": lambda: Heapsort(10, k=5, children=3, best_of=best_of_set),
    "bubblesort": lambda: Bubblesort(10, k=5),
    "tournament": lambda: Tournament(10, k=5, size=3),
    "windows": lambda: Windows(10, window=4, step=2),
}


@pytest.mark.parametrize("name", MAKERS)
def test_queries_share_batches(name):
    alone, together = Perfect(TRUTH), Perfect(*[TRUTH] * 3)
    sort_hits([MAKERS[name]()], alone, stage="test")
    sortings = [MAKERS[name]() for _ in range(3)]
    outcome = sort_hits(sortings, together, stage="test")
    assert together.batches == [3 * size for size in alone.batches]
    assert outcome.questions == outcome.calls == len(together.asked)
    assert len({tuple(sorting.order()) for sorting in sortings}) == 1


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=40, deadline=None)
@given(calls=st.integers(1, 60))
def test_a_budget_stops_with_the_best_so_far(name, calls):
    comparator, sortings = Perfect(TRUTH, TRUTH), [MAKERS[name](), MAKERS[name]()]
    outcome = sort_hits(sortings, comparator, stage="test", budget=Budget(calls=calls))
    whole = sort_hits([MAKERS[name](), MAKERS[name]()], Perfect(TRUTH, TRUTH), stage="test")
    assert outcome.calls == min(calls, whole.calls)
    assert bool(outcome.unfinished) == (calls < whole.calls)
    assert outcome.stopped == (f"the budget of {calls} calls is spent" if calls < whole.calls else "")
    for sorting in sortings:
        assert sorted(sorting.order()) == list(range(10))
        assert 0 < sorting.settled() <= 10


def quality(order, k):
    """How many of the true best k are among the first k."""
    return len({hit for hit in order[:k] if TRUTH[hit] < k})


@pytest.mark.parametrize("name", MAKERS)
def test_more_budget_is_no_worse_in_the_end(name):
    found = []
    for calls in (1, 8, 16, 32, 64):
        sorting = MAKERS[name]()
        sort_hits([sorting], Perfect(TRUTH), stage="test", budget=Budget(calls=calls))
        found.append(quality(sorting.order(), 3))
    assert found[-1] == max(found)
    assert found[-1] > quality(list(range(10)), 3)


def test_a_heap_that_is_stopped_does_not_show_the_hit_that_sinks_on_top():
    for calls in range(1, 30):
        sorting = Heapsort(10, k=10)
        sort_hits([sorting], Perfect(TRUTH), stage="test", budget=Budget(calls=calls))
        taken = [hit for hit in sorting.order()[: sorting.settled()] if sorting.settled() < 10]
        assert [TRUTH[hit] for hit in taken] == list(range(len(taken)))


def test_what_belongs_together_is_asked_together():
    class BothWays(Perfect):
        calls_each = 2

        def answer(self, asked):
            return Answered(super().answer(asked).answers, calls=2 * len(asked))

    comparator = BothWays(TRUTH)
    sort_hits([AllPair(10)], comparator, stage="test", budget=Budget(calls=7))
    assert len(comparator.asked) == 3


def test_other_limits_are_seen_after_a_batch():
    class Wordy(Perfect):
        def answer(self, asked):
            return Answered(super().answer(asked).answers, calls=len(asked), tokens=100 * len(asked))

    comparator = Wordy(*[TRUTH] * 30)
    outcome = sort_hits([AllPair(10) for _ in range(30)], comparator, stage="test", budget=Budget(tokens=1000))
    assert outcome.tokens == 1600  # sixteen questions at a time
    assert outcome.stopped == "the budget of 1000 tokens is spent"
    assert outcome.unfinished == list(range(30))


def test_notes_and_costs_are_gathered():
    class Telling(Perfect):
        def answer(self, asked):
            note = Note("test", "truncated", "q", amount=len(asked))
            return Answered(super().answer(asked).answers, [note], cached=1, calls=2, tokens=30, written=4)

    told = []
    outcome = sort_hits([Bubblesort(3, k=1)], Telling([2, 1, 0]), stage="test", advance=told.append)
    assert (outcome.cached, outcome.calls, outcome.tokens, outcome.written) == (2, 4, 60, 8)
    assert [note.amount for note in outcome.notes] == told == [1, 1]


def test_nothing_to_sort_asks_nothing():
    comparator = Perfect([], [0])
    outcome = sort_hits([AllPair(0), Heapsort(1, k=1)], comparator, stage="test")
    assert (comparator.batches, outcome.questions, outcome.unfinished) == ([], 0, [])


@pytest.mark.parametrize(
    ("answers", "problem"),
    [([], "0 answers to 1 questions"), ([(9,)], "no answer to Compare"), ([(0, 1)], "no answer to Compare")],
)
def test_a_comparator_that_breaks_its_contract_is_an_error(answers, problem):
    class Broken(Perfect):
        def answer(self, asked):  # noqa: ARG002
            return Answered(answers)

    with pytest.raises(StageError, match=problem):
        sort_hits([AllPair(2)], Broken([0, 1]), stage="test")
