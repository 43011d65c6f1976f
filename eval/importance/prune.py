"""Which sources to leave out: a threshold for their weights, tuned on validation queries."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from rankloom.checks import between
from rankloom.errors import UsageError
from rankloom.eval.importance.gradient import importance
from rankloom.eval.importance.lists import UtilityLists


@dataclass(frozen=True, slots=True)
class Pruning:
    """A tuned threshold.

    Args:
        threshold: Sources with a smaller weight are left out.
        percentile: The percentile of the weights that it is.
        utility: Validation utility with it.
        dropped: The sources that it leaves out.
        tried: Percentile, threshold and validation utility of all that were tried, in their order.
    """

    threshold: float
    percentile: float
    utility: float
    dropped: frozenset[str]
    tried: tuple[tuple[float, float, float], ...]


def tune_threshold(
    weights: Mapping[str, float],
    utility: Callable[[frozenset[str]], float],
    *,
    percentiles: Iterable[float] = range(0, 100, 5),
) -> Pruning:
    """Try thresholds at percentiles of the weights and keep the one with the highest validation utility.

    As in Lyu et al. (2023) and their code: the percentiles 0, 5, ..., 95, linear between weights; of equal utilities
    the last wins, which is the highest threshold and leaves out most; sources without a weight stay. Percentile 0
    leaves out nothing.

    Args:
        weights: Source -> weight.
        utility: Validation utility when some sources are left out: `pruned_value`, or any measure of a run, which
            need not be additive.
        percentiles: What to try, 0 to 100, in this order.

    Raises:
        UsageError: There are no weights or no percentiles, or one is out of range, or a utility is not a number.

    Example:
        >>> found = tune_threshold({"forum": 0.1, "wiki": 0.9}, lambda dropped: float("forum" in dropped))
        >>> sorted(found.dropped), found.utility
        (['forum'], 1.0)
    """
    asked = [between(percentile, 0, 100, stage="prune", parameter="percentile") for percentile in percentiles]
    if not weights or not asked:
        raise UsageError("needs weights and percentiles", stage="prune", value=(len(weights), len(asked)))
    tried = []
    for percentile in asked:
        threshold = float(np.percentile(list(weights.values()), percentile))
        reached = float(utility(_below(weights, threshold)))
        if np.isnan(reached):
            raise UsageError("the utility is not a number", stage="prune", value=reached)
        tried.append((percentile, threshold, reached))
    percentile, threshold, reached = max(reversed(tried), key=lambda one: one[2])  # max takes the first of equals
    return Pruning(threshold, percentile, reached, _below(weights, threshold), tuple(tried))


def pruned_value(lists: UtilityLists, dropped: Collection[str], k: int) -> float:
    """The mean utility of the first K items when some sources are left out and all others stay.

    Args:
        lists: Utilities and sources of the validation queries.
        dropped: Sources to leave out; those that are not in the lists change nothing.
        k: How many items count; the sum of their utilities is divided by it.

    Raises:
        UsageError: k is not positive.
    """
    kept = np.array([name not in dropped for name in lists.names], dtype=np.float64)
    return importance(lists, kept, k).value


def _below(weights: Mapping[str, float], threshold: float) -> frozenset[str]:
    """The sources with a smaller weight."""
    return frozenset(source for source, weight in weights.items() if weight < threshold)
