import numpy as np
import pytest

from rankloom.errors import UsageError
from rankloom.eval.importance import UNKNOWN, UtilityLists, pruned_value, tune_threshold

WEIGHTS = {"a": 0.0, "b": 0.25, "c": 0.5, "d": 1.0}


def test_the_best_threshold_wins():
    found = tune_threshold(WEIGHTS, lambda dropped: 1.0 if dropped == {"a", "b"} else 0.5)
    assert found.dropped == {"a", "b"}
    assert found.utility == 1.0
    assert 0.25 < found.threshold <= 0.5
    assert [percentile for percentile, _, _ in found.tried] == list(range(0, 100, 5))


def test_of_equal_utilities_the_last_wins():
    found = tune_threshold(WEIGHTS, lambda _: 0.5)
    assert (found.percentile, found.dropped) == (95, {"a", "b", "c"})
    assert tune_threshold(WEIGHTS, lambda _: 0.0, percentiles=[50, 0]).percentile == 0


def test_percentile_0_leaves_out_nothing():
    found = tune_threshold(WEIGHTS, lambda dropped: -float(len(dropped)))
    assert (found.percentile, found.dropped, found.threshold) == (0, frozenset(), 0.0)


def test_equal_weights_are_never_split():
    assert tune_threshold(dict.fromkeys("abc", 0.1), lambda _: 1.0).dropped == frozenset()


def test_thresholds_are_numpy_percentiles():
    found = tune_threshold(WEIGHTS, lambda _: 0.0, percentiles=[10, 37.5, 100])
    for percentile, threshold, _ in found.tried:
        assert threshold == np.percentile(list(WEIGHTS.values()), percentile)


def test_pruned_value_is_the_mean_utility_of_the_first_k_that_stay():
    lists = UtilityLists(
        utilities=np.array([[0.0, 1.0, 1.0], [0.5, 0.0, 0.0]]),
        sources=np.array([[0, 1, 1], [UNKNOWN, 1, 1]]),
        mask=np.array([[True, True, True], [True, True, False]]),
        names=("bad", "good"),
    )
    assert pruned_value(lists, frozenset(), 2) == (0.5 + 0.25) / 2
    assert pruned_value(lists, {"bad"}, 2) == (1.0 + 0.25) / 2
    assert pruned_value(lists, {"bad", "good"}, 2) == (0.0 + 0.25) / 2  # an unknown source stays
    assert pruned_value(lists, {"never seen"}, 2) == pruned_value(lists, frozenset(), 2)


def test_what_can_not_be_tuned_is_refused():
    with pytest.raises(UsageError, match="needs weights and percentiles"):
        tune_threshold({}, lambda _: 0.0)
    with pytest.raises(UsageError, match="needs weights and percentiles"):
        tune_threshold(WEIGHTS, lambda _: 0.0, percentiles=[])
    with pytest.raises(UsageError, match="percentile is out of range"):
        tune_threshold(WEIGHTS, lambda _: 0.0, percentiles=[101])
    with pytest.raises(UsageError, match="not a number"):
        tune_threshold(WEIGHTS, lambda _: float("nan"))
