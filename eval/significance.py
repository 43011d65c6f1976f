"""Paired tests between two systems on the same queries: Student's t, Wilcoxon's signed ranks, randomisation.

Smucker, Allan and Carterette, "A comparison of statistical significance tests for information retrieval evaluation"
(CIKM 2007), recommend the randomisation test and find the t-test to agree with it; Wilcoxon's test asks about the
ranks of differences, not about their mean, and can disagree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import whole
from rankloom.eval.per_query import TIE, paired_differences, tally

TestName = Literal["paired_t", "wilcoxon", "randomisation"]

#: Assignments of signs that the randomisation test draws at most, as in Smucker, Allan and Carterette 2007. With so
#: many, the standard error of a p-value of 0.05 is 0.0007.
RESAMPLES = 100_000
_ENTRIES_AT_A_TIME = 2**21  # bounds the memory of drawing; does not change the result
_ROUNDING = 1e-10  # more than the relative error of a sum of differences


@dataclass(frozen=True, slots=True)
class PairedTest:
    """How one system compares with a baseline, query by query.

    Args:
        queries: Number of pairs.
        delta: Mean of (system - baseline).
        statistic: What the test looks at: Student's t (infinite when all differences are equal and not 0), Wilcoxon's
            smaller sum of ranks, or the mean difference of the randomisation test.
        p_value: Two-sided. 1 when there is nothing to test: no difference at all, or fewer than two queries.
        wins: Queries on which the system is better.
        ties: Queries on which both are equal, within `rankloom.eval.per_query.TIE`.
        losses: Queries on which the baseline is better.
    """

    queries: int
    delta: float
    statistic: float
    p_value: float
    wins: int
    ties: int
    losses: int


def paired_t(values: Sequence[float], baseline: Sequence[float]) -> PairedTest:
    """Student's paired t-test, two-sided.

    Paper: Student, "The probable error of a mean", Biometrika, 1908. Computed by SciPy.

    Args:
        values: The system's value for each query.
        baseline: The baseline's value for each query, in the same order.

    Raises:
        UsageError: The two are not of one length, or a value is not a finite number.

    Example:
        >>> test = paired_t([0.5, 0.7, 0.9], [0.4, 0.7, 0.6])
        >>> round(test.p_value, 4), test.wins, test.ties, test.losses
        (0.2697, 2, 1, 0)
    """
    differences = paired_differences(values, baseline)
    return _tested(differences, *_student(differences))


def wilcoxon(values: Sequence[float], baseline: Sequence[float]) -> PairedTest:
    """Wilcoxon's signed-rank test, two-sided.

    Ties are taken out before ranking, as Wilcoxon did. Differences are rounded to 9 decimals, so that two which are
    equal but for rounding errors share a rank. The p-value is exact for up to 50 queries that differ, none by the same
    amount, and for up to 13 in any case; otherwise it comes from the normal approximation, corrected for equal ranks.

    Paper: Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin, 1945. Computed by SciPy.

    Args:
        values: The system's value for each query.
        baseline: The baseline's value for each query, in the same order.

    Raises:
        UsageError: The two are not of one length, or a value is not a finite number.

    Example:
        >>> test = wilcoxon([0.5, 0.7, 0.9, 0.8], [0.4, 0.7, 0.6, 0.3])
        >>> test.statistic, test.p_value
        (0.0, 0.25)
    """
    differences = paired_differences(values, baseline)
    return _tested(differences, *_signed_ranks(differences))


def randomisation(
    values: Sequence[float], baseline: Sequence[float], *, resamples: int = RESAMPLES, seed: int = 0
) -> PairedTest:
    """Fisher's randomisation test of the mean difference, two-sided.

    If the two systems were the same, each query's difference could as well have the other sign. The p-value is the
    share of assignments of signs with a mean at least as far from 0 as the observed one. All assignments are looked at
    when there are no more of them than `resamples` (16 queries that differ, by default); otherwise as many are
    drawn, and the observed assignment is counted among them, so that no p-value is 0.

    Papers: Fisher, "The Design of Experiments", 1935; Smucker, Allan and Carterette, CIKM 2007; Phipson and Smyth,
    "Permutation p-values should never be zero", 2010.

    Args:
        values: The system's value for each query.
        baseline: The baseline's value for each query, in the same order.
        resamples: How many assignments to look at, at most.
        seed: Of the assignments that are drawn; the same seed gives the same p-value.

    Raises:
        UsageError: The two are not of one length, a value is not a finite number, or `resamples` is less than 1.

    Example:
        >>> randomisation([0.5, 0.7, 0.9, 0.8], [0.4, 0.7, 0.6, 0.3]).p_value  # 2 of the 8 assignments of signs
        0.25
    """
    whole(resamples, least=1, stage="randomisation", parameter="resamples")
    differences = paired_differences(values, baseline)
    return _tested(differences, _mean(differences), _sign_flips(differences, resamples, seed))


@dataclass(frozen=True, slots=True)
class SignificanceTest:
    """A paired test by its name.

    Args:
        title: What to call it in a sentence: "in a two-sided ...".
        run: Values, baseline and a seed -> the outcome. Only the randomisation test draws anything.
    """

    title: str
    run: Callable[[Sequence[float], Sequence[float], int], PairedTest]


#: The tests that an experiment can name.
TESTS: dict[TestName, SignificanceTest] = {
    "paired_t": SignificanceTest("paired t-test", lambda values, baseline, _: paired_t(values, baseline)),
    "wilcoxon": SignificanceTest("Wilcoxon signed-rank test", lambda values, baseline, _: wilcoxon(values, baseline)),
    "randomisation": SignificanceTest(
        "randomisation test", lambda values, baseline, seed: randomisation(values, baseline, seed=seed)
    ),
}


def _tested(differences: NDArray[np.float64], statistic: float, p_value: float) -> PairedTest:
    """The outcome of a test, with what it shares with all others."""
    return PairedTest(len(differences), _mean(differences), statistic, p_value, *tally(differences))


def _mean(differences: NDArray[np.float64]) -> float:
    """The mean; 0 for no queries."""
    return float(differences.mean()) if len(differences) else 0.0


def _student(differences: NDArray[np.float64]) -> tuple[float, float]:
    """Student's t of differences against 0 and its two-sided p-value, defined for every input."""
    if len(differences) < 2 or not differences.any():
        return 0.0, 1.0
    if np.ptp(differences) <= TIE:  # no spread: scipy would divide by rounding noise
        return math.copysign(math.inf, float(differences[0])), 0.0
    from scipy.stats import ttest_rel

    result = ttest_rel(differences, np.zeros_like(differences))
    return float(result.statistic), float(result.pvalue)


