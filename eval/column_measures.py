"""The common measures, computed on columns; equal to trec_eval's, as ir-measures gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankloom.eval.relevant_hits import Integers, RelevantHits

Values = NDArray[np.float64]

_NO_CUTOFF = np.iinfo(np.int64).max


def supports(measure: Any) -> bool:
    """Whether `compute` knows this measure of ir-measures with exactly these parameters.

    Cut-offs and relevance levels below 1, `judged_only`, `gains` and other forms of DCG are left to ir-measures.

    Example:
        >>> from ir_measures import nDCG
        >>> supports(nDCG @ 10), supports(nDCG(dcg="exp-log2") @ 10)
        (True, False)
    """
    limits = [measure.params[name] for name in ("cutoff", "rel") if name in measure.params]
    others = [name for name in measure.SUPPORTED_PARAMS if name not in ("cutoff", "rel")]
    return (
        measure.NAME in _MEASURES
        and all(limit >= 1 for limit in limits)
        and all(measure[name] == measure.SUPPORTED_PARAMS[name].default for name in others)
    )


def compute(measure: Any, relevant: RelevantHits) -> Values:
    """Values of one measure.

    Args:
        measure: A measure of ir-measures that `supports` accepts.
        relevant: The relevant hits, of all grades above 0.

    Returns:
        A value for each judged query, 0 for one without hits; float64 of shape (queries,).

    Example:
        >>> from ir_measures import AP
        >>> from rankloom.ranking import Ranking
        >>> ranking = Ranking.from_lists([[("d1", 3.0), ("d2", 2.0), ("d3", 1.0)]], stage="example")
        >>> compute(AP, RelevantHits.match(ranking, np.array([0]), [{"d2": 1, "d9": 1}])).tolist()
        [0.25]
    """
    if measure.NAME == "NumRet" and "rel" not in measure.params:
        return relevant.retrieved.astype(np.float64)
    level = measure.params.get("rel", 1)
    return _MEASURES[measure.NAME](
        relevant if level == 1 else relevant.at_level(level), measure.params.get("cutoff", _NO_CUTOFF)
    )


def _ndcg(relevant: RelevantHits, cutoff: int) -> Values:
    """Gains are grades, discounted by log2(rank + 1); the ideal has all judgements, best first (Järvelin 2002)."""
    ideal_ranks = _place_in_group(relevant.judged_queries)
    ideal_gains = relevant.judged_grades / np.log2(ideal_ranks + 1)
    ideal = _sums(relevant, relevant.judged_queries, ideal_gains, ideal_ranks <= cutoff)
    gains = relevant.grades / np.log2(relevant.ranks + 1)
    return _ratio(_sums(relevant, relevant.queries, gains, relevant.ranks <= cutoff), ideal)


def _average_precision(relevant: RelevantHits, cutoff: int) -> Values:
    """Precision at the rank of each relevant hit, summed, over the number of relevant documents."""
    precisions = _place_in_group(relevant.queries) / relevant.ranks
    return _ratio(_sums(relevant, relevant.queries, precisions, relevant.ranks <= cutoff), _judged(relevant))


def _reciprocal_rank(relevant: RelevantHits, cutoff: int) -> Values:
    """1 / rank of the first relevant hit."""
    first = (_place_in_group(relevant.queries) == 1) & (relevant.ranks <= cutoff)
    return _sums(relevant, relevant.queries, 1 / relevant.ranks, first)


def _precision(relevant: RelevantHits, cutoff: int) -> Values:
    """Relevant hits up to the cut-off, over the cut-off, even where there are fewer hits."""
    return _found(relevant, cutoff) / cutoff


def _recall(relevant: RelevantHits, cutoff: int) -> Values:
    """Relevant hits up to the cut-off, over the number of relevant documents."""
    return _ratio(_found(relevant, cutoff), _judged(relevant))


def _success(relevant: RelevantHits, cutoff: int) -> Values:
    """1 where there is a relevant hit up to the cut-off."""
    return (_found(relevant, cutoff) > 0).astype(np.float64)


def _r_precision(relevant: RelevantHits, _cutoff: int) -> Values:
    """Precision at as many hits as there are relevant documents."""
    judged = _judged(relevant)
    within = relevant.ranks <= judged[relevant.queries]
    return _ratio(_sums(relevant, relevant.queries, np.ones(len(relevant.ranks)), within), judged)


def _asked(relevant: RelevantHits, _cutoff: int) -> Values:
    """1 where there are hits at all."""
    return (relevant.retrieved > 0).astype(np.float64)


def _found(relevant: RelevantHits, cutoff: int) -> Values:
    """How many relevant hits stand up to the cut-off."""
    return _sums(relevant, relevant.queries, np.ones(len(relevant.ranks)), relevant.ranks <= cutoff)


def _judged(relevant: RelevantHits) -> Values:
    """How many relevant documents each query has."""
    return np.bincount(relevant.judged_queries, minlength=len(relevant.retrieved)).astype(np.float64)


def _sums(relevant: RelevantHits, queries: Integers, values: Values, counted: NDArray[np.bool_]) -> Values:
    """Sum of the values that count, for each query."""
    sums = np.bincount(queries[counted], values[counted], minlength=len(relevant.retrieved))
    return sums.astype(np.float64)  # integers where nothing counts


def _place_in_group(groups: Integers) -> Integers:
    """1, 2, 3, ... within each stretch of equal values."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    return np.arange(len(groups)) - np.repeat(starts, np.diff(starts, append=len(groups))) + 1


def _ratio(part: Values, whole: Values) -> Values:
    """Quotients, 0 where there is nothing to divide by: queries that no document answers."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


_MEASURES: dict[str, Callable[[RelevantHits, int], Values]] = {
    "nDCG": _ndcg,
    "AP": _average_precision,
    "RR": _reciprocal_rank,
    "P": _precision,
    "R": _recall,
    "Success": _success,
    "Rprec": _r_precision,
    "NumRet": _found,
    "NumQ": _asked,
}
