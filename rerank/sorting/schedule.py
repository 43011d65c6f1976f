"""Windows that slide over a list from its bottom to its top, several times, and which of them may go side by side."""

from __future__ import annotations

from collections.abc import Iterable

Span = tuple[int, int]  # first place of a window, and one past its last


def sliding(hits: int, window: int, step: int, floors: Iterable[int]) -> list[Span]:
    """The windows of some passes, in the order in which they are to be worked through.

    The last window of a pass begins at its floor, however far the window before reached: no hit is left out.

    Args:
        hits: Length of the list.
        window: Most places of a window, at least 2.
        step: How far a window moves up; less than `window`, so that hits can climb from one into the next.
        floors: For each pass, the place where it ends; what is above is settled.

    Example:
        >>> sliding(5, window=2, step=1, floors=[3])
        [(3, 5)]
        >>> sliding(25, window=20, step=10, floors=[0])
        [(5, 25), (0, 15)]
    """
    spans: list[Span] = []
    for floor in floors:
        end = hits
        while end - floor > 1:
            start = max(floor, end - window)
            spans.append((start, end))
            if start == floor:
                break
            end -= step
    return spans


def in_rounds(spans: Iterable[Span]) -> list[list[Span]]:
    """Windows in rounds: those of one round share no place, and any two that do keep their order.

    So the outcome is that of one window after the other, and a later pass begins while the first is under way.

    Example:
        >>> in_rounds(sliding(5, window=2, step=1, floors=[0, 1]))
        [[(3, 5)], [(2, 4)], [(1, 3), (3, 5)], [(0, 2), (2, 4)], [(1, 3)]]
    """
    rounds: list[list[Span]] = []
    free: dict[int, int] = {}  # place -> the first round in which no earlier window holds it
    for start, end in spans:
        number = max(free.get(place, 0) for place in range(start, end))
        free.update(dict.fromkeys(range(start, end), number + 1))
        if number == len(rounds):
            rounds.append([])
        rounds[number].append((start, end))
    return rounds
