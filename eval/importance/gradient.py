"""The exact gradient of the multilinear extension of a top-K utility (Lyu et al., 2023)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import whole
from rankloom.eval.importance.lists import UtilityLists
from rankloom.eval.importance.truncation import Tolerance, needed_depths

Floats = NDArray[np.float64]
_AT_A_TIME = 8192  # counts (queries x K) worked on at once: a few such arrays fit a core's cache


@dataclass(frozen=True, slots=True, eq=False)
class Importance:
    """Expected utility and what each source adds to it.

    Args:
        value: V, the mean over queries of the expected utility.
        gradient: dV / d weight of each source; float64 of shape (sources,).
        depths: Items of each list that were looked at; int64 of shape (queries,).
    """

    value: float
    gradient: Floats
    depths: NDArray[np.int64]


def importance(
    lists: UtilityLists, weights: NDArray[np.float64], k: int, *, tolerance: Tolerance | None = None
) -> Importance:
    """V and its gradient with respect to the weights of the sources.

    V(w) is the mean over queries of E[U(S)], where U(S) is the sum of the utilities of the first K items of S divided
    by K (also when S has fewer than K), and each item of a list is in S *independently* with the weight of its source.

    Several items of one source share a weight but not their fate, so within a list V is no longer linear in that
    weight; the chain rule still gives its exact gradient, the sum over all items of the source of dV / dp of the
    item, and that is what is returned. This is not the model in which a source exists or not as a whole. The authors'
    code averages its steps over the items of a source where this sums them: the same direction for each source, with
    a rate divided by its number of items.

    Args:
        lists: Utilities and sources.
        weights: One for each source, 0 to 1; float64 of shape (sources,).
        k: How many existing items count; K.
        tolerance: Look at no more of each list than this needs; by default at all.

    Raises:
        UsageError: k is not positive, or the weights do not fit.

    Example:
        >>> lists = UtilityLists(
        ...     utilities=np.array([[0.0, 1.0]]), sources=np.array([[0, 1]]), mask=np.ones((1, 2), dtype=bool),
        ...     names=("forum", "wiki"),
        ... )
        >>> found = importance(lists, np.array([0.5, 0.5]), 1)
        >>> found.value, found.gradient.tolist()
        (0.25, [-0.5, 0.5])
    """
    whole(k, least=1, stage="importance", parameter="k")
    exists, depths = lists.existence(weights), lists.lengths()
    if tolerance is not None:
        depths = np.minimum(depths, needed_depths(lists.utilities * lists.mask, exists, k, tolerance))
        exists *= np.arange(exists.shape[1]) < depths[:, None]
    utilities = np.where(lists.mask, lists.utilities, 0.0)
    values, gradient = np.zeros(len(lists)), np.zeros_like(exists)
    for queries in _alike(depths, min(k, exists.shape[1])):
        depth = int(depths[queries].max())
        some, of_items = value_and_gradient(utilities[queries, :depth], exists[queries, :depth], k)
        inside = np.arange(depth) < depths[queries, None]
        values[queries], gradient[queries, :depth] = some, of_items * inside
    queries_or_one = max(len(lists), 1)
    return Importance(float(values.sum() / queries_or_one), lists.by_source(gradient) / queries_or_one, depths)


def value_and_gradient(utilities: Floats, exists: Floats, k: int) -> tuple[Floats, Floats]:
    """E[U] of each list and its derivative by the probability of each item.

    With IP[j][i] the probability that exactly j of the items above i exist, and B[r][i][e] the probability that the
    r-th existing item below i has the utility e, the derivative by p_i is (Lyu et al., 2023; 1-based K)

        sum over j < K of IP[j][i] * (sum over e of (f_i - e) / K * B[K - j][i][e]
                                      + f_i / K * P(fewer than K - j items exist below i)).

    The probabilities in the bracket add up to 1, so it equals (f_i - D[K - j][i]) / K with D[r][i] the *expected*
    utility of the r-th existing item below i, 0 where there is none: the item that i pushes out. D obeys a
    recursion of its own, without a table over distinct utilities, which therefore need not be rounded. Ranks are
    walked once down and once up, O(depth x K), for all queries and counts together.

    Args:
        utilities: float64 of shape (queries, depth).
        exists: Probability of each item, 0 for padding; float64 of shape (queries, depth).
        k: How many existing items count.

    Returns:
        Expected utilities, float64 of shape (queries,), and derivatives, float64 of shape (queries, depth). For
        padding the derivative is what an item there would add.

    Raises:
        UsageError: k is not positive.

    Example:
        >>> values, gradient = value_and_gradient(np.array([[1.0, 0.5]]), np.array([[0.5, 1.0]]), 1)
        >>> values.tolist(), gradient.tolist()
        ([0.75], [[0.5, 0.25]])
    """
    whole(k, least=1, stage="importance", parameter="k")
    queries, depth = utilities.shape
    if not queries or not depth:
        return np.zeros(queries), np.zeros((queries, depth))
    f, p = np.ascontiguousarray(utilities.T), np.ascontiguousarray(exists.T)
    above = _counts_above(p, min(k, depth))
    reach = above.sum(axis=1)
    gradient = reach * f
    displaced = np.zeros_like(above[0])  # row j: the expected utility of the (K - j)-th existing item below
    for rank in reversed(range(depth)):
        gradient[rank] -= np.einsum("jq,jq->q", above[rank], displaced)
        change = np.empty_like(displaced)
        np.subtract(displaced[1:], displaced[:-1], out=change[:-1])
        np.subtract(f[rank], displaced[-1], out=change[-1])
        change *= p[rank]
        displaced += change
    values: Floats = np.einsum("iq,iq,iq->q", reach, p, f) / k
    return values, gradient.T / k


def _counts_above(p: Floats, k: int) -> Floats:
    """Probability that exactly j of the items above each rank exist, j < k; float64 of shape (depth, k, queries)."""
    depth, queries = p.shape
    above = np.zeros((depth, k, queries))
    above[0, 0] = 1.0
    for rank in range(1, depth):
        moved = above[rank - 1] * p[rank - 1]
        np.subtract(above[rank - 1], moved, out=above[rank])
        above[rank, 1:] += moved[:-1]
    return above


def _alike(depths: NDArray[np.int64], k: int) -> Iterator[NDArray[np.int64]]:
    """Places of queries with items, a few at a time, those of similar depths together."""
    order = np.argsort(depths, kind="stable")
    order = order[depths[order] > 0]
    step = max(1, _AT_A_TIME // max(k, 1))
    for start in range(0, len(order), step):
        yield order[start : start + step]
