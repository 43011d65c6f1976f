"""A plot of effectiveness against cost as SVG: no script, no library, one string to put into a page or a file.

It takes the colour of the text around it (`currentColor`), so it fits light and dark pages; what is on the front is
told by filled marks, a line and the description, never by colour alone.
"""

from __future__ import annotations

from html import escape

from rankloom.eval.pareto import TradeOff
from rankloom.eval.plot_axes import BOTTOM, LEFT, RIGHT, TOP, Axis, cost_axis, free_label, grid, linear_axis, opened


def pareto_svg(trade: TradeOff, *, width: int = 640, height: int = 400, id: str = "pareto") -> str:
    """The plot: cost to the right, effectiveness upwards, the Pareto front as a line.

    Args:
        trade: The points, from `trade_off`.
        width: In pixels.
        height: In pixels.
        id: Begins the ids inside, which must be unique in a page.
    """
    x = cost_axis([point.cost for point in trade.points], LEFT, width - RIGHT)
    y = linear_axis([point.effectiveness for point in trade.points], height - BOTTOM, TOP)
    parts = [
        *opened(_title(trade), _described(trade), id=id, width=width, height=height),
        *grid(x, y, width, height, across=trade.cost.header, up=trade.measure),
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


def _marks(trade: TradeOff, x: Axis, y: Axis, width: int) -> list[str]:
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
        parts.append(free_label(point.name, [(left, top)], width, taken))
    return parts
