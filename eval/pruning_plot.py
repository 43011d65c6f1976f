"""A plot of pruning curves as SVG, without script, library or colour of its own; see `pareto_plot`.

Curves differ in their marks and dashes, and have their names beside them. Filled marks are on the front.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from rankloom.eval.pareto import Point
from rankloom.eval.plot_axes import BOTTOM, LEFT, RIGHT, TOP, free_label, grid, linear_axis, opened
from rankloom.eval.pruning_curves import PruningCurves

_SIZE = 5.5  # half the width of a mark
_BAND = 'stroke-opacity="0.15" stroke-width="10" stroke-linejoin="round" stroke-linecap="round"'
_DASHES = tuple(
    f'stroke-opacity="0.6" stroke-dasharray="{dashes}"' for dashes in ("none", "6 3", "2 3", "10 3 2 3", "1 4", "12 4")
)
#: Marks around (0, 0): a circle, and paths.
_SHAPES = (
    "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0Z",
    "M-4 -4H4V4H-4Z",
    "M0 -5.5L5 4H-5Z",
    "M0 -6L5.5 0L0 6L-5.5 0Z",
    "M0 5.5L5 -4H-5Z",
    "M-5 -1.5H-1.5V-5H1.5V-1.5H5V1.5H1.5V5H-1.5V1.5H-5Z",
)


def pruning_svg(curves: PruningCurves, *, width: int = 640, height: int = 400, id: str = "pruning") -> str:
    """The plot: what is taken away to the right, what is kept upwards.

    Args:
        curves: From `pruning_curves`.
        width: In pixels.
        height: In pixels.
        id: Begins the ids inside, which must be unique in a page.
    """
    points = [point for of_one in curves.curves.values() for point in of_one]
    x = linear_axis([point.cost for point in points], LEFT, width - RIGHT)
    y = linear_axis([point.effectiveness for point in points], height - BOTTOM, TOP)
    places = {point.name: (x.place(point.cost), y.place(point.effectiveness)) for point in points}
    parts = opened(f"{curves.measure} against {curves.saved}", _described(curves), id=id, width=width, height=height)
    parts += grid(x, y, width, height, across=curves.saved, up=curves.measure)
    parts += _line([places[name] for name in curves.front], _BAND)
    taken = [(left - _SIZE, top - _SIZE, 2 * _SIZE, 2 * _SIZE) for left, top in places.values()]
    for number, (name, of_one) in enumerate(curves.curves.items()):
        marks = [places[point.name] for point in of_one]
        parts += _line(marks, _DASHES[number % len(_DASHES)])
        parts += [_mark(point, curves, _SHAPES[number % len(_SHAPES)], places[point.name]) for point in of_one]
        parts.append(free_label(name, _middle_first(marks), width, taken))
    return "\n".join([*parts, "</svg>"])


def told(curves: PruningCurves) -> str:
    """What is on the front, and what has no place there."""
    words = [f"On the Pareto front, from the shortest texts: {', '.join(curves.front)}."] if curves.front else []
    if curves.bounds:
        words.append(f"Not compared, for it knows the labels: {', '.join(sorted(curves.bounds))}.")
    return " ".join(words)


def _described(curves: PruningCurves) -> str:
    """What the plot shows, for those who can not see it."""
    figures = [
        f"{point.name}: {point.effectiveness:.4f} at {point.cost:.4f}"
        for of_one in curves.curves.values()
        for point in of_one
    ]
    return f"{told(curves)} All points: {'; '.join(figures)}."


def _line(places: Sequence[tuple[float, float]], style: str) -> list[str]:
    """A line through some places; none through a single one."""
    points = " ".join(f"{left:.1f},{top:.1f}" for left, top in places)
    return [f'<polyline points="{points}" fill="none" stroke="currentColor" {style}/>'] if len(places) > 1 else []


def _mark(point: Point, curves: PruningCurves, shape: str, place: tuple[float, float]) -> str:
    """The mark of a point, filled on the front; its figures show where one points at it."""
    filled = "" if point.name in curves.front else ' fill-opacity="0"'
    tip = f"{point.name}: {curves.measure} {point.effectiveness:.4f}, {curves.saved} {point.cost:.4f}"
    return (
        f'<path d="{shape}" stroke="currentColor" stroke-width="1.5"{filled} '
        f'transform="translate({place[0]:.1f} {place[1]:.1f})"><title>{escape(tip)}</title></path>'
    )


def _middle_first(marks: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The marks of a curve in the order in which its name tries them."""
    middle = len(marks) // 2
    return [marks[place] for place in sorted(range(len(marks)), key=lambda place: (abs(place - middle), place))]
