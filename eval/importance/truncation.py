"""How deep a list must be looked at, so that what lies below has next to no influence on the top K."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import between, whole


@dataclass(frozen=True, slots=True)
class Tolerance:
    """An (epsilon, delta) approximation: with probability 1 - delta the utility is off by no more than epsilon.

    The probability is over which items exist. It follows that V is off by at most epsilon + delta, and the derivative
    by the probability of any item by at most (epsilon + delta) / K.

    Args:
        epsilon: Utilities up to this count as nothing when they stand at the end of a list. With 0 only items that
            really add nothing are left out.
        delta: Probability with which an item that is left out may have a say in the top K.

    Raises:
        UsageError: One of them is not between 0 and 1.
    """

    epsilon: float = 0.0
    delta: float = 1e-6

    def __post_init__(self) -> None:
        """Check the ranges."""
        between(self.epsilon, 0, 1, stage="importance", parameter="epsilon")
        between(self.delta, 0, 1, stage="importance", parameter="delta")


def needed_depths(
    utilities: NDArray[np.float64], exists: NDArray[np.float64], k: int, tolerance: Tolerance
) -> NDArray[np.int64]:
    """The least depth of each list that keeps the tolerance.

    A depth will do if every utility below it is at most epsilon, or if P(N <= K) <= delta for the number N of items
    above it that exist: otherwise K of them exist even without any one of them, so that no item below can reach the
    top K or move up when one is taken away.

    Args:
        utilities: 0 for padding; float64 of shape (queries, depth).
        exists: Probability of each item, 0 for padding; float64 of shape (queries, depth).
        k: How many existing items count.
        tolerance: What is allowed.

    Returns:
        int64 of shape (queries,).

    Raises:
        UsageError: k is not positive.

    Example:
        >>> utilities, exists = np.full((1, 100), 0.5), np.full((1, 100), 0.5)
        >>> needed_depths(utilities, exists, 1, Tolerance(delta=1e-3)).tolist()
        [21]
    """
    whole(k, least=1, stage="importance", parameter="k")
    depth = utilities.shape[1]
    ranks = np.arange(1, depth + 1)
    useful = np.max((utilities > tolerance.epsilon) * ranks, axis=1, initial=0)
    enough = np.cumsum(exists, axis=1) >= expected_items(k, tolerance.delta)
    full = np.where(enough.any(axis=1), np.argmax(enough, axis=1) + 1, depth) if depth else useful
    depths: NDArray[np.int64] = np.minimum(useful, full).astype(np.int64)
    return depths


def expected_items(k: int, delta: float) -> float:
    """How many items must be expected so that no more than K exist with a probability of at most delta.

    For a sum N of independent trials with the mean m > K, Chernoff's bound is P(N <= K) <= exp(K - m) (m / K)^K; this
    is the m for which it equals delta.

    Args:
        k: How many existing items count.
        delta: The probability; infinitely many items are needed for 0.

    Example:
        >>> round(expected_items(10, 1e-6), 2)
        36.86
    """
    from scipy.optimize import brentq

    if delta <= 0:
        return math.inf
    surprise = -math.log(delta)
    most = k + surprise + math.sqrt(surprise**2 + 2 * k * surprise)  # the weaker bound exp(-(m - K)^2 / 2m)
    return float(brentq(lambda m: m - k - k * math.log(m / k) - surprise, k, 2 * most)) if surprise else float(k)
