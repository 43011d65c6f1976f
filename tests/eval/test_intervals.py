"""Bootstrap intervals, against scipy, statsmodels' t interval, all samples of a tiny input, and in degenerate cases."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rankloom.errors import UsageError
from rankloom.eval import intervals
from rankloom.eval.intervals import Interval, Method, difference_interval, mean_interval


@pytest.mark.parametrize("method", ["BCa", "percentile"])
def test_agrees_with_scipy(method: Method) -> None:
    values = np.random.default_rng(1).beta(0.4, 1.0, 60)
    expected = stats.bootstrap(
        (values,), np.mean, method=method, confidence_level=0.9, random_state=np.random.default_rng(5)
    ).confidence_interval
    found = mean_interval(values.tolist(), level=0.9, method=method, seed=5)
    assert found == pytest.approx((expected.low, expected.high), rel=1e-12)


def test_near_the_t_interval_for_many_normal_values() -> None:
    weights = pytest.importorskip("statsmodels.stats.weightstats", reason="statsmodels is not installed")
    values = np.random.default_rng(2).normal(0.4, 0.1, 500)
    low, high = weights.DescrStatsW(values).tconfint_mean(0.05)
    assert mean_interval(values.tolist()) == pytest.approx((low, high), abs=0.001)


def test_percentiles_of_all_samples() -> None:
    values = [0.0, 0.1, 0.3, 0.7, 1.0]
    means = [sum(sample) / 5 for sample in itertools.product(values, repeat=5)]  # all 3125 equally likely samples
    low, high = np.percentile(means, [2.5, 97.5])
    found = mean_interval(values, method="percentile", resamples=50_000)
    assert found == pytest.approx((low, high), abs=0.011)  # means stand 0.02 apart or less


def test_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for seed in range(200):
        low, high = mean_interval(rng.random(40).tolist(), level=0.9, resamples=499, seed=seed) or (1.0, 0.0)
        covered += low <= 0.5 <= high
    assert 0.9 * 200 - 4 * math.sqrt(18) <= covered <= 0.9 * 200 + 4 * math.sqrt(18)


def test_of_a_difference_is_that_of_the_mean_of_differences() -> None:
    rng = np.random.default_rng(4)
    values, baseline = rng.random(30), rng.random(30)
    found = difference_interval(values.tolist(), baseline.tolist(), seed=2)
    assert found == mean_interval((values - baseline).tolist(), seed=2)
    shifted = difference_interval((baseline + 0.25).tolist(), baseline.tolist())
    assert shifted == pytest.approx((0.25, 0.25))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], None),
        ([0.5], None),
        ([0.5, 0.5], Interval(0.5, 0.5)),
        ([0.0] * 20, Interval(0.0, 0.0)),
        ([0.3, 0.1 + 0.2], Interval(pytest.approx(0.3), pytest.approx(0.3))),
    ],
)
@pytest.mark.filterwarnings("error")
def test_without_spread(values: list[float], expected: Interval | None) -> None:
    assert mean_interval(values) == expected
    assert (difference_interval(values, [0.0] * len(values)) is None) == (expected is None)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30), st.integers(0, 9), st.sampled_from(["BCa", "percentile"]))
@settings(max_examples=60, deadline=None)
def test_contains_the_mean_and_stays_within_the_values(values: list[float], seed: int, method: Method) -> None:
    found = mean_interval(values, seed=seed, method=method, resamples=499)
    assert found is not None
    slack = 1e-9
    assert min(values) - slack <= found.low <= np.mean(values) + slack
    assert np.mean(values) - slack <= found.high <= max(values) + slack


def test_is_drawn_by_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(6).random(50).tolist()
    first = mean_interval(values, seed=1)
    assert first == mean_interval(values, seed=1)
    assert first != mean_interval(values, seed=2)
    monkeypatch.setattr(intervals, "_ENTRIES_AT_A_TIME", 1000)
    assert mean_interval(values, seed=1) == pytest.approx(first, rel=1e-12)


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [({"level": 1.0}, "level"), ({"level": 0}, "level"), ({"method": "bca"}, "BCa"), ({"resamples": 0}, "resamples")],
)
def test_bad_parameters(parameters: dict[str, object], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        mean_interval([0.1, 0.2, 0.4], **parameters)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="finite"):
        mean_interval([0.1, math.nan])
