"""Paired tests between two pipelines on the same queries, and Holm's correction for several of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import UsageError

#: Per-query values this close are a tie: two orders of the same additions differ in the last bits.
TIE = 1e-9


@dataclass(frozen=True, slots=True)
class PairedTest:
    """How one pipeline compares with a baseline, query by query.

    Args:
        queries: Number of pairs.
        delta: Mean of (pipeline - baseline).
        statistic: Student's t; infinite when all differences are equal and not 0.
        p_value: Two-sided. 1 when there is nothing to test: no difference at all, or fewer than two queries.
        wins: Queries on which the pipeline is better.
        ties: Queries on which both are equal, within `TIE`.
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

    Args:
        values: The pipeline's value for each query.
        baseline: The baseline's value for each query, in the same order.

    Raises:
        UsageError: The two are not of one length.

    Example:
        >>> test = paired_t([0.5, 0.7, 0.9], [0.4, 0.7, 0.6])
        >>> round(test.p_value, 4), test.wins, test.ties, test.losses
        (0.2697, 2, 1, 0)
    """
    if len(values) != len(baseline):
        raise UsageError(
            "pairs need as many values on both sides", stage="paired_t", value=(len(values), len(baseline))
        )
    differences = np.asarray(values, dtype=np.float64) - np.asarray(baseline, dtype=np.float64)
    tied = np.abs(differences) <= TIE
    statistic, p_value = _student(np.where(tied, 0.0, differences))
    return PairedTest(
        queries=len(differences),
        delta=float(differences.mean()) if len(differences) else 0.0,
        statistic=statistic,
        p_value=p_value,
        wins=int((~tied & (differences > 0)).sum()),
        ties=int(tied.sum()),
        losses=int((~tied & (differences < 0)).sum()),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: p-values that can be held against a level for the whole family.

    The i-th smallest of m values is multiplied by m - i + 1, made non-decreasing, and cut off at 1.

    Args:
        p_values: The raw p-values of one family of tests, in any order.

    Example:
        >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
        [0.03, 0.06, 0.06]
    """
    corrected = [1.0] * len(p_values)
    largest = 0.0
    for place, number in enumerate(sorted(range(len(p_values)), key=lambda number: p_values[number])):
        largest = max(largest, min(1.0, p_values[number] * (len(p_values) - place)))
        corrected[number] = largest
    return corrected


def _student(differences: NDArray[np.float64]) -> tuple[float, float]:
    """Student's t of differences against 0 and its two-sided p-value, defined for every input."""
    if len(differences) < 2 or not differences.any():
        return 0.0, 1.0
    if np.ptp(differences) <= TIE:  # no spread: scipy would divide by rounding noise
        return math.copysign(math.inf, float(differences[0])), 0.0
    from scipy.stats import ttest_rel

    result = ttest_rel(differences, np.zeros_like(differences))
    return float(result.statistic), float(result.pvalue)
