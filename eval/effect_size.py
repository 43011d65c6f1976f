"""How large a paired difference is beside its spread over queries, and how large it has to be to be found."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rankloom.checks import whole
from rankloom.errors import UsageError
from rankloom.eval.per_query import TIE, paired_differences

#: Probability to find a difference of the detectable size; Cohen's convention (1988).
POWER = 0.8
#: Level of the test that shall find it.
ALPHA = 0.05


def cohens_dz(values: Sequence[float], baseline: Sequence[float]) -> float | None:
    """Cohen's d for paired values: the mean difference in units of the differences' standard deviation.

    Unlike a p-value it does not grow with the number of queries. 0.2 is called small, 0.5 medium, 0.8 large.

    Papers: Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988 (d_z); Sakai, "Statistical reform in
    information retrieval?", SIGIR Forum, 2014.

    Args:
        values: A system's value for each query.
        baseline: The baseline's value for each query, in the same order.

    Returns:
        The effect size. 0 when there is no difference at all. None when there is nothing to measure it by: fewer than
        two queries, or the same difference on all of them.

    Raises:
        UsageError: The two are not of one length, or a value is not a finite number.

    Example:
        >>> round(cohens_dz([2.0, 4.0, 6.0], [1.0, 2.0, 3.0]), 6)
        2.0
    """
    differences = paired_differences(values, baseline)
    if len(differences) < 2:
        return None
    if not differences.any():
        return 0.0
    if np.ptp(differences) <= TIE:
        return None
    return float(differences.mean() / differences.std(ddof=1))


def detectable_effect(queries: int, *, power: float = POWER, alpha: float = ALPHA) -> float:
    """The least true effect size (d_z) that a two-sided paired t-test finds with a given probability.

    The t statistic of a true effect d over n queries follows the noncentral t distribution with n - 1 degrees of
    freedom and noncentrality d * sqrt(n); this solves for d.

    Papers: Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988; Webber, Moffat and Zobel,
    "Statistical power in retrieval experimentation", CIKM 2008.

    Args:
        queries: Number of queries, at least 2.
        power: Probability to find the effect, above `alpha` and below 1.
        alpha: Level of the test, above 0.

    Raises:
        UsageError: A parameter is out of range.

    Example:
        >>> round(detectable_effect(50), 4)
        0.4042
    """
    whole(queries, least=2, stage="effect_size", parameter="queries")
    if not 0 < alpha < power < 1:
        raise UsageError(
            "alpha and power are out of range",
            stage="effect_size",
            value=(alpha, power),
            accepted="0 < alpha < power < 1",
        )
    from scipy.optimize import brentq

    highest = 1.0
    while _power(highest, queries, alpha) < power:
        highest *= 2
    shift = brentq(lambda shift: _power(shift, queries, alpha) - power, 0.0, highest, xtol=1e-10)
    return float(shift) / math.sqrt(queries)


def minimum_detectable_difference(
    values: Sequence[float], baseline: Sequence[float], *, power: float = POWER, alpha: float = ALPHA
) -> float | None:
    """The least true mean difference that a paired t-test on this many queries finds, if they spread like these.

    An insignificant difference well below it says little: the experiment was too small to see it. For one comparison;
    corrections for several raise it.

    Args:
        values: A system's value for each query.
        baseline: The baseline's value for each query, in the same order.
        power: Probability to find it; see `detectable_effect`.
        alpha: Level of the test, two-sided.

    Returns:
        The difference, in the units of the values; 0 when the observed differences do not spread. None for fewer than
        two queries.

    Raises:
        UsageError: The two are not of one length, a value is not a finite number, or a parameter is out of range.

    Example:
        >>> round(minimum_detectable_difference([0.5, 0.7, 0.9, 0.8], [0.4, 0.7, 0.6, 0.7]), 4)
        0.2678
    """
    differences = paired_differences(values, baseline)
    if len(differences) < 2:
        return None
    effect = detectable_effect(len(differences), power=power, alpha=alpha)
    return 0.0 if np.ptp(differences) <= TIE else effect * float(differences.std(ddof=1))


def _power(shift: float, queries: int, alpha: float) -> float:
    """Power of the two-sided t-test at a noncentrality."""
    from scipy.stats import nct, t

    freedom = queries - 1
    critical = t.isf(alpha / 2, freedom)
    wrong_side = nct.cdf(-critical, freedom, shift)
    # SciPy gives NaN where this tail is too small for it; it is never more than Phi(-shift)
    return float(nct.sf(critical, freedom, shift) + (0.0 if np.isnan(wrong_side) else wrong_side))
