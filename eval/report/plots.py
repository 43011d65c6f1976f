"""The plots of effectiveness against cost as they stand in the page, without any script."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from rankloom.eval.pareto import TradeOff, trade_off
from rankloom.eval.pareto_plot import pareto_svg

if TYPE_CHECKING:
    from rankloom.eval.results import ExperimentResult

#: Width and height of the drawings, of which the style shows the one that fits: letters keep their size.
_SIZES = {"on-wide": (560, 360), "on-narrow": (340, 320)}


def trade_offs_html(result: ExperimentResult, costs: Sequence[str]) -> str:
    """The first measure against some costs.

    Args:
        result: What the experiment gave.
        costs: Names of `rankloom.eval.costs.COSTS`.
    """
    trades = [trade_off(result, result.summary.measures[0], cost) for cost in costs]
    drawn = "".join(_figure(trade) for trade in trades if trade.points)
    figures = f'<div class="trades">{drawn}</div>' if drawn else ""
    return figures + "".join(
        f'<p class="reading">{escape(f"No plot of {_title(trade)}. {_told(trade)}")}</p>'
        for trade in trades
        if not trade.points
    )


def _figure(trade: TradeOff) -> str:
    """One plot, and what it shows in words."""
    drawings = "".join(
        f'<div class="{kind}">{pareto_svg(trade, width=width, height=height, id=f"{kind}-{trade.cost.name}")}</div>'
        for kind, (width, height) in _SIZES.items()
    )
    return (
        f'<figure class="trade"><figcaption>{escape(_title(trade))}</figcaption>{drawings}'
        f'<p class="reading">{escape(_told(trade))}</p></figure>'
    )


def _title(trade: TradeOff) -> str:
    """What stands against what."""
    return f"{trade.measure} against {trade.cost.header}"


def _told(trade: TradeOff) -> str:
    """What is on the front; what is left out, and why."""
    told = [f"On the Pareto front, from the cheapest: {', '.join(trade.front)}."] if trade.front else []
    reasons: dict[str, list[str]] = defaultdict(list)
    for name, reason in trade.left_out.items():
        reasons[reason].append(name)
    told += [f"Left out, because {reason}: {', '.join(names)}." for reason, names in reasons.items()]
    return " ".join(told)
