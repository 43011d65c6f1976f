"""Which windows of a document are best, and what their scores make of the document.

The one place for both: `Cascade`, `IDCM`, its training, and cross-encoders over windows choose and add up by these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Aggregate = Literal["max", "first", "mean"]


def best_windows(scores: NDArray[np.floating[Any]], count: int | None) -> list[int]:
    """The places of the best windows, the best first; of equal ones, the earlier in the document.

    Args:
        scores: Of all windows of a document, in its order; shape (windows,).
        count: How many are wanted; None for all. A document with fewer has no more to give.
    """
    order: list[int] = np.argsort(-scores, kind="stable").tolist()
    return order[:count]


def weighted_sum(scores: Any, weights: Any) -> Any:
    """The best window's score times the first weight, the second best one's times the second, and so on.

    A document with fewer windows than weights has fewer terms: what is not there adds nothing.

    Args:
        scores: Of a document's windows, shape (windows,): an array, or a tensor, through which gradients flow.
        weights: One for each of the best windows; of the same kind, or a sequence.
    """
    known = scores.detach().cpu().float().numpy() if hasattr(scores, "detach") else np.asarray(scores)
    places = best_windows(known, len(weights))
    return sum(weights[rank] * scores[place] for rank, place in enumerate(places))


def aggregated(scores: NDArray[np.floating[Any]], how: Aggregate | Sequence[float]) -> float:
    """The score of a document.

    Args:
        scores: Of those of its windows that were read, in the document's order, at least one.
        how: The largest (`max`), that of the window that stands `first`, their `mean`, or weights of the best ones; see
            `weighted_sum`.
    """
    exact = np.asarray(scores, dtype=np.float64)
    if how == "max":
        return float(exact.max())
    if how == "first":
        return float(exact[0])
    if how == "mean":
        return float(exact.mean())
    return float(weighted_sum(exact, how))
