import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.errors import UsageError
from rankloom.eval.importance import Tolerance, UtilityLists, importance, needed_depths, value_and_gradient
from rankloom.eval.importance.truncation import expected_items


def at_most(exists, k):
    """P(no more than k of some items exist), exactly."""
    counts = np.zeros(len(exists) + 1)
    counts[0] = 1.0
    for p in exists:
        counts[1:] = counts[1:] * (1 - p) + counts[:-1] * p
        counts[0] *= 1 - p
    return counts[: k + 1].sum()


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=80),
    st.integers(1, 6),
    st.sampled_from([0.5, 0.1, 1e-3, 1e-9]),
    st.sampled_from([0.0, 0.2, 0.6]),
    st.integers(0, 1000),
)
@settings(deadline=None, max_examples=150)
def test_errors_stay_below_epsilon_and_delta(exists, k, delta, epsilon, seed):
    p, utilities = np.array([exists]), np.random.default_rng(seed).random((1, len(exists)))
    depth = int(needed_depths(utilities, p, k, Tolerance(epsilon, delta))[0])
    value, gradient = value_and_gradient(utilities, p, k)
    cut_value, cut = value_and_gradient(utilities, np.where(np.arange(p.shape[1]) < depth, p, 0.0), k)
    assert abs(value[0] - cut_value[0]) <= epsilon + delta + 1e-12
    assert np.abs(gradient[0, :depth] - cut[0, :depth]).max(initial=0.0) <= (epsilon + delta) / k + 1e-12
    assert np.abs(gradient[0, depth:]).max(initial=0.0) <= (epsilon + delta) / k + 1e-12
    harmless = depth == p.shape[1] or utilities[0, depth:].max() <= epsilon
    assert harmless or at_most(exists[:depth], k) <= delta + 1e-12


@pytest.mark.parametrize("k", [1, 3, 10, 1000])
@pytest.mark.parametrize("delta", [1.0, 1 - 1e-12, 0.5, 1e-3, 1e-6, 1e-300])
def test_the_expected_number_of_items_solves_chernoffs_bound(k, delta):
    enough = expected_items(k, delta)
    assert enough >= k
    assert k - enough + k * np.log(enough / k) == pytest.approx(np.log(delta), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("k", "delta"), [(1, 0.5), (3, 1e-3), (10, 1e-6), (100, 1e-9)])
def test_the_expected_number_of_items_bounds_the_tail(k, delta):
    enough = expected_items(k, delta)
    items = 100 * int(np.ceil(enough))  # nearly Poisson, where the bound is tightest
    tail = at_most(np.full(items, enough / items), k)
    assert delta / 30 < tail <= delta  # Chernoff's bound holds, and is not idle


def test_a_tail_without_utility_is_left_out_at_no_cost():
    utilities = np.array([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.2]])
    exists = np.full((3, 4), 0.5)
    exact = Tolerance(delta=0.0)
    assert needed_depths(utilities, exists, 2, exact).tolist() == [2, 0, 4]
    assert needed_depths(utilities, exists, 2, Tolerance(epsilon=0.2, delta=0.0)).tolist() == [2, 0, 0]
    values, gradient = value_and_gradient(utilities, exists, 2)
    assert gradient[0, 2:].tolist() == [0.0, 0.0]
    assert value_and_gradient(utilities[:1, :2], exists[:1, :2], 2)[0][0] == pytest.approx(values[0], abs=1e-15)


def test_truncation_is_applied_and_reported():
    generator = np.random.default_rng(1)
    shape = (20, 200)
    lists = UtilityLists(
        utilities=generator.random(shape),
        sources=generator.integers(0, 5, shape),
        mask=np.ones(shape, dtype=bool),
        names=tuple("abcde"),
    )
    weights, delta = np.linspace(0.3, 0.9, 5), 1e-4
    exact, short = (importance(lists, weights, 3, tolerance=one) for one in (None, Tolerance(delta=delta)))
    assert exact.depths.tolist() == [200] * 20
    assert short.depths.max() < 60
    assert 0 < abs(exact.value - short.value) <= delta
    items = np.bincount(lists.sources.ravel(), minlength=5) / 20  # of each source, for each query
    assert (np.abs(exact.gradient - short.gradient) <= items * delta / 3).all()
    wide = UtilityLists(
        utilities=np.ones((1, 0)), sources=np.zeros((1, 0), dtype=int), mask=np.ones((1, 0), dtype=bool), names=()
    )
    assert importance(wide, np.zeros(0), 3, tolerance=Tolerance()).value == 0.0


def test_no_depth_is_saved_where_none_can_be():
    utilities, rare = np.ones((1, 30)), np.full((1, 30), 0.01)
    assert needed_depths(utilities, rare, 2, Tolerance()).tolist() == [30]
    assert needed_depths(utilities, np.ones((1, 30)), 2, Tolerance(delta=0.0)).tolist() == [30]


@pytest.mark.parametrize("wrong", [{"epsilon": -0.1}, {"delta": 1.5}, {"delta": float("nan")}])
def test_tolerances_are_checked(wrong):
    with pytest.raises(UsageError, match="out of range"):
        Tolerance(**wrong)
