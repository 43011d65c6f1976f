"""A plot of effectiveness against cost as SVG: no script, no library, one string to put into a page or a file.

It takes the colour of the text around it (`currentColor`), so it fits light and dark pages; what is on the front is
told by filled marks, a line and the description, never by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

from rankloom.eval.pareto import Point, TradeOff

_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 24, 24, 52
_LETTER, _LINE = 7.2, 14  # about the size of a letter at 12 pixels; where labels may stand need not be exact
_LETTERS = ((1_000_000_000, "G"), (1_000_000, "M"), (1000, "k"))
_LOG_FROM = 20  # costs whose largest is so many times the smallest stand on a logarithmic axis


class _Axis(NamedTuple):
    """Values to pixels, and the values that are marked."""

    place: Callable[[float], float]
    ticks: list[float]


def pareto_svg(trade: TradeOff, *, width: int = 640, height: int = 400, id: str = "pareto") -> str:
    """The plot: cost to the right, effectiveness upwards, the Pareto front as a line.

    Args:
        trade: The points, from `trade_off`.
        width: In pixels.
        height: In pixels.
        id: Begins the ids inside, which must be unique in a page.
    """
    x = _cost_axis([point.cost for point in trade.points], _LEFT, width - _RIGHT)
    y = _linear_axis([point.effectiveness for point in trade.points], height - _BOTTOM, _TOP)
    name = escape(id, quote=True)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            'role="img" '
            f'aria-labelledby="{name}-title {name}-desc" font-size="12" font-family="system-ui, sans-serif" '
            'fill="currentColor" stroke="none">'
        ),
        f'<title id="{name}-title">{escape(_title(trade))}</title>',
        f'<desc id="{name}-desc">{escape(_described(trade))}</desc>',
        *_grid(x, y, width, height),
        (
            f'<text x="{(_LEFT + width - _RIGHT) / 2:.1f}" y="{height - 10}" text-anchor="middle">'
            f"{escape(trade.cost.header)}</text>"
        ),
        (
            f'<text x="14" y="{(_TOP + height - _BOTTOM) / 2:.1f}" text-anchor="middle" '
            f'transform="rotate(-90 14 {(_TOP + height - _BOTTOM) / 2:.1f})">{escape(trade.measure)}</text>'
        ),
        *_marks(trade, x, y, width),
        "</svg>",
    ]
    return "\n".join(parts)


def _title(trade: TradeOff) -> str:
    """The title in words."""
    return f"{trade.measure} against {trade.cost.header}"


def _described(trade: TradeOff) -> str:
    """What the plot shows, for those who can not see it."""
    if not trade.points:
        return "No pipeline has a known cost."
    figures = "; ".join(
        f"{point.name}: {point.effectiveness:.4f} at {trade.cost.shown(point.cost)}" for point in trade.points
    )
    return f"On the Pareto front, from the cheapest: {', '.join(trade.front)}. All pipelines: {figures}."


def _cost_axis(values: Sequence[float], start: float, end: float) -> _Axis:
    """A logarithmic axis where costs differ widely and none is 0, else a linear one."""
    if not values or min(values) <= 0 or max(values) / min(values) < _LOG_FROM:
        return _linear_axis(values, start, end)
    low, high = math.log10(min(values)), math.log10(max(values))
    margin = 0.08 * (high - low)
    low, high = low - margin, high + margin
    powers = range(math.floor(low), math.ceil(high) + 1)
    steps = (1,) if high - low > 3 else (1, 2, 5)
    marks = [step * 10.0**power for power in powers[:: math.ceil(len(powers) / 8)] for step in steps]
    ticks = [mark for mark in marks if low <= math.log10(mark) <= high]
    return _Axis(lambda value: start + (math.log10(value) - low) / (high - low) * (end - start), ticks)


def _linear_axis(values: Sequence[float], start: float, end: float) -> _Axis:
    """An axis with a margin around the values and about five round ticks."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    margin = 0.08 * (high - low) or 0.05 * abs(high) or 0.5
    low, high = low - margin, high + margin
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(times * power for times in (1, 2, 5, 10) if times * power >= rough)
    first, last = math.ceil(low / step), math.floor(high / step)
    ticks = [number * step for number in range(first, last + 1)]
    return _Axis(lambda value: start + (value - low) / (high - low) * (end - start), ticks)


