"""Which pairs are compared: the methods of pairwise reranking by name."""

from __future__ import annotations

from typing import Literal

from rankloom.rerank.sorting.all_pair import AllPair
from rankloom.rerank.sorting.bubblesort import Bubblesort
from rankloom.rerank.sorting.choice import best_by_pairs
from rankloom.rerank.sorting.heapsort import Heapsort
from rankloom.rerank.sorting.question import Sorting
from rankloom.rerank.sorting.tournament import Tournament

PairMethod = Literal["all_pair", "heapsort", "sliding", "tournament"]


def by_pairs(method: PairMethod, hits: int, *, k: int) -> Sorting:
    """The algorithm of a method.

    Args:
        method: Its name.
        hits: How many hits are sorted.
        k: How many of the best are wanted.
    """
    made: dict[PairMethod, Sorting] = {
        "all_pair": AllPair(hits, k=k),
        "heapsort": Heapsort(hits, k=k),
        "sliding": Bubblesort(hits, k=k),
        "tournament": Tournament(hits, k=k, best_of=best_by_pairs),
    }
    return made[method]
