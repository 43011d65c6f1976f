"""All pairs: every hit against every other."""

from __future__ import annotations

from collections.abc import Iterator

from rankloom.rerank.sorting.question import Answer, Compare, Preference, Rounds, Sorting

# Margins are rounded to multiples of 1 / _GRAINS, so that their sums are exact, in whatever order they are summed, and
# hits that are compared alike have the same points.
_GRAINS = 1 << 24


class AllPair(Sorting):
    """A hit's points are the hits that it beats, a tie counting half (Qin et al., PRP-Allpair); ties by rank before.

    Of answers that come with a margin (`Preference`), a hit's points are how likely it is to beat each of the others:
    SYM-SUM of Pradeep et al., The Expando-Mono-Duo Design Pattern, 2021 (arXiv:2101.05667), but for a constant.

    The pairs come in rounds in which every hit meets one other, so that a ranking is fair wherever it stops: a pair
    that was not asked about counts as a tie. Most questions of all, and the least harmed by answers that contradict.

    Args:
        hits: How many there are.
        k: How many of the best are wanted. Pairs of two hits that can no longer be among them are left out, which
            changes nothing above; the hits below keep the order they had. None: all of them.
    """

    def __init__(self, hits: int, *, k: int | None = None) -> None:
        super().__init__(hits)
        self.k = hits if k is None else min(k, hits)
        self._balance = [0.0] * hits  # wins less losses: points, but for half the number of other hits
        self._left = [hits - 1] * hits  # whom each has still to meet
        self._done = hits < 2

    def rounds(self) -> Rounds:
        """One round for each hit but one; of an odd number, one hit rests in each."""
        for pairs in meetings(self.hits):
            out = self._out()
            asked = [Compare(a, b) for a, b in pairs if not (out[a] and out[b])]
            answers = yield asked
            for one, answer in zip(asked, answers, strict=True):
                for winner in answer:
                    self._balance[winner] += _margin(answer)
                    self._balance[one.first + one.second - winner] -= _margin(answer)
            for a, b in pairs:
                self._left[a] -= 1
                self._left[b] -= 1
        self._done = True

    def order(self) -> list[int]:
        """By points; below the best k, once they are known, as before."""
        best = sorted(range(self.hits), key=lambda hit: (-self._balance[hit], hit))
        if not self._done:
            return best
        return best[: self.k] + sorted(best[self.k :])

    def settled(self) -> int:
        """The best k; before the end, all."""
        return self.k if self._done else self.hits

    def bounds(self) -> tuple[int, int]:
        """All pairs; those of the best k with all, at least."""
        pairs = self.hits * (self.hits - 1) // 2
        beyond = self.hits - self.k
        return pairs - beyond * (beyond - 1) // 2, pairs

    def _out(self) -> list[bool]:
        """For each hit, whether k others will stand above it, however the pairs end that are left."""
        if self.k == self.hits:
            return [False] * self.hits
        lowest = sorted((-(self._balance[hit] - self._left[hit]), hit) for hit in range(self.hits))[: self.k]
        # the k-th best of the worst that hits can do; whoever can not reach it with all wins is out
        bar = lowest[-1]
        return [(-(self._balance[hit] + self._left[hit]), hit) > bar for hit in range(self.hits)]


def _margin(answer: Answer) -> float:
    """By how much the winner is preferred; wholly where that is not told."""
    return round(answer.margin * _GRAINS) / _GRAINS if isinstance(answer, Preference) else 1.0


def meetings(players: int) -> Iterator[list[tuple[int, int]]]:
    """A round-robin by the circle method: the first player stays, the others move on by one place a round.

    Example:
        >>> list(meetings(4))
        [[(0, 3), (1, 2)], [(0, 2), (1, 3)], [(0, 1), (2, 3)]]
    """
    circle = list(range(players + players % 2))  # an odd one out meets nobody
    for _ in range(len(circle) - 1):
        facing = zip(circle, reversed(circle), strict=True)
        pairs = [(min(pair), max(pair)) for pair, _ in zip(facing, range(len(circle) // 2), strict=False)]
        yield [pair for pair in pairs if pair[1] < players]
        circle.insert(1, circle.pop())
