"""Retrieved lists as data importance sees them: the utility and the source of each item."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import DataError, UsageError

#: The source of an item that has none, or none that is weighed: the item always exists.
UNKNOWN = -1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UtilityLists:
    """What was retrieved for each query, best first, padded to one length.

    Args:
        utilities: How useful each item is by itself, 0 to 1; float64 of shape (queries, depth).
        sources: Each item's place in `names`, or `UNKNOWN`; int64 of shape (queries, depth).
        mask: True where there is an item, False for padding below a shorter list; bool of shape (queries, depth).
        names: The sources that have a weight, without repetition.
        query_ids: The queries; empty, or one for each list.
        missing: Judged queries for which nothing was retrieved; their lists are empty and count as 0.
        unjudged_queries: Queries of the run that were left out because nothing is known of their utilities.

    Raises:
        DataError: A utility is not between 0 and 1, a source is not a place in `names`, or a name stands twice.
        UsageError: The shapes do not fit.

    Example:
        >>> lists = UtilityLists(
        ...     utilities=np.array([[1.0, 0.0], [0.5, 0.0]]),
        ...     sources=np.array([[0, 1], [UNKNOWN, UNKNOWN]]),
        ...     mask=np.array([[True, True], [True, False]]),
        ...     names=("wiki", "forum"),
        ... )
        >>> lists.existence(np.array([0.5, 0.25])).tolist()
        [[0.5, 0.25], [1.0, 0.0]]
    """

    utilities: NDArray[np.float64]
    sources: NDArray[np.int64]
    mask: NDArray[np.bool_]
    names: tuple[str, ...]
    query_ids: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unjudged_queries: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what the gradient is not defined for."""
        shapes = {self.utilities.shape, self.sources.shape, self.mask.shape}
        if len(shapes) != 1 or self.utilities.ndim != 2:
            raise UsageError("utilities, sources and mask need one shape", value=shapes, accepted="(queries, depth)")
        if self.query_ids and len(self.query_ids) != len(self.utilities):
            raise UsageError("needs one query id for each list", value=(len(self.query_ids), len(self.utilities)))
        if len(set(self.names)) != len(self.names):
            raise DataError("a source is named twice", value=next(n for n in self.names if self.names.count(n) > 1))
        held = self.utilities[self.mask]
        wrong = ~((held >= 0) & (held <= 1))  # NaN is wrong, too
        if wrong.any():
            raise DataError("a utility is out of range", value=float(held[wrong][0]), accepted="0 to 1")
        places = self.sources[self.mask]
        wrong = (places < UNKNOWN) | (places >= len(self.names))
        if wrong.any():
            raise DataError("a source is not among the names", value=int(places[wrong][0]))

    def __len__(self) -> int:
        """How many lists there are."""
        return len(self.utilities)

    def lengths(self) -> NDArray[np.int64]:
        """One past the rank of the last item of each list; int64 of shape (queries,)."""
        ranks = np.arange(1, self.mask.shape[1] + 1)
        lengths: NDArray[np.int64] = np.max(self.mask * ranks, axis=1, initial=0).astype(np.int64)
        return lengths

    def existence(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """How likely each item exists: the weight of its source, 1 if that is unknown, 0 for padding.

        Args:
            weights: One for each of `names`, 0 to 1; float64 of shape (sources,).

        Raises:
            UsageError: Another number of weights than sources, or a weight that is not between 0 and 1.
        """
        weights = np.asarray(weights, dtype=np.float64)
        if weights.shape != (len(self.names),) or not ((weights >= 0) & (weights <= 1)).all():
            raise UsageError("needs a weight from 0 to 1 for each source", stage="importance", value=weights.shape)
        with_unknown = np.append(weights, 1.0)  # the place UNKNOWN, -1, is the last
        return np.asarray(np.where(self.mask, with_unknown[np.where(self.mask, self.sources, UNKNOWN)], 0.0))

    def by_source(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum of values of items over each source; float64 of shape (sources,)."""
        known = self.mask & (self.sources != UNKNOWN)
        return np.bincount(self.sources[known], values[known], minlength=len(self.names)).astype(np.float64)
