"""Two-phase search for learned sparse retrieval: candidates by the heavy terms of a query, scores by all of them.

As OpenSearch's neural sparse two-phase processor: terms count as heavy from a share of the heaviest weight on. A
document that holds few heavy terms and many light ones can be lost, so the search is approximate; the scores of what is
found are exact. Here the number of candidates is a parameter of its own, not k times 5, so that the best k hits are the
head of any deeper ranking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankloom.order import top_order
from rankloom.retrieval.index.batches import Hits
from rankloom.retrieval.index.impact_index import ImpactIndex


class TwoPhases(NamedTuple):
    """How to search in two phases.

    Args:
        ratio: Terms are heavy whose weight is at least this share of the heaviest, 0 to 1.
        candidates: How many documents the heavy terms choose.
    """

    ratio: float
    candidates: int


def heavy_terms(query: Mapping[str, float], ratio: float) -> dict[str, float]:
    """The terms of a query whose weight is at least a share of the heaviest; the sign does not count.

    Example:
        >>> heavy_terms({"sky": 2.0, "blue": 0.8, "the": 0.1}, 0.4)
        {'sky': 2.0, 'blue': 0.8}
    """
    least = ratio * max((abs(weight) for weight in query.values()), default=0.0)
    return {term: weight for term, weight in query.items() if abs(weight) >= least}


def search_in_two_phases(
    index: ImpactIndex, queries: Sequence[Mapping[str, float]], k: int, phases: TwoPhases, *, reach: float = 1.0
) -> tuple[Hits, list[bool]]:
    """The best k of the documents that the heavy terms of each query choose, by all of its terms.

    A query without light terms is searched as usual, and so is one whose heavy terms find fewer documents than there
    may be candidates.

    Args:
        index: Impacts.
        queries: Weights by term.
        k: How many hits a query gets at most, no more than there are candidates.
        phases: What is heavy, and how many candidates there are.
        reach: As for `ImpactIndex.search_impacts`.

    Returns:
        Hits, and for each query whether documents may be lost by the choice of candidates.
    """
    asked = [{term: weight for term, weight in query.items() if weight} for query in queries]
    heavy = [heavy_terms(query, phases.ratio) for query in asked]
    light = [place for place, query in enumerate(asked) if len(heavy[place]) < len(query)]
    found = index.search_impacts([heavy[place] for place in light], phases.candidates, reach=reach)
    parts: dict[int, tuple[NDArray[np.int32], NDArray[np.float32]]] = {}
    for number, place in enumerate(light):
        codes = found.codes[found.offsets[number] : found.offsets[number + 1]]
        if len(codes) == phases.candidates:
            scores = index.impact_scores(queries[place], codes)
            best = top_order(codes, scores, k)
            parts[place] = codes[best], scores[best]
    rest = [place for place in range(len(queries)) if place not in parts]
    whole = index.search_impacts([queries[place] for place in rest], k, reach=reach)
    for number, place in enumerate(rest):
        here = slice(*whole.offsets[number : number + 2].tolist())
        parts[place] = whole.codes[here], whole.scores[here]
    lists = [parts[place] for place in range(len(queries))]
    return Hits(
        np.cumsum([0, *(len(codes) for codes, _ in lists)], dtype=np.int64),
        np.concatenate([np.zeros(0, dtype=np.int32), *(codes for codes, _ in lists)]),
        np.concatenate([np.zeros(0, dtype=np.float32), *(scores for _, scores in lists)]),
    ), [place not in rest for place in range(len(queries))]
