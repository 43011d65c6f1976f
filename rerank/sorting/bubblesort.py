"""Bubblesort: passes from the bottom to the top, each of which carries one more hit to its place."""

from __future__ import annotations

from rankloom.rerank.sorting.choice import BestOf, best_by_pairs, questions_for, side_by_side
from rankloom.rerank.sorting.question import Rounds, Sorting
from rankloom.rerank.sorting.schedule import Span, in_rounds, sliding


class Bubblesort(Sorting):
    """Windows slide up from the bottom, and the best of each changes places with its top hit.

    With one child and pairs this is PRP-Sliding-k (Qin et al.), with several and sets the bubblesort of setwise
    prompting (Zhuang et al.). A later pass begins while earlier ones are under way; the outcome is the same. Where
    nobody can tell, the hit stays that stands higher.

    Args:
        hits: How many there are.
        k: Passes; after so many, the best k are as good as the answers.
        children: Hits of a window besides its top one.
        best_of: Finds the best of a window.
    """

    def __init__(self, hits: int, *, k: int, children: int = 1, best_of: BestOf = best_by_pairs) -> None:
        super().__init__(hits)
        self.k, self.children, self.best_of = min(k, hits), children, best_of
        self._order = list(range(hits))

    def rounds(self) -> Rounds:
        """All windows that share no hit, at once."""
        for spans in in_rounds(self._spans()):
            groups = [tuple(self._order[start:end]) for start, end in spans]
            winners = yield from side_by_side(self.best_of(group) for group in groups)
            for (start, end), best in zip(spans, winners, strict=True):
                place = self._order.index(best, start, end)
                self._order[start], self._order[place] = self._order[place], self._order[start]

    def order(self) -> list[int]:
        """As the passes have left it."""
        return list(self._order)

    def settled(self) -> int:
        """All: every hit has been compared."""
        return self.hits

    def bounds(self) -> tuple[int, int]:
        """Those of the first pass; those of all, of which a later pass repeats many."""
        asked = [(start, end, questions_for(end - start, self.best_of)) for start, end in self._spans()]
        first = next((number for number, (start, _, _) in enumerate(asked) if start == 0), -1)
        return sum(one for _, _, one in asked[: first + 1]), sum(one for _, _, one in asked)

    def _spans(self) -> list[Span]:
        """The windows of all passes; what earlier passes have settled is left alone."""
        return sliding(self.hits, self.children + 1, self.children, range(self.k))
