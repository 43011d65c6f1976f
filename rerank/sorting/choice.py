"""Finding the best of a few hits: by one question about all of them, or by comparing pairs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from itertools import islice
from typing import TypeVar

from rankloom.rerank.sorting.question import Answer, Best, Compare, Question

T = TypeVar("T")
#: A part of an algorithm: it asks, is told, and returns something.
Part = Generator[Sequence[Question], Sequence[Answer], T]
#: Finds the best of some hits; the first of them stays the best where nobody can tell.
BestOf = Callable[[tuple[int, ...]], Part[int]]


def best_of_set(members: tuple[int, ...]) -> Part[int]:
    """One question about all, as in setwise prompting."""
    if len(members) == 1:
        return members[0]
    (answer,) = yield [Best(members)]
    return answer[0] if answer else members[0]


def best_by_pairs(members: tuple[int, ...]) -> Part[int]:
    """Each of the others in turn against the best so far, which a tie leaves in its place."""
    best = members[0]
    for other in members[1:]:
        (answer,) = yield [Compare(other, best)]
        if answer == (other,):
            best = other
    return best


def questions_for(members: int, best_of: BestOf) -> int:
    """How many questions it takes to find the best of so many hits."""
    return min(1, members - 1) if best_of is best_of_set else members - 1


def side_by_side(parts: Iterable[Part[T]]) -> Part[list[T]]:
    """Parts that do not depend on one another as one: each round asks what all of them ask.

    Returns:
        What each part returns, in order.
    """
    results: dict[int, T] = {}
    waiting: dict[int, tuple[Part[T], Sequence[Question]]] = {}
    for number, part in enumerate(parts):
        _advance(number, part, None, waiting, results)
    while waiting:
        turn, waiting = waiting, {}
        answers = iter((yield [question for _, own in turn.values() for question in own]))
        for number, (part, own) in turn.items():
            _advance(number, part, list(islice(answers, len(own))), waiting, results)
    return [results[number] for number in range(len(results))]


def _advance(
    number: int,
    part: Part[T],
    answers: Sequence[Answer] | None,
    waiting: dict[int, tuple[Part[T], Sequence[Question]]],
    results: dict[int, T],
) -> None:
    """Start a part, or send it answers; then it waits with its next questions, or there is its result."""
    try:
        waiting[number] = (part, next(part) if answers is None else part.send(answers))
    except StopIteration as end:
        results[number] = end.value
