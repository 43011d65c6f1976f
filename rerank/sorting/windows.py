"""Listwise reranking: windows that are put in order as a whole."""

from __future__ import annotations

from rankloom.rerank.sorting.question import Order, Rounds, Sorting
from rankloom.rerank.sorting.schedule import Span, in_rounds, sliding


class Windows(Sorting):
    """Windows slide up from the bottom; each is put in order before the next (Sun et al., RankGPT).

    What a window puts on top climbs into the next one. The topmost window begins at the best hit, however many hits are
    left for it, and a list shorter than a window is one window.

    Args:
        hits: How many there are.
        window: Hits of a window, 2 or more.
        step: How far it moves up, less than `window`.
        repeats: Passes over the whole list.
    """

    def __init__(self, hits: int, *, window: int = 20, step: int = 10, repeats: int = 1) -> None:
        super().__init__(hits)
        self.window, self.step, self.repeats = window, step, repeats
        self._order = list(range(hits))

    def rounds(self) -> Rounds:
        """All windows that share no hit, at once."""
        for spans in in_rounds(self._spans()):
            answers = yield [Order(tuple(self._order[start:end])) for start, end in spans]
            for (start, end), answer in zip(spans, answers, strict=True):
                self._order[start:end] = answer or self._order[start:end]

    def order(self) -> list[int]:
        """As the windows have left it."""
        return list(self._order)

    def settled(self) -> int:
        """All: every hit has been in a window."""
        return self.hits

    def bounds(self) -> tuple[int, int]:
        """The windows of one pass; those of all, unless a pass finds a window as it was."""
        spans = self._spans()
        return len(spans) // self.repeats, len(spans)

    def _spans(self) -> list[Span]:
        """The windows of all passes."""
        return sliding(self.hits, self.window, self.step, [0] * self.repeats)
