import numpy as np
import pytest

from rankloom.errors import UsageError
from rankloom.eval.importance import UNKNOWN, Tolerance, UtilityLists, importance, learn


def lists(seed=0, *, queries=60, depth=30):
    """Items of three good sources are useful nine times in ten, those of two bad ones one time in ten."""
    generator = np.random.default_rng(seed)
    sources = generator.integers(UNKNOWN, 5, (queries, depth))
    likely = np.where(sources < 3, 0.9, 0.1)
    return UtilityLists(
        utilities=(generator.random((queries, depth)) < likely).astype(float),
        sources=sources,
        mask=np.arange(depth) < generator.integers(0, depth + 1, (queries, 1)),
        names=("good1", "good2", "good3", "bad1", "bad2"),
    )


def test_good_sources_rise_and_bad_ones_fall():
    learned = learn(lists(), 5)
    assert {source: weight for source, weight in learned.weights.items() if weight > 0.5}.keys() == {
        "good1",
        "good2",
        "good3",
    }
    start, end = learned.values[0], learned.values[learned.best_epoch]
    assert end > start + 0.05
    assert end == learned.values.max()


@pytest.mark.parametrize("rate", [0.1, 1.0, 10.0, 1000.0])
def test_no_rate_makes_it_worse_than_the_start_and_v_is_that_of_the_weights(rate):
    given = lists(3)
    learned = learn(given, 3, rate=rate, epochs=15)
    weights = np.array(list(learned.weights.values()))
    assert importance(given, weights, 3).value == learned.values[learned.best_epoch] >= learned.values[0]
    assert ((weights >= 0) & (weights <= 1)).all()


def test_a_step_over_the_optimum_is_not_what_comes_back():
    """V(w) = w (1 - w)^2 is highest at 1/3; the first step goes from 0.5 to 0, the second to 1, both worth nothing."""
    given = UtilityLists(
        utilities=np.array([[0.0, 0.0, 1.0]]), sources=np.zeros((1, 3), int), mask=np.ones((1, 3), bool), names=("s",)
    )
    learned = learn(given, 1)
    assert learned.values.tolist() == [0.125, 0.0, 0.0]
    assert (learned.best_epoch, learned.weights) == (0, {"s": 0.5})
    assert learn(given, 1, rate=0.1).weights["s"] == pytest.approx(1 / 3, abs=0.01)


def test_the_first_step_is_the_clipped_gradient():
    given = lists(4)
    gradient = importance(given, np.full(5, 0.5), 4).gradient
    learned = learn(given, 4, rate=2.0, epochs=1)
    assert learned.best_epoch == 1
    assert list(learned.weights.values()) == np.clip(0.5 + 2.0 * gradient, 0, 1).tolist()


def test_it_is_deterministic_and_stops_when_nothing_changes():
    first, again = learn(lists(), 5), learn(lists(), 5)
    assert first.weights == again.weights
    assert first.values.tolist() == again.values.tolist()
    settled = learn(lists(), 1, rate=1e6, epochs=1000)
    assert len(settled.values) < 1000
    assert len(learn(lists(), 5, epochs=7, rate=1e-3).values) == 8


def test_a_tolerance_saves_work_and_changes_little():
    given = lists(queries=30, depth=250)
    exact, short = learn(given, 3, epochs=20), learn(given, 3, epochs=20, tolerance=Tolerance(delta=1e-7))
    assert short.items.sum() < 0.5 * exact.items.sum()
    assert exact.items.tolist() == [int(given.mask.sum())] * len(exact.items)
    assert short.values == pytest.approx(exact.values, abs=1e-6)


def test_there_must_be_something_to_learn_from():
    unknown = UtilityLists(
        utilities=np.ones((1, 1)), sources=np.array([[UNKNOWN]]), mask=np.ones((1, 1), dtype=bool), names=()
    )
    with pytest.raises(UsageError, match="nothing to learn from"):
        learn(unknown, 1)
    with pytest.raises(UsageError, match="epochs is out of range"):
        learn(lists(), 1, epochs=0)