def _grid(x: _Axis, y: _Axis, width: int, height: int) -> list[str]:
    """Faint lines and their values."""
    parts = ['<g stroke="currentColor" stroke-opacity="0.2">']
    parts += [f'<path d="M{x.place(tick):.1f} {_TOP}V{height - _BOTTOM}"/>' for tick in x.ticks]
    parts += [f'<path d="M{_LEFT} {y.place(tick):.1f}H{width - _RIGHT}"/>' for tick in y.ticks]
    parts += ["</g>", '<g fill-opacity="0.8">']
    for tick in x.ticks:
        parts.append(
            f'<text x="{x.place(tick):.1f}" y="{height - _BOTTOM + 18}" text-anchor="middle">{_tick(tick)}</text>'
        )
    for tick in y.ticks:
        parts.append(f'<text x="{_LEFT - 8}" y="{y.place(tick) + 4:.1f}" text-anchor="end">{tick:.4g}</text>')
    return [*parts, "</g>"]


def _tick(value: float) -> str:
    """A value on an axis, in few characters: thousands, millions and thousand millions by their letters.

    >>> [_tick(value) for value in (0.5, 1000, 250_000, 3e9)]
    ['0.5', '1k', '250k', '3G']
    """
    unit, letter = next(((unit, letter) for unit, letter in _LETTERS if abs(value) >= unit), (1, ""))
    return f"{value / unit:.4g}{letter}"


def _marks(trade: TradeOff, x: _Axis, y: _Axis, width: int) -> list[str]:
    """The front as a line, a mark for each pipeline (filled on the front), and their names."""
    by_name = {point.name: point for point in trade.points}
    places = [f"{x.place(by_name[name].cost):.1f},{y.place(by_name[name].effectiveness):.1f}" for name in trade.front]
    parts = []
    if len(places) > 1:
        parts.append(f'<polyline points="{" ".join(places)}" fill="none" stroke="currentColor" stroke-opacity="0.6"/>')
    taken = [(x.place(p.cost) - 6, y.place(p.effectiveness) - 6, 12.0, 12.0) for p in trade.points]
    for point in trade.points:
        left, top = x.place(point.cost), y.place(point.effectiveness)
        filled = "" if point.name in trade.front else ' fill-opacity="0"'
        tip = f"{point.name}: {trade.measure} {point.effectiveness:.4f}, {trade.cost.shown(point.cost)}"
        parts.append(
            f'<circle cx="{left:.1f}" cy="{top:.1f}" r="5" stroke="currentColor" stroke-width="1.5"{filled}>'
            f"<title>{escape(tip)}</title></circle>"
        )
        parts.append(_label(point, left, top, width, taken))
    return parts


def _label(point: Point, x: float, y: float, width: int, taken: list[tuple[float, float, float, float]]) -> str:
    """A pipeline's name beside its mark: the first place around it that is free, else to the right."""
    long = _LETTER * len(point.name)
    beside = [(x + 9, y + 4), (x - 9 - long, y + 4)]
    around = [*beside, *((left, base) for base in (y - 10, y + 20) for left in (x - long / 2, x + 9 - long, x - 9))]
    inside = [(left, base) for left, base in around if left >= _LEFT and left + long <= width] or around
    left, base = next((one for one in inside if not _hits((one[0], one[1] - 10, long, _LINE), taken)), inside[0])
    taken.append((left, base - 10, long, _LINE))
    return f'<text x="{left:.1f}" y="{base:.1f}">{escape(point.name)}</text>'


def _hits(box: tuple[float, float, float, float], others: Sequence[tuple[float, float, float, float]]) -> bool:
    """Whether a box (left, top, width, height) overlaps another."""
    left, top, wide, high = box
    return any(
        left < other[0] + other[2] and other[0] < left + wide and top < other[1] + other[3] and other[1] < top + high
        for other in others
    )