def _signed_ranks(differences: NDArray[np.float64]) -> tuple[float, float]:
    """Wilcoxon's statistic and its two-sided p-value, defined for every input."""
    changed = np.round(differences[differences != 0], 9)
    if not len(changed):
        return 0.0, 1.0
    from scipy.stats import wilcoxon as signed_rank_test

    result = signed_rank_test(changed)
    return float(result.statistic), float(result.pvalue)


def _sign_flips(differences: NDArray[np.float64], resamples: int, seed: int) -> float:
    """The two-sided p-value of the sum of differences under random signs; ties have no sign and play no part."""
    changed = differences[differences != 0]
    extreme = abs(changed.sum()) - _ROUNDING * np.abs(changed).sum()  # equal sums are equal in whatever order added
    if 2 ** len(changed) <= resamples:
        sums = np.zeros(1)
        for difference in changed:
            sums = np.concatenate([sums + difference, sums - difference])
        return float((np.abs(sums) >= extreme).mean())
    rng = np.random.default_rng(seed)
    rows = max(1, _ENTRIES_AT_A_TIME // len(changed))
    found = 0
    for start in range(0, resamples, rows):
        words = rng.integers(0, 2**64, (min(rows, resamples - start), len(changed) // 64 + 1), dtype="<u8")
        flipped = np.unpackbits(words.view(np.uint8), axis=1, count=len(changed))
        found += int((np.abs(changed.sum() - 2 * (flipped @ changed)) >= extreme).sum())
    return (found + 1) / (resamples + 1)
