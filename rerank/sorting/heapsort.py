"""Heapsort: the best k, one after the other, from a heap."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from rankloom.rerank.sorting.choice import BestOf, Part, best_by_pairs, questions_for, side_by_side
from rankloom.rerank.sorting.question import Rounds, Sorting


class Heapsort(Sorting):
    """A heap in which no hit has a child that beats it; its root is taken k times (Qin et al.; Zhuang et al., setwise).

    All parts of the heap that lie side by side are built at once; then each root has to be known before the next. A hit
    sinks at most from the root to a leaf, so contradicting answers can not make it endless. Where nobody can tell, the
    hit wins that ranked higher before: a leaf that comes to the root must not stay there for want of an answer.

    Args:
        hits: How many there are.
        k: How many of the best are wanted; the others keep the order they had.
        children: Children of a place in the heap: 2 for pairs; for sets, as many as fit a prompt, less one.
        best_of: Finds the best of a place and its children.
    """

    def __init__(self, hits: int, *, k: int, children: int = 2, best_of: BestOf = best_by_pairs) -> None:
        super().__init__(hits)
        self.k, self.children, self.best_of = min(k, hits), children, best_of
        self._heap = list(range(hits))
        self._taken: list[int] = []
        self._sinking: int | None = None  # came from a leaf to the root; where it belongs is not known yet

    def rounds(self) -> Rounds:
        """The heap's levels from the bottom, then the best k."""
        for level in self._levels():
            yield from side_by_side(self._sunk(place) for place in level)
        while len(self._taken) < self.k:
            self._taken.append(self._heap[0])
            last = self._heap.pop()
            if self._heap and len(self._taken) < self.k:
                self._heap[0] = self._sinking = last
                yield from self._sunk(0)
                self._sinking = None
            elif self._heap:
                self._heap[0] = last
        self._heap.sort()

    def order(self) -> list[int]:
        """Those taken, then the heap as it lies; in the end, those not taken as before."""
        rest = [hit for hit in self._heap if hit != self._sinking]
        return [*self._taken, *rest, *([] if self._sinking is None else [self._sinking])]

    def settled(self) -> int:
        """Those taken; before the first is, all."""
        return len(self._taken) or self.hits

    def bounds(self) -> tuple[int, int]:
        """Once for each place with children, at least; every hit that sinks does so to the bottom, at most."""
        places = [place for level in self._levels() for place in level]
        least = sum(questions_for(1 + len(self._below(place, self.hits)), self.best_of) for place in places)
        most = sum(self._deepest(place, self.hits) for place in places)
        most += sum(self._deepest(0, self.hits - taken) for taken in range(1, self.k))
        return least, most

    def _levels(self) -> Iterator[range]:
        """Places that have children, level by level from the bottom."""
        parents = (self.hits - 2) // self.children + 1 if self.hits > 1 else 0
        starts = [0]
        while starts[-1] < parents:
            starts.append(starts[-1] * self.children + 1)
        for first, end in reversed(list(pairwise(starts))):
            yield range(first, min(end, parents))

    def _below(self, place: int, size: int) -> range:
        """The children of a place in a heap of some size."""
        first = place * self.children + 1
        return range(first, min(first + self.children, size))

    def _sunk(self, place: int) -> Part[None]:
        """Let the hit of a place sink below every child that beats it."""
        heap = self._heap
        while below := self._below(place, len(heap)):
            members = sorted([heap[place], *(heap[child] for child in below)])
            best = yield from self.best_of(tuple(members))
            if best == heap[place]:
                return
            child = heap.index(best, below.start, below.stop)
            heap[place], heap[child] = heap[child], heap[place]
            place = child

    def _deepest(self, place: int, size: int) -> int:
        """Most questions that a hit asks which sinks from a place."""
        below = self._below(place, size)
        if not below:
            return 0
        return questions_for(1 + len(below), self.best_of) + max(self._deepest(child, size) for child in below)
