"""Effect sizes and detectable differences, by hand, against statsmodels, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rankloom.errors import UsageError
from rankloom.eval.effect_size import cohens_dz, detectable_effect, minimum_detectable_difference
from rankloom.eval.significance import paired_t


def test_dz_by_hand() -> None:
    # differences 1, 2, 3, 6: mean 3, squared deviations 4 + 1 + 0 + 9 = 14, deviation sqrt(14 / 3)
    assert cohens_dz([2.0, 4.0, 6.0, 6.0], [1.0, 2.0, 3.0, 0.0]) == pytest.approx(3 / math.sqrt(14 / 3))


@pytest.mark.parametrize(
    ("values", "baseline", "effect", "difference"),
    [
        ([], [], None, None),
        ([0.9], [0.1], None, None),
        ([0.5, 0.25], [0.5, 0.25], 0.0, 0.0),
        ([0.1 + 0.2, 0.5], [0.3, 0.5], 0.0, 0.0),
        ([0.6, 0.4, 0.8], [0.5, 0.3, 0.7], None, 0.0),  # the same difference everywhere
    ],
)
@pytest.mark.filterwarnings("error")
def test_degenerate(values: list[float], baseline: list[float], effect: float | None, difference: float | None) -> None:
    assert cohens_dz(values, baseline) == effect
    assert minimum_detectable_difference(values, baseline) == difference


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=20))
@settings(max_examples=60, deadline=None)
def test_dz_is_t_without_the_number_of_queries(pairs: list[tuple[float, float]]) -> None:
    values, baseline = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    effect, back = cohens_dz(values, baseline), cohens_dz(baseline, values)
    if effect is None:
        assert back is None
        return
    assert back == -effect
    assert effect * math.sqrt(len(pairs)) == pytest.approx(paired_t(values, baseline).statistic, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("queries", [5, 10, 50, 250, 6980])  # with fewer, statsmodels' solver may not converge
@pytest.mark.parametrize(("power", "alpha"), [(0.8, 0.05), (0.6, 0.01), (0.5, 0.1)])
def test_detectable_effect_agrees_with_statsmodels(queries: int, power: float, alpha: float) -> None:
    theirs = pytest.importorskip("statsmodels.stats.power", reason="statsmodels is not installed").TTestPower()
    effect = detectable_effect(queries, power=power, alpha=alpha)
    assert theirs.power(effect, nobs=queries, alpha=alpha) == pytest.approx(power, abs=1e-8)
    solved = theirs.solve_power(nobs=queries, alpha=alpha, power=power)
    assert effect == pytest.approx(float(np.squeeze(solved)), rel=1e-4)  # their solver stops earlier


@pytest.mark.parametrize("queries", [2, 3, 5, 10, 50])
@pytest.mark.parametrize(("power", "alpha"), [(0.8, 0.05), (0.95, 0.001)])
def test_detectable_effect_by_integration(queries: int, power: float, alpha: float) -> None:
    # Given the spread that a sample has, found is when a normal variable exceeds the critical value times the spread.
    shift = detectable_effect(queries, power=power, alpha=alpha) * math.sqrt(queries)
    freedom, critical = queries - 1, stats.t.isf(alpha / 2, queries - 1)

    spreads = np.linspace(0.0, 8.0, 400_001)  # in units of the true standard deviation
    density = stats.chi.pdf(spreads * math.sqrt(freedom), freedom) * math.sqrt(freedom)
    found = stats.norm.sf(critical * spreads - shift) + stats.norm.cdf(-critical * spreads - shift)
    assert np.trapezoid(found * density, spreads) == pytest.approx(power, abs=1e-6)


def test_a_detectable_difference_is_detected_as_often_as_promised() -> None:
    rng = np.random.default_rng(1)
    effect, baseline = detectable_effect(20, power=0.7), [0.0] * 20
    found = sum(paired_t(rng.normal(effect, 1.0, 20).tolist(), baseline).p_value < 0.05 for _ in range(2000))
    assert found / 2000 == pytest.approx(0.7, abs=5 * math.sqrt(0.7 * 0.3 / 2000))


def test_difference_is_in_the_units_of_the_values() -> None:
    rng = np.random.default_rng(2)
    values, baseline = rng.random(50), rng.random(50)
    expected = detectable_effect(50, power=0.9, alpha=0.01) * np.std(values - baseline, ddof=1)
    found = minimum_detectable_difference(values.tolist(), baseline.tolist(), power=0.9, alpha=0.01)
    assert found == pytest.approx(expected)
    hundredfold = minimum_detectable_difference(
        (100 * values).tolist(), (100 * baseline).tolist(), power=0.9, alpha=0.01
    )
    assert hundredfold == pytest.approx(100 * expected)


def test_more_queries_and_less_power_detect_smaller_effects() -> None:
    effects = [detectable_effect(queries) for queries in (2, 5, 20, 100, 1000)]
    assert effects == sorted(effects, reverse=True)
    assert detectable_effect(50, power=0.5) < detectable_effect(50) < detectable_effect(50, alpha=0.01)


@pytest.mark.parametrize(
    ("queries", "power", "alpha"), [(1, 0.8, 0.05), (50, 1.0, 0.05), (50, 0.8, 0.0), (50, 0.04, 0.05)]
)
def test_bad_parameters(queries: int, power: float, alpha: float) -> None:
    with pytest.raises(UsageError, match="out of range"):
        detectable_effect(queries, power=power, alpha=alpha)
