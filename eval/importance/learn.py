"""Learning the weights of sources: projected gradient ascent on the expected utility."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import between, whole
from rankloom.errors import UsageError
from rankloom.eval.importance.gradient import importance
from rankloom.eval.importance.lists import UtilityLists
from rankloom.eval.importance.truncation import Tolerance


@dataclass(frozen=True, slots=True, eq=False)
class LearnedWeights:
    """Weights of sources and how they came about.

    Args:
        weights: Source -> weight, 0 to 1. A source that was never retrieved is not among them.
        values: V at the start and after each epoch; float64 of shape (epochs + 1,), or shorter if an epoch changed
            nothing.
        best_epoch: The epoch whose weights these are: the first with the highest V; 0 is the start.
        items: Items looked at in each computation of V, all queries together; int64, as long as `values`. Less than
            all of them if a tolerance was given.
    """

    weights: Mapping[str, float]
    values: NDArray[np.float64]
    best_epoch: int
    items: NDArray[np.int64]


def learn(
    lists: UtilityLists,
    k: int,
    *,
    rate: float = 10.0,
    epochs: int = 100,
    tolerance: Tolerance | None = None,
) -> LearnedWeights:
    """Learn weights that raise the expected utility of the first K items that exist (Lyu et al., 2023).

    All weights begin at 0.5. In each epoch they take a step of `rate` along the exact gradient over all queries and
    are clipped to 0 to 1. Nothing is random. A fixed rate may step over the optimum, so the weights of the epoch with
    the highest V are returned; where the authors' code differs, see `importance`.

    Args:
        lists: Utilities and sources of the queries to learn from.
        k: How many existing items count.
        rate: Learning rate; the authors' default.
        epochs: The authors' default.
        tolerance: See `importance`; depths are chosen anew in each epoch, as the weights change.

    Raises:
        UsageError: A parameter is out of range, or there is no list with a known source to learn from.

    Example:
        >>> lists = UtilityLists(
        ...     utilities=np.array([[0.0, 1.0]]), sources=np.array([[0, 1]]), mask=np.ones((1, 2), dtype=bool),
        ...     names=("forum", "wiki"),
        ... )
        >>> learn(lists, 1).weights
        {'forum': 0.0, 'wiki': 1.0}
    """
    whole(epochs, least=1, stage="learn", parameter="epochs")
    between(rate, 0, 1e9, stage="learn", parameter="rate")
    if not lists.names or not lists.mask.any():
        raise UsageError(
            "there is nothing to learn from",
            stage="learn",
            value=(len(lists), len(lists.names)),
            accepted="lists with items of known sources",
            fix="check the metadata key of the source",
        )
    tried = [np.full(len(lists.names), 0.5)]
    found = [importance(lists, tried[0], k, tolerance=tolerance)]
    for _ in range(epochs):
        weights = np.clip(tried[-1] + rate * found[-1].gradient, 0.0, 1.0)
        if np.array_equal(weights, tried[-1]):
            break
        tried.append(weights)
        found.append(importance(lists, weights, k, tolerance=tolerance))
    values = np.array([one.value for one in found])
    best = int(np.argmax(values))
    return LearnedWeights(
        weights=dict(zip(lists.names, tried[best].tolist(), strict=True)),
        values=values,
        best_epoch=best,
        items=np.array([one.depths.sum() for one in found], dtype=np.int64),
    )
