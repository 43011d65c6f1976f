"""Corrections of p-values for many comparisons: the family-wise error rate (Bonferroni, Holm), false discoveries (BH).

The family is given by the caller: in the table of an experiment, all pipelines compared under one measure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

CorrectionName = Literal["holm", "bonferroni", "benjamini_hochberg", "none"]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: p-values that can be held against a level for the whole family.

    The i-th smallest of m values is multiplied by m - i + 1, made non-decreasing, and cut off at 1. It bounds the
    probability of one or more false alarms like Bonferroni's, and is never weaker.

    Paper: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics, 1979.

    Args:
        p_values: The raw p-values of one family of tests, in any order.

    Example:
        >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
        [0.03, 0.06, 0.06]
    """
    corrected = [1.0] * len(p_values)
    largest = 0.0
    for place, number in enumerate(sorted(range(len(p_values)), key=lambda number: p_values[number])):
        largest = max(largest, min(1.0, p_values[number] * (len(p_values) - place)))
        corrected[number] = largest
    return corrected


def bonferroni(p_values: Sequence[float]) -> list[float]:
    """Bonferroni's correction: each of m values times m, cut off at 1.

    Paper: Dunn, "Multiple comparisons among means", Journal of the American Statistical Association, 1961.

    Args:
        p_values: The raw p-values of one family of tests, in any order.

    Example:
        >>> [round(p, 3) for p in bonferroni([0.01, 0.04, 0.5])]
        [0.03, 0.12, 1.0]
    """
    return [min(1.0, p_value * len(p_values)) for p_value in p_values]


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Benjamini's and Hochberg's correction: bounds the expected share of false alarms among the alarms.

    Weaker a promise than Holm's, and more powerful: fit for sorting many candidates, not for one claim. Holds for
    tests that are independent or positively dependent, as tests against one baseline are.

    Paper: Benjamini and Hochberg, "Controlling the false discovery rate: a practical and powerful approach to multiple
    testing", Journal of the Royal Statistical Society B, 1995. Computed by SciPy.

    Args:
        p_values: The raw p-values of one family of tests, in any order.

    Example:
        >>> [round(p, 3) for p in benjamini_hochberg([0.01, 0.04, 0.03])]
        [0.03, 0.04, 0.04]
    """
    if not p_values:
        return []
    from scipy.stats import false_discovery_control

    return [float(p_value) for p_value in false_discovery_control(p_values, method="bh")]


def uncorrected(p_values: Sequence[float]) -> list[float]:
    """The p-values as they are.

    Example:
        >>> uncorrected([0.01, 0.04])
        [0.01, 0.04]
    """
    return list(p_values)


@dataclass(frozen=True, slots=True)
class Correction:
    """A correction by its name.

    Args:
        title: What to call it in a sentence: "p-values are ...".
        correct: Raw p-values of one family -> corrected ones, in the same order.
    """

    title: str
    correct: Callable[[Sequence[float]], list[float]]


#: The corrections that an experiment can name.
CORRECTIONS: dict[CorrectionName, Correction] = {
    "holm": Correction("Holm-corrected", holm),
    "bonferroni": Correction("Bonferroni-corrected", bonferroni),
    "benjamini_hochberg": Correction("Benjamini-Hochberg-corrected (false discovery rate)", benjamini_hochberg),
    "none": Correction("uncorrected", uncorrected),
}
