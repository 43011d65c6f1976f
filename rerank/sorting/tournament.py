"""Tournament: groups, whose winners meet in groups, until one is left; k times."""

from __future__ import annotations

from rankloom.rerank.sorting.choice import BestOf, best_of_set, questions_for, side_by_side
from rankloom.rerank.sorting.question import Rounds, Sorting


class Tournament(Sorting):
    """Tournament sort: after the winner has left, only the groups that it won are played again.

    Neighbours by rank meet first. The other groups are asked about again, too, and whoever answers remembers them; so
    the second best costs as many questions as the tree is high. For pairs and small sets, no algorithm here takes
    fewer. Where nobody can tell, the hit wins that ranked higher before.

    Args:
        hits: How many there are.
        k: How many of the best are wanted; the others keep the order they had.
        size: Hits in a group, 2 or more.
        best_of: Finds the best of a group.
    """

    def __init__(self, hits: int, *, k: int, size: int = 2, best_of: BestOf = best_of_set) -> None:
        super().__init__(hits)
        self.k, self.size, self.best_of = min(k, hits), size, best_of
        self._won: list[int] = []
        self._level = [0] * hits  # how far each came in the tournament under way

    def rounds(self) -> Rounds:
        """The levels of one tournament after the other; the groups of a level at once."""
        while len(self._won) < self.k:
            standing = {hit: hit for hit in range(self.hits) if hit not in self._won}  # place in the tree -> hit
            width = self.hits
            while width > 1:
                groups: dict[int, list[int]] = {}
                for place, hit in standing.items():
                    groups.setdefault(place // self.size, []).append(hit)
                winners = yield from side_by_side(self.best_of(tuple(sorted(group))) for group in groups.values())
                standing = dict(zip(groups, winners, strict=True))
                width = -(-width // self.size)
                for hit in winners:
                    self._level[hit] += 1
            self._won.append(standing[0])
            self._level = [0] * self.hits

    def order(self) -> list[int]:
        """The winners, then the others: those first that have come further in the tournament under way."""
        rest = [hit for hit in range(self.hits) if hit not in self._won]
        return self._won + sorted(rest, key=lambda hit: (-self._level[hit], hit))

    def settled(self) -> int:
        """The winners; before there is one, all."""
        return len(self._won) or self.hits

    def bounds(self) -> tuple[int, int]:
        """Those of the first tournament; and then all groups on the way of each winner."""
        first = height = 0
        width = self.hits
        while width > 1:
            groups, rest = divmod(width, self.size)
            first += groups * questions_for(self.size, self.best_of)
            first += questions_for(rest, self.best_of) if rest else 0
            width, height = -(-width // self.size), height + 1
        return first, first + (self.k - 1) * height * questions_for(self.size, self.best_of)
