"""Paired tests, against scipy and ranx, hand-computed values, enumeration, and in the cases scipy leaves open."""

from __future__ import annotations

import itertools
import math
import warnings
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rankloom.errors import UsageError
from rankloom.eval import significance
from rankloom.eval.significance import TESTS, TestName, paired_t, randomisation, wilcoxon

#: Values with ties and repeated differences, as measures with few distinct values give.
COARSE = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=9)
VALUES = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=30)


def enumerated(differences: list[float]) -> float:
    """The randomisation test by its definition, over all assignments of signs."""
    sums = [
        abs(sum(sign * difference for sign, difference in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    return sum(value >= sums[0] - 1e-12 for value in sums) / len(sums)


def test_table_holds_what_experiments_can_name() -> None:
    assert tuple(TESTS) == get_args(TestName)
    values, baseline = [0.5, 0.9, 0.1, 0.8], [0.4, 0.6, 0.2, 0.1]
    assert TESTS["paired_t"].run(values, baseline, 1) == paired_t(values, baseline)
    assert TESTS["wilcoxon"].run(values, baseline, 1) == wilcoxon(values, baseline)
    many = np.random.default_rng(2).random((2, 40)).tolist()
    assert TESTS["randomisation"].run(*many, 1) == randomisation(*many, seed=1)


@pytest.mark.parametrize(
    ("values", "baseline", "p_values", "counts"),
    [
        ([], [], (1.0, 1.0, 1.0), (0, 0, 0)),
        ([0.9], [0.1], (1.0, 1.0, 1.0), (1, 0, 0)),
        ([0.5, 0.25], [0.5, 0.25], (1.0, 1.0, 1.0), (0, 2, 0)),
        ([0.1 + 0.2, 0.5], [0.3, 0.5], (1.0, 1.0, 1.0), (0, 2, 0)),  # 0.30000000000000004 is no win
        ([0.6, 0.4, 0.8], [0.5, 0.3, 0.7], (0.0, 0.25, 0.25), (3, 0, 0)),  # the same difference everywhere
        ([0.6, 0.4], [0.5, 0.5], (1.0, 1.0, 1.0), (1, 0, 1)),  # differences that add up to nothing
    ],
)
def test_defined_everywhere(
    values: list[float], baseline: list[float], p_values: tuple[float, ...], counts: tuple[int, int, int]
) -> None:
    for (name, test), p_value in zip(TESTS.items(), p_values, strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            outcome = test.run(values, baseline, 7)
        assert outcome.p_value == pytest.approx(p_value), name
        assert (outcome.wins, outcome.ties, outcome.losses) == counts
        assert outcome.queries == len(values)


@pytest.mark.parametrize("name", TESTS)
def test_bad_input_is_refused(name: TestName) -> None:
    with pytest.raises(UsageError, match="pairs"):
        TESTS[name].run([1.0], [1.0, 2.0], 0)
    with pytest.raises(UsageError, match="place 1 is not a finite number"):
        TESTS[name].run([1.0, math.nan], [1.0, 2.0], 0)
    with pytest.raises(UsageError, match="got inf"):
        TESTS[name].run([1.0, 2.0], [math.inf, 2.0], 0)


@pytest.mark.parametrize("name", TESTS)
@given(pairs=VALUES)
@settings(max_examples=20, deadline=None)
def test_p_values_are_probabilities_and_sides_can_be_swapped(name: TestName, pairs: list[tuple[float, float]]) -> None:
    values, baseline = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    there, back = TESTS[name].run(values, baseline, 3), TESTS[name].run(baseline, values, 3)
    assert 0.0 <= there.p_value <= 1.0
    assert there.p_value == pytest.approx(back.p_value, rel=1e-9)
    assert there.delta == -back.delta
    assert (there.wins, there.ties, there.losses) == (back.losses, back.ties, back.wins)


# --- Student -----------------------------------------------------------------------------------------------------


def test_t_agrees_with_scipy() -> None:
    rng = np.random.default_rng(3)
    for size in (2, 5, 50, 300):
        values, baseline = rng.random(size), rng.random(size)
        expected = stats.ttest_rel(values, baseline)
        test = paired_t(values.tolist(), baseline.tolist())
        assert test.statistic == pytest.approx(expected.statistic, rel=1e-9)
        assert test.p_value == pytest.approx(expected.pvalue, rel=1e-9)
        assert test.delta == pytest.approx((values - baseline).mean())
        assert test.queries == size == test.wins + test.ties + test.losses


def test_t_by_hand() -> None:
    # differences 1, 2, 3: mean 2, deviation 1, t = 2 / (1 / sqrt 3) = 3.4641, two degrees of freedom
    test = paired_t([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert test.statistic == pytest.approx(2 * math.sqrt(3))
    # P(|T| > t) with two degrees of freedom is 1 - t / sqrt(t^2 + 2)
    assert test.p_value == pytest.approx(1 - 2 * math.sqrt(3) / math.sqrt(14))
    assert paired_t([0.6, 0.4], [0.5, 0.3]).statistic == math.inf
    assert paired_t([0.5, 0.3], [0.6, 0.4]).statistic == -math.inf


def test_t_agrees_with_ranx() -> None:
    ranx = pytest.importorskip("ranx.statistical_tests", reason="ranx, the peer to agree with, is not installed")
    rng = np.random.default_rng(5)
    values, baseline = rng.random(60) + 0.05, rng.random(60)
    scores = {"a": {"ap": values}, "b": {"ap": baseline}}
    report = ranx.compute_statistical_significance(["a", "b"], scores, stat_test="student")  # what `compare` calls
    expected = report["a", "b"]["ap"]["p_value"]
    assert paired_t(values.tolist(), baseline.tolist()).p_value == pytest.approx(expected, rel=1e-9)


# --- Wilcoxon ----------------------------------------------------------------------------------------------------


def test_wilcoxon_agrees_with_scipy() -> None:
    rng = np.random.default_rng(4)
    for size in (2, 9, 50, 51, 400):
        values, baseline = rng.random(size), rng.random(size)
        expected = stats.wilcoxon(values, baseline)
        test = wilcoxon(values.tolist(), baseline.tolist())
        assert (test.statistic, test.p_value) == (expected.statistic, pytest.approx(expected.pvalue, rel=1e-9))


def test_wilcoxon_takes_ties_out_first() -> None:
    rng = np.random.default_rng(6)
    values, baseline = rng.random(30).tolist(), rng.random(30).tolist()
    with_ties = wilcoxon([*values, 0.5, 0.25], [*baseline, 0.5, 0.25])
    alone = wilcoxon(values, baseline)
    assert (with_ties.statistic, with_ties.p_value) == (alone.statistic, alone.p_value)
    assert (with_ties.queries, with_ties.ties) == (32, 2)
    whole = np.round(np.asarray(values) - np.asarray(baseline), 1)  # with ties and equal ranks
    expected = stats.wilcoxon(whole, zero_method="wilcox", method="asymptotic")
    assert wilcoxon(whole.tolist(), [0.0] * 30).p_value == pytest.approx(expected.pvalue, rel=1e-9)


def test_wilcoxon_by_hand() -> None:
    # ranks of 1, 2, 3, -4: the negative rank sum is 4; of 16 sign assignments 7 have a positive rank sum of at most
    # 4 ({}, 1, 2, 3, 4, 1+2, 1+3) and as many a negative one
    test = wilcoxon([1.0, 2.0, 3.0, 0.0], [0.0, 0.0, 0.0, 4.0])
    assert (test.statistic, test.p_value) == (4.0, 14 / 16)
    # 0.1 + 0.2 - 0.3 stands beside nothing: both differences are 0.2 and share the rank 1.5
    assert wilcoxon([0.3, 0.1], [0.1, 0.3]).statistic == 1.5
    assert wilcoxon([0.1 + 0.2, 0.1], [0.1, 0.1 + 0.2]).statistic == 1.5


@given(COARSE)
@settings(max_examples=40, deadline=None)
def test_wilcoxon_is_a_randomisation_test_of_signed_ranks(pairs: list[tuple[int, int]]) -> None:
    differences = np.array([a - b for a, b in pairs if a != b], dtype=np.float64)
    expected = enumerated((stats.rankdata(np.abs(differences)) * np.sign(differences)).tolist())
    test = wilcoxon([float(a) for a, _ in pairs], [float(b) for _, b in pairs])
    assert test.p_value == pytest.approx(expected)


# --- randomisation -----------------------------------------------------------------------------------------------


@given(COARSE)
@settings(max_examples=40, deadline=None)
def test_randomisation_by_enumeration(pairs: list[tuple[int, int]]) -> None:
    values, baseline = [a / 10 for a, _ in pairs], [b / 10 for _, b in pairs]
    expected = enumerated([a - b for a, b in zip(values, baseline, strict=True)])
    assert randomisation(values, baseline).p_value == pytest.approx(expected)


def test_randomisation_agrees_with_scipy() -> None:
    rng = np.random.default_rng(8)
    values, baseline = rng.random(12), rng.random(12)
    exact = stats.permutation_test(
        (values, baseline), lambda a, b, axis: np.mean(a - b, axis=axis), permutation_type="samples", n_resamples=4096
    )
    assert randomisation(values.tolist(), baseline.tolist()).p_value == pytest.approx(exact.pvalue)
    values, baseline = rng.random(200) + 0.04, rng.random(200)
    drawn = stats.permutation_test(
        (values, baseline),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        n_resamples=20_000,
        batch=1000,
        random_state=np.random.default_rng(1),
    )
    test = randomisation(values.tolist(), baseline.tolist(), seed=1)
    assert test.statistic == test.delta == pytest.approx((values - baseline).mean())
    assert test.p_value == pytest.approx(drawn.pvalue, abs=0.02)  # five standard errors of scipy's 20,000


@pytest.mark.slow
def test_randomisation_agrees_with_ranx() -> None:
    ranx = pytest.importorskip("ranx.statistical_tests", reason="ranx, the peer to agree with, is not installed")
    rng = np.random.default_rng(9)
    values, baseline = rng.random(60) + 0.05, rng.random(60)
    expected, _ = ranx.fisher_randomization_test(baseline, values, n_permutations=20_000)
    # ranx does not count the observed assignment, and its draws differ from run to run: six standard errors
    assert randomisation(values.tolist(), baseline.tolist()).p_value == pytest.approx(expected, abs=0.022)


def test_randomisation_draws_by_seed_and_counts_the_observed_assignment() -> None:
    rng = np.random.default_rng(10)
    values, baseline = rng.random(40).tolist(), rng.random(40).tolist()
    first = randomisation(values, baseline, resamples=999, seed=5)
    assert first == randomisation(values, baseline, resamples=999, seed=5)
    assert len({randomisation(values, baseline, resamples=999, seed=seed).p_value for seed in range(5)}) > 1
    better = [value + 1 for value in baseline]
    assert randomisation(better, baseline, resamples=999).p_value == 1 / 1000
    with pytest.raises(UsageError, match="resamples"):
        randomisation(values, baseline, resamples=0)


def test_drawing_agrees_with_enumeration_where_both_can_be_done() -> None:
    rng = np.random.default_rng(11)
    values, baseline = rng.random(16).tolist(), rng.random(16).tolist()
    exact = randomisation(values, baseline)
    drawn = randomisation(values, baseline, resamples=2**16 - 1)
    assert exact.p_value * 2**16 == int(exact.p_value * 2**16)
    assert drawn.p_value == pytest.approx(exact.p_value, abs=5 * 0.5 / 2**8)


def test_ties_do_not_change_the_randomisation_test(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(12)
    values, baseline = rng.random(40).tolist(), rng.random(40).tolist()
    alone = randomisation(values, baseline, resamples=2000)
    assert randomisation([*values, 0.5], [*baseline, 0.5], resamples=2000).p_value == alone.p_value
    monkeypatch.setattr(significance, "_ENTRIES_AT_A_TIME", 100)  # drawn two rows at a time
    assert randomisation(values, baseline, resamples=2000).p_value == alone.p_value
