"""Data importance by sampling: an independent check of the exact gradient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import whole
from rankloom.eval.importance.lists import UtilityLists

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class SampledImportance:
    """Estimates and their standard errors.

    Args:
        value: Estimate of V.
        value_error: Standard error of `value`.
        gradient: Estimate of dV / d weight of each source; float64 of shape (sources,).
        gradient_error: Standard errors of `gradient`; float64 of shape (sources,).
    """

    value: float
    value_error: float
    gradient: Floats
    gradient_error: Floats


def sample_importance(
    lists: UtilityLists, weights: NDArray[np.float64], k: int, *, samples: int = 1000, seed: int = 0
) -> SampledImportance:
    """Estimate V and its gradient, as `importance` defines them, from draws of which items exist.

    In each draw an item's derivative is U with it minus U without it. The exact way costs about as much as K draws,
    so this is a check, and a fallback only for a K so large that a table of queries x K does not fit.

    Args:
        lists: Utilities and sources.
        weights: One for each source, 0 to 1; float64 of shape (sources,).
        k: How many existing items count.
        samples: Number of draws, at least 2.
        seed: Of the draws.

    Raises:
        UsageError: k is not positive, there are fewer than 2 samples, or the weights do not fit.

    Example:
        >>> lists = UtilityLists(
        ...     utilities=np.array([[0.0, 1.0]]), sources=np.array([[0, 1]]), mask=np.ones((1, 2), dtype=bool),
        ...     names=("forum", "wiki"),
        ... )
        >>> found = sample_importance(lists, np.array([0.5, 0.5]), 1)
        >>> abs(found.value - 0.25) < 4 * found.value_error
        True
    """
    whole(k, least=1, stage="importance", parameter="k")
    whole(samples, least=2, stage="importance", parameter="samples")
    likely = lists.existence(weights)
    utilities = np.where(lists.mask, lists.utilities, 0.0)
    generator = np.random.default_rng(seed)
    draws = np.empty((samples, 1 + len(lists.names)))
    for draw in draws:
        values, marginals = _marginals(utilities, generator.random(likely.shape) < likely, k)
        draw[0] = values.sum()
        draw[1:] = lists.by_source(marginals)
    draws /= max(len(lists), 1)
    means, errors = draws.mean(axis=0), draws.std(axis=0, ddof=1) / np.sqrt(samples)
    return SampledImportance(float(means[0]), float(errors[0]), means[1:], errors[1:])


def _marginals(utilities: Floats, exists: NDArray[np.bool_], k: int) -> tuple[Floats, Floats]:
    """U of each list, and for each item U with it minus U without it, given which items exist."""
    count = np.cumsum(exists, axis=1)
    counted = np.where(exists & (count <= k), utilities, 0.0).sum(axis=1)
    last = np.where(exists & (count == k), utilities, 0.0).sum(axis=1)  # pushed out by an item that joins
    following = np.where(exists & (count == k + 1), utilities, 0.0).sum(axis=1)  # moves up when an item leaves
    other = np.where(exists, following[:, None], last[:, None])
    marginals = np.where(count - exists < k, utilities - other, 0.0)
    return counted / k, marginals / k
