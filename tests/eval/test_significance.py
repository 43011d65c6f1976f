"""Paired tests and Holm's correction, against scipy, hand-computed values, and in the cases scipy leaves open."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rankloom.errors import UsageError
from rankloom.eval.significance import holm, paired_t


def test_agrees_with_scipy() -> None:
    rng = np.random.default_rng(3)
    for size in (2, 5, 50, 300):
        values, baseline = rng.random(size), rng.random(size)
        expected = stats.ttest_rel(values, baseline)
        test = paired_t(values.tolist(), baseline.tolist())
        assert test.statistic == pytest.approx(expected.statistic, rel=1e-9)
        assert test.p_value == pytest.approx(expected.pvalue, rel=1e-9)
        assert test.delta == pytest.approx((values - baseline).mean())
        assert test.queries == size == test.wins + test.ties + test.losses


def test_by_hand() -> None:
    # differences 1, 2, 3: mean 2, deviation 1, t = 2 / (1 / sqrt 3) = 3.4641, two degrees of freedom
    test = paired_t([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert test.statistic == pytest.approx(2 * math.sqrt(3))
    # P(|T| > t) with two degrees of freedom is 1 - t / sqrt(t^2 + 2)
    assert test.p_value == pytest.approx(1 - 2 * math.sqrt(3) / math.sqrt(14))


@pytest.mark.parametrize(
    ("values", "baseline", "p_value", "counts"),
    [
        ([], [], 1.0, (0, 0, 0)),
        ([0.9], [0.1], 1.0, (1, 0, 0)),
        ([0.5, 0.25], [0.5, 0.25], 1.0, (0, 2, 0)),
        ([0.1 + 0.2, 0.5], [0.3, 0.5], 1.0, (0, 2, 0)),  # 0.30000000000000004 is no win
        ([0.6, 0.4, 0.8], [0.5, 0.3, 0.7], 0.0, (3, 0, 0)),  # the same difference everywhere
    ],
)
def test_defined_everywhere(
    values: list[float], baseline: list[float], p_value: float, counts: tuple[int, int, int]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        test = paired_t(values, baseline)
    assert test.p_value == p_value
    assert (test.wins, test.ties, test.losses) == counts


def test_sides_of_different_length() -> None:
    with pytest.raises(UsageError, match="pairs"):
        paired_t([1.0], [1.0, 2.0])


def test_holm_by_hand() -> None:
    # Sorted: .005 x 4 = .02, .01 x 3 = .03, .03 x 2 = .06, .04 x 1 = .04 -> .06 (never below the one before)
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.2]) == [0.2]
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_holm_is_a_correction(p_values: list[float]) -> None:
    corrected = holm(p_values)
    assert all(raw <= new <= 1.0 for raw, new in zip(p_values, corrected, strict=True))
    by_raw = [new for _, new in sorted(zip(p_values, corrected, strict=True))]
    assert by_raw == sorted(by_raw)
    smallest = min(p_values)
    assert corrected[p_values.index(smallest)] == min(1.0, smallest * len(p_values))
