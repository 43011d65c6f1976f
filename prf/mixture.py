"""How a query and its feedback documents are mixed, as vectors of any kind: the average, and Rocchio's formula."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import between, choice, whole
from rankloom.errors import UsageError

Method = Literal["average", "rocchio"]
_PUBLISHED_DOCS = {"average": 3, "rocchio": 5}
_PUBLISHED_ALPHA, _PUBLISHED_BETA = 0.4, 0.6
_LARGEST_WEIGHT = 1e6  # only keeps infinity and NaN out


class Mixture(NamedTuple):
    """The settings of a mixture, checked; see `VectorPRF` for what they say.

    Args:
        docs: How many of the best documents are read.
        alpha: Weight of the query; None for the average, as the next.
        beta: Weight of the mean of the best documents.
        gamma: Weight of the mean of the last documents, which is taken away.
        negatives: How many of the last documents are read.
    """

    docs: int
    alpha: float | None
    beta: float | None
    gamma: float
    negatives: int

    @classmethod
    def checked(
        cls,
        method: Method,
        *,
        docs: int | None,
        alpha: float | None,
        beta: float | None,
        gamma: float,
        negatives: int,
        stage: str,
    ) -> Mixture:
        """The settings of a method, with what Pyserini recommends where None is given.

        Raises:
            UsageError: One is out of range or belongs to the other method, they weigh nothing, or one of `gamma` and
                `negatives` is given without the other.
        """
        choice(method, get_args(Method), stage=stage, parameter="method")
        made = cls(
            whole(_PUBLISHED_DOCS[method] if docs is None else docs, least=1, stage=stage, parameter="docs"),
            _weight("alpha", alpha, _PUBLISHED_ALPHA, method, stage),
            _weight("beta", beta, _PUBLISHED_BETA, method, stage),
            between(gamma, 0, _LARGEST_WEIGHT, stage=stage, parameter="gamma"),
            whole(negatives, least=0, stage=stage, parameter="negatives"),
        )
        if (gamma or negatives) and not (method == "rocchio" and gamma and negatives):
            raise UsageError(
                "gamma weighs the negatives of method rocchio",
                stage=stage,
                value={"method": method, "gamma": gamma, "negatives": negatives},
                fix="give both gamma and negatives, with method='rocchio', or neither",
            )
        if method == "rocchio" and not (made.alpha or made.beta or made.gamma):
            raise UsageError("the weights are all 0", stage=stage, fix="give alpha or beta a weight")
        return made

    def shares(self, counts: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The weights of the query and of the mean of the best documents, float64 of shape (queries,) each.

        Args:
            counts: How many of the best documents there are for each query; int64 of shape (queries,).
        """
        if self.alpha is None or self.beta is None:  # the average: each of count + 1 vectors counts the same
            return 1 / (counts + 1), counts / (counts + 1)
        return np.full(len(counts), self.alpha), np.full(len(counts), self.beta)


def _weight(parameter: str, value: float | None, published: float, method: Method, stage: str) -> float | None:
    """A weight of Rocchio's formula; the average has none."""
    if method == "rocchio":
        return between(published if value is None else value, 0, _LARGEST_WEIGHT, stage=stage, parameter=parameter)
    if value is not None:
        raise UsageError(
            f"{parameter} belongs to another method",
            stage=stage,
            value=value,
            fix=f"pass method='rocchio', or {parameter}=None",
        )
    return None
