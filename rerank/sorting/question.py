"""What a sorting algorithm may ask, what it is told, and what every algorithm offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Hashable, Sequence
from dataclasses import dataclass
from typing import Self

#: The hits that come out, best first: one, or all of an `Order`; none where nobody can tell.
Answer = tuple[int, ...]


class Preference(tuple[int, ...]):
    """An answer to `Compare` by someone who also tells how sure it is: the winner, as any answer, with a margin.

    Args:
        winner: The hit that is better.
        margin: How likely it is the better one, less how likely the other is: above 0, at most 1.

    Example:
        >>> Preference(3, 0.5) == (3,), Preference(3, 0.5).margin
        (True, 0.5)
    """

    margin: float

    def __new__(cls, winner: int, margin: float) -> Self:
        """The answer."""
        made = super().__new__(cls, (winner,))
        made.margin = margin
        return made


@dataclass(frozen=True, slots=True)
class Compare:
    """Which of two hits is better? The answer is the winner; none is a tie.

    Args:
        first: A hit.
        second: Another.
    """

    first: int
    second: int

    @property
    def members(self) -> tuple[int, ...]:
        """Both."""
        return (self.first, self.second)

    @property
    def key(self) -> Hashable:
        """Equal for questions that have the same answer: which hit is named first does not matter."""
        return frozenset(self.members)

    def allows(self, answer: Answer) -> bool:
        """Whether this is an answer to it."""
        return not answer or (len(answer) == 1 and answer[0] in self.members)


@dataclass(frozen=True, slots=True)
class Best:
    """Which of several hits is best? None means that the first of them stays what it is.

    Args:
        members: Two hits or more.
    """

    members: tuple[int, ...]

    @property
    def key(self) -> Hashable:
        """Equal for questions that have the same answer: a set is asked once, in whatever order."""
        return "best", frozenset(self.members)

    def allows(self, answer: Answer) -> bool:
        """Whether this is an answer to it."""
        return not answer or (len(answer) == 1 and answer[0] in self.members)


@dataclass(frozen=True, slots=True)
class Order:
    """In which order do these hits belong? The answer holds all of them, or none: they stay.

    Args:
        members: Two hits or more, in the order so far.
    """

    members: tuple[int, ...]

    @property
    def key(self) -> Hashable:
        """Equal for questions that have the same answer; the order so far is part of the question."""
        return "order", self.members

    def allows(self, answer: Answer) -> bool:
        """Whether this is an answer to it."""
        return not answer or sorted(answer) == sorted(self.members)


Question = Compare | Best | Order
#: Yields questions that do not depend on one another, and is sent their answers, in the same order.
Rounds = Generator[Sequence[Question], Sequence[Answer], None]


class Sorting(ABC):
    """One query's hits on their way into order.

    Hits are numbers, from 0 for the best of the stage before. Whoever carries out `rounds` may stop before its end:
    `order` is the best ranking so far at any moment. Questions may be asked again; they are to be answered from memory
    (their `key` tells which are the same), and that costs nothing.

    Args:
        hits: How many there are.
    """

    def __init__(self, hits: int) -> None:
        self.hits = hits

    @abstractmethod
    def rounds(self) -> Rounds:
        """The questions, round by round. To be carried out once."""

    @abstractmethod
    def order(self) -> list[int]:
        """All hits, best first, as far as it is known."""

    @abstractmethod
    def settled(self) -> int:
        """How many hits of `order`, from the top, stand where comparisons have put them; the others were passed by."""

    @abstractmethod
    def bounds(self) -> tuple[int, int]:
        """The least and the most questions, equal ones counted once or each, that the hits can take."""
