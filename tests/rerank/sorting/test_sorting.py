"""Every algorithm against the exact order, against answers that contradict, and against its own bounds."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.rerank.sorting import (
    AllPair,
    Bubblesort,
    Compare,
    Heapsort,
    Preference,
    Tournament,
    Windows,
    best_by_pairs,
    best_of_set,
    sort_hits,
)
from tests.rerank.sorting.comparators import Circular, Graded, Noisy, Perfect

#: Name -> the algorithm for so many hits, of which the best k are wanted.
SORTINGS = {
    "all_pair": lambda hits, k: AllPair(hits, k=k),
    "heapsort by pairs": lambda hits, k: Heapsort(hits, k=k),
    "heapsort by sets of 4": lambda hits, k: Heapsort(hits, k=k, children=3, best_of=best_of_set),
    "heapsort, one child": lambda hits, k: Heapsort(hits, k=k, children=1, best_of=best_of_set),
    "sliding by pairs": lambda hits, k: Bubblesort(hits, k=k),
    "bubblesort by sets of 4": lambda hits, k: Bubblesort(hits, k=k, children=3, best_of=best_of_set),
    "tournament by pairs": lambda hits, k: Tournament(hits, k=k, best_of=best_by_pairs),
    "tournament by sets of 4": lambda hits, k: Tournament(hits, k=k, size=4),
}
EVERY = {**SORTINGS, "windows": lambda hits, _: Windows(hits, window=5, step=2, repeats=3)}
few = settings(max_examples=25, deadline=None)
truths = st.integers(0, 24).flatmap(lambda hits: st.permutations(range(hits)))


def sorted_by(name, truth, k, comparator):
    sorting = EVERY[name](len(truth), k)
    return sorting, sort_hits([sorting], comparator, stage="test")


@pytest.mark.parametrize("name", SORTINGS)
@few
@given(truth=truths, k=st.integers(1, 27))
def test_true_answers_give_the_true_best(name, truth, k):
    sorting, _ = sorted_by(name, truth, k, Perfect(truth))
    right = sorted(range(len(truth)), key=truth.__getitem__)
    assert sorting.order()[:k] == right[:k]
    assert sorted(sorting.order()) == list(range(len(truth)))


@pytest.mark.parametrize("name", ["all_pair", "heapsort by pairs", "heapsort by sets of 4", "tournament by pairs"])
@few
@given(truth=truths, k=st.integers(1, 27))
def test_what_is_not_sorted_keeps_its_order(name, truth, k):
    sorting, _ = sorted_by(name, truth, k, Perfect(truth))
    assert sorting.settled() == min(k, len(truth))
    assert sorting.order()[k:] == sorted(sorting.order()[k:])


@pytest.mark.parametrize("name", EVERY)
@few
@given(truth=truths, k=st.integers(1, 27), seed=st.integers(0, 5))
def test_contradicting_answers_end_within_the_bounds(name, truth, k, seed):
    for comparator in (Noisy(truth, seed=seed), Circular(truth), Perfect(truth)):
        sorting, outcome = sorted_by(name, truth, k, comparator)
        least, most = sorting.bounds()
        assert least <= outcome.questions <= most
        assert sorted(sorting.order()) == list(range(len(truth)))
        keys = [(one.query, one.question.key) for one in comparator.asked]
        assert len(set(keys)) == len(keys)  # nothing is asked twice


@pytest.mark.parametrize("name", EVERY)
@few
@given(lists=st.lists(truths, max_size=4), k=st.integers(1, 10), seed=st.integers(0, 5))
def test_company_changes_nothing(name, lists, k, seed):
    together = [EVERY[name](len(truth), k) for truth in lists]
    sort_hits(together, Noisy(*lists, seed=seed), stage="test")
    for number, truth in enumerate(lists):
        alone = EVERY[name](len(truth), k)
        padded = [EVERY[name](0, k)] * number  # so that the query has its number
        sort_hits([*padded, alone], Noisy(*lists, seed=seed), stage="test")
        assert alone.order() == together[number].order()


@pytest.mark.parametrize("name", EVERY)
def test_where_nobody_can_tell_the_order_stays(name):
    class Silent(Perfect):
        def one(self, query, question):  # noqa: ARG002
            return ()

    sorting, _ = sorted_by(name, list(range(20))[::-1], 20, Silent([]))
    assert sorting.order() == list(range(20))


# --- all pairs ----------------------------------------------------------------------------------------------------


@few
@given(truth=truths.filter(bool), k=st.integers(1, 27), seed=st.integers(0, 5))
def test_all_pair_counts_wins_and_halves(truth, k, seed):
    comparator = Noisy(truth, seed=seed)
    everything, _ = sorted_by("all_pair", truth, len(truth), comparator)
    points = [0.0] * len(truth)
    for one in comparator.asked:
        winner = comparator.one(0, one.question)
        for hit in one.question.members:
            points[hit] += 0.5 if not winner else float(winner == (hit,))
    expected = sorted(range(len(truth)), key=lambda hit: (-points[hit], hit))
    assert everything.order() == expected
    pairs = {frozenset(one.question.members) for one in comparator.asked}
    assert len(pairs) == len(truth) * (len(truth) - 1) // 2
    best, outcome = sorted_by("all_pair", truth, k, Noisy(truth, seed=seed))
    assert best.order()[:k] == expected[:k]  # whatever was left out
    assert outcome.questions <= len(pairs)


@few
@given(truth=truths.filter(bool), k=st.integers(1, 27), seed=st.integers(0, 5))
def test_all_pair_sums_how_sure_answers_are(truth, k, seed):
    comparator = Graded(truth, seed=seed)
    everything, _ = sorted_by("all_pair", truth, len(truth), comparator)
    points = [0.0] * len(truth)
    for one in comparator.asked:
        winner = comparator.one(0, one.question)
        for hit in one.question.members:
            likely = 0.5 if not winner else 0.5 + winner.margin / 2
            points[hit] += likely if not winner or winner == (hit,) else 1 - likely
    ranked = [points[hit] for hit in everything.order()]
    assert all(one >= other - 1e-5 for one, other in itertools.pairwise(ranked))
    best, _ = sorted_by("all_pair", truth, k, Graded(truth, seed=seed))
    assert best.order()[:k] == everything.order()[:k]  # whatever was left out


def test_hits_that_are_compared_alike_stay_in_their_order():
    class Alike(Perfect):
        def one(self, query, question):  # noqa: ARG002
            a, b = (hit // 2 for hit in question.members)  # hits 2n and 2n + 1 are copies
            return () if a == b else Preference(question.members[a < b], 1 / (3 + a + b))

    sorting, _ = sorted_by("all_pair", list(range(20)), 20, Alike([]))
    assert sorting.order() == [hit for pair in range(9, -1, -1) for hit in (2 * pair, 2 * pair + 1)]


@pytest.mark.parametrize("name", [name for name in SORTINGS if name != "all_pair"])
@few
@given(truth=truths, k=st.integers(1, 27), seed=st.integers(0, 5))
def test_other_algorithms_ask_only_who_wins(name, truth, k, seed):
    one, other = Noisy(truth, seed=seed), Graded(truth, seed=seed)
    assert sorted_by(name, truth, k, one)[0].order() == sorted_by(name, truth, k, other)[0].order()


def test_all_pair_leaves_out_what_can_not_matter():
    truth = list(range(100))
    _, everything = sorted_by("all_pair", truth, 100, Perfect(truth))
    _, best = sorted_by("all_pair", truth, 10, Perfect(truth))
    assert everything.questions == 4950
    assert best.questions < 4500


# --- passes -------------------------------------------------------------------------------------------------------


def one_after_the_other(truth, k, comparator):
    """Bubble passes as the paper has them: no rounds, no memory."""
    order = list(range(len(truth)))
    for done in range(min(k, len(truth))):
        for place in range(len(truth) - 1, done, -1):
            pair = Compare(order[place], order[place - 1])
            if comparator.one(0, pair) == (order[place],):
                order[place], order[place - 1] = order[place - 1], order[place]
    return order


class Consistent(Noisy):
    """Errs as `Noisy` does, but says the same of a pair whichever is named first, as asking both orders does."""

    def one(self, query, question):
        if isinstance(question, Compare):
            question = Compare(*sorted(question.members))
        return super().one(query, question)


@few
@given(truth=truths, k=st.integers(1, 12), seed=st.integers(0, 5))
def test_passes_that_overlap_are_passes_one_after_the_other(truth, k, seed):
    sorting, _ = sorted_by("sliding by pairs", truth, k, Consistent(truth, seed=seed))
    assert sorting.order() == one_after_the_other(truth, k, Consistent(truth, seed=seed))


def test_passes_overlap():
    truth = list(range(100))[::-1]
    comparator = Perfect(truth)
    sorted_by("sliding by pairs", truth, 10, comparator)
    assert len(comparator.batches) == 100 + 10 - 2  # 945 comparisons
    assert max(comparator.batches) == 10


# --- windows ------------------------------------------------------------------------------------------------------


def windows_asked(hits, **settings):
    comparator = Perfect(list(range(hits)))
    sort_hits([Windows(hits, **settings)], comparator, stage="test")
    return [one.question.members for one in comparator.asked]


def test_windows_reach_the_best_hit_however_many_are_left():
    spans = [(members[0], members[-1]) for members in windows_asked(100)]
    assert spans == [(80, 99), (70, 89), (60, 79), (50, 69), (40, 59), (30, 49), (20, 39), (10, 29), (0, 19)]
    assert [members[0] for members in windows_asked(25)] == [5, 0]  # the reference stops after the first
    assert windows_asked(3) == [(0, 1, 2)]  # the reference asks nothing
    assert windows_asked(1) == []


def test_a_window_that_is_as_it_was_is_not_asked_again():
    assert len(windows_asked(100, repeats=3)) == 9
    truth = list(range(100))[::-1]
    comparator = Perfect(truth)
    sorting = Windows(100, window=20, step=10, repeats=9)
    sort_hits([sorting], comparator, stage="test")
    assert sorting.order() == list(range(100))[::-1]
    assert len(comparator.asked) < 81
    assert len(comparator.batches) < len(comparator.asked)  # passes overlap


# --- how many -----------------------------------------------------------------------------------------------------


def test_how_many_questions_the_best_ten_of_a_hundred_take():
    import random

    truth = list(range(100))
    random.Random(0).shuffle(truth)
    asked = {name: sorted_by(name, truth, 10, Perfect(truth))[1].questions for name in SORTINGS}
    assert asked["tournament by pairs"] == min(asked[name] for name in asked if "pair" in name)
    assert asked["tournament by sets of 4"] < asked["heapsort by sets of 4"] < asked["bubblesort by sets of 4"]
