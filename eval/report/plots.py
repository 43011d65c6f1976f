"""The plots as they stand in the page, without any script: effectiveness against cost, and pruning curves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from typing import TYPE_CHECKING

from rankloom.eval.pareto import TradeOff, trade_off
from rankloom.eval.pareto_plot import pareto_svg
from rankloom.eval.pruning import PRUNING
from rankloom.eval.pruning_curves import pruning_curves
from rankloom.eval.pruning_plot import pruning_svg, told

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
    drawn = "".join(
        _figure(_title(trade), partial(pareto_svg, trade), trade.cost.name, _told(trade))
        for trade in trades
        if trade.points
    )
    figures = f'<div class="trades">{drawn}</div>' if drawn else ""
    return figures + "".join(
        f'<p class="reading">{escape(f"No plot of {_title(trade)}. {_told(trade)}")}</p>'
        for trade in trades
        if not trade.points
    )


def pruning_html(result: ExperimentResult) -> str:
    """What pruners keep against what they take away, a plot for each measure that knows labels; nothing without one.

    Args:
        result: What the experiment gave.
    """
    labelled = [name for name in result.summary.measures if name in PRUNING and PRUNING[name].needs]
    found = [curves for name in labelled if (curves := pruning_curves(result, name)) is not None]
    drawn = "".join(
        _figure(f"{curves.measure} against {curves.saved}", partial(pruning_svg, curves), curves.measure, told(curves))
        for curves in found
    )
    if not drawn:
        return ""
    legend = (
        "A point for each setting of a pruner. The band joins those that no other beats in both: the Pareto front. "
        "Hollow marks are behind it."
    )
    return (
        '<section id="pruning"><h2>What pruning saves and keeps</h2>'
        f'<div class="trades">{drawn}</div><p class="legend">{legend}</p></section>'
    )


def _figure(title: str, draw: Callable[..., str], id: str, told: str) -> str:
    """One plot in each size, and what it shows in words."""
    drawings = "".join(
        f'<div class="{kind}">{draw(width=width, height=height, id=f"{kind}-{id}")}</div>'
        for kind, (width, height) in _SIZES.items()
    )
    return (
        f'<figure class="trade"><figcaption>{escape(title)}</figcaption>{drawings}'
        f'<p class="reading">{escape(told)}</p></figure>'
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
