"""Bootstrap confidence intervals of a mean over queries, and of the mean difference between two systems."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import choice, whole
from rankloom.errors import UsageError
from rankloom.eval.per_query import TIE, finite, paired_differences

#: Bootstrap samples an interval; the default of `scipy.stats.bootstrap`.
RESAMPLES = 9999
_ENTRIES_AT_A_TIME = 2**21  # bounds the memory of resampling; does not change the result

#: The words by which an experiment asks for intervals.
IntervalsName = Literal["bootstrap", "none"]
INTERVALS: tuple[str, ...] = get_args(IntervalsName)
Method = Literal["BCa", "percentile"]


class Interval(NamedTuple):
    """A confidence interval, both ends included."""

    low: float
    high: float


def mean_interval(
    values: Sequence[float],
    *,
    level: float = 0.95,
    method: Method = "BCa",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """Bootstrap confidence interval of the mean: queries are drawn with replacement. Computed by SciPy.

    It answers how much the mean would vary over other queries of the same kind. Differences between systems on the
    same queries vary much less: see `difference_interval`.

    Papers: Efron, "Better bootstrap confidence intervals", Journal of the American Statistical Association, 1987
    (BCa); Sakai, "Evaluating evaluation metrics based on the bootstrap", SIGIR 2006.

    Args:
        values: One value for each query.
        level: Confidence, above 0 and below 1.
        method: `BCa` (bias-corrected and accelerated, right also for skewed values) or `percentile`.
        resamples: How many bootstrap samples.
        seed: Of the samples; the same seed gives the same interval.

    Returns:
        The interval. For values that are all the same it is that value twice. None for fewer than two values, from
        which no spread can be told.

    Raises:
        UsageError: A value is not a finite number, or a parameter is out of range.

    Example:
        >>> low, high = mean_interval([0.1, 0.4, 0.5, 0.6, 0.9])
        >>> 0.2 < low < 0.5 < high < 0.8
        True
        >>> mean_interval([0.5, 0.5, 0.5])
        Interval(low=0.5, high=0.5)
    """
    array = finite(values)
    if not 0 < level < 1:
        raise UsageError("level is out of range", stage="intervals", value=level, accepted="above 0 and below 1")
    choice(method, ("BCa", "percentile"), stage="intervals", parameter="method")
    whole(resamples, least=1, stage="intervals", parameter="resamples")
    return _interval(array, level, method, resamples, seed)


def difference_interval(
    values: Sequence[float],
    baseline: Sequence[float],
    *,
    level: float = 0.95,
    method: Method = "BCa",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """Bootstrap confidence interval of the mean paired difference: queries are drawn, with both their values.

    Args:
        values: A system's value for each query.
        baseline: The baseline's value for each query, in the same order.
        level: As for `mean_interval`, like all that follows.
        method: How.
        resamples: How many bootstrap samples.
        seed: Of the samples.

    Returns:
        The interval of the mean of (values - baseline); see `mean_interval` for inputs without spread.

    Raises:
        UsageError: The two are not of one length, a value is not a finite number, or a parameter is out of range.

    Example:
        >>> low, high = difference_interval([0.5, 0.7, 0.9, 0.8], [0.4, 0.7, 0.6, 0.7])
        >>> 0.0 < low < 0.125 < high < 0.3
        True
    """
    differences = paired_differences(values, baseline)
    return mean_interval(differences.tolist(), level=level, method=method, resamples=resamples, seed=seed)


def _interval(values: NDArray[np.float64], level: float, method: Method, resamples: int, seed: int) -> Interval | None:
    """The interval, defined for every input."""
    if len(values) < 2:
        return None
    if np.ptp(values) <= TIE:  # no spread: BCa would divide by 0
        mean = float(values.mean())
        return Interval(mean, mean)
    from scipy.stats import bootstrap

    found = bootstrap(
        (values,),
        np.mean,
        n_resamples=resamples,
        batch=max(1, _ENTRIES_AT_A_TIME // len(values)),
        vectorized=True,
        confidence_level=level,
        method=method,
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(float(found.low), float(found.high))
