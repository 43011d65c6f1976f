"""Axes of the plots: values to pixels, round ticks, a faint grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

LEFT, RIGHT, TOP, BOTTOM = 64, 24, 24, 52  # what is kept free around a plot, in pixels
#: Left, top, width and height.
Box = tuple[float, float, float, float]
_LETTER, _LINE = 7.2, 14  # about the size of a letter at 12 pixels; where labels may stand need not be exact
_LETTERS = ((1_000_000_000, "G"), (1_000_000, "M"), (1000, "k"))
_LOG_FROM = 20  # costs whose largest is so many times the smallest stand on a logarithmic axis


class Axis(NamedTuple):
    """Values to pixels, and the values that are marked."""

    place: Callable[[float], float]
    ticks: list[float]


def cost_axis(values: Sequence[float], start: float, end: float) -> Axis:
    """A logarithmic axis where costs differ widely and none is 0, else a linear one."""
    if not values or min(values) <= 0 or max(values) / min(values) < _LOG_FROM:
        return linear_axis(values, start, end)
    low, high = math.log10(min(values)), math.log10(max(values))
    margin = 0.08 * (high - low)
    low, high = low - margin, high + margin
    powers = range(math.floor(low), math.ceil(high) + 1)
    steps = (1,) if high - low > 3 else (1, 2, 5)
    marks = [step * 10.0**power for power in powers[:: math.ceil(len(powers) / 8)] for step in steps]
    ticks = [mark for mark in marks if low <= math.log10(mark) <= high]
    return Axis(lambda value: start + (math.log10(value) - low) / (high - low) * (end - start), ticks)


def linear_axis(values: Sequence[float], start: float, end: float) -> Axis:
    """An axis with a margin around the values and about five round ticks."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    margin = 0.08 * (high - low) or 0.05 * abs(high) or 0.5
    low, high = low - margin, high + margin
    rough = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(times * power for times in (1, 2, 5, 10) if times * power >= rough)
    first, last = math.ceil(low / step), math.floor(high / step)
    ticks = [number * step for number in range(first, last + 1)]
    return Axis(lambda value: start + (value - low) / (high - low) * (end - start), ticks)


def opened(title: str, description: str, *, id: str, width: int, height: int) -> list[str]:
    """The beginning of a drawing that takes the colour of the text around it.

    Args:
        title: What it is, in words.
        description: What it shows, for those who can not see it.
        id: Begins the ids inside, which must be unique in a page.
        width: In pixels.
        height: In pixels.
    """
    name = escape(id, quote=True)
    box = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    named = f'role="img" aria-labelledby="{name}-title {name}-desc"'
    font = 'font-size="12" font-family="system-ui, sans-serif"'
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} {named} {font} fill="currentColor" stroke="none">',
        f'<title id="{name}-title">{escape(title)}</title>',
        f'<desc id="{name}-desc">{escape(description)}</desc>',
    ]


def grid(x: Axis, y: Axis, width: int, height: int, *, across: str, up: str) -> list[str]:
    """Faint lines and their values, and what the axes stand for."""
    parts = ['<g stroke="currentColor" stroke-opacity="0.2">']
    parts += [f'<path d="M{x.place(tick):.1f} {TOP}V{height - BOTTOM}"/>' for tick in x.ticks]
    parts += [f'<path d="M{LEFT} {y.place(tick):.1f}H{width - RIGHT}"/>' for tick in y.ticks]
    parts += ["</g>", '<g fill-opacity="0.8">']
    for tick in x.ticks:
        parts.append(
            f'<text x="{x.place(tick):.1f}" y="{height - BOTTOM + 18}" text-anchor="middle">{_tick(tick)}</text>'
        )
    for tick in y.ticks:
        parts.append(f'<text x="{LEFT - 8}" y="{y.place(tick) + 4:.1f}" text-anchor="end">{tick:.4g}</text>')
    middle = (TOP + height - BOTTOM) / 2
    turned = f'text-anchor="middle" transform="rotate(-90 14 {middle:.1f})"'
    return [
        *parts,
        "</g>",
        f'<text x="{(LEFT + width - RIGHT) / 2:.1f}" y="{height - 10}" text-anchor="middle">{escape(across)}</text>',
        f'<text x="14" y="{middle:.1f}" {turned}>{escape(up)}</text>',
    ]


def free_label(name: str, marks: Sequence[tuple[float, float]], width: int, taken: list[Box]) -> str:
    """A name beside a mark: the first place that is free around the first mark that has one, else to its right.

    Args:
        name: The name.
        marks: Where marks stand that it may be put to, the best first.
        width: Of the drawing.
        taken: What is covered; the name is added.
    """
    long = _LETTER * len(name)
    places = [place for x, y in marks for place in _around(x, y, long)]
    inside = [(left, base) for left, base in places if left >= LEFT and left + long <= width] or places
    left, base = next((one for one in inside if not _hits((one[0], one[1] - 10, long, _LINE), taken)), inside[0])
    taken.append((left, base - 10, long, _LINE))
    return f'<text x="{left:.1f}" y="{base:.1f}">{escape(name)}</text>'


def _around(x: float, y: float, long: float) -> list[tuple[float, float]]:
    """Where a name of a length may begin beside a mark: right, left, above, below."""
    beside = [(x + 9, y + 4), (x - 9 - long, y + 4)]
    return [*beside, *((left, base) for base in (y - 10, y + 20) for left in (x - long / 2, x + 9 - long, x - 9))]


def _hits(box: Box, others: Sequence[Box]) -> bool:
    """Whether a box overlaps another."""
    left, top, wide, high = box
    return any(
        left < other[0] + other[2] and other[0] < left + wide and top < other[1] + other[3] and other[1] < top + high
        for other in others
    )


def _tick(value: float) -> str:
    """A value on an axis, in few characters: thousands, millions and thousand millions by their letters.

    >>> [_tick(value) for value in (0.5, 1000, 250_000, 3e9)]
    ['0.5', '1k', '250k', '3G']
    """
    unit, letter = next(((unit, letter) for unit, letter in _LETTERS if abs(value) >= unit), (1, ""))
    return f"{value / unit:.4g}{letter}"
