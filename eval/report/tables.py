"""The tables that stand in the report without any script: results, tests, costs, notes and failures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from rankloom.eval.costs import COSTS
from rankloom.eval.table import Cell, Summary

if TYPE_CHECKING:
    from rankloom.eval.results import ExperimentResult
    from rankloom.ledger import Ledger

_MARKS = {"+": ("up", "▲", "significantly better"), "-": ("down", "▼", "significantly worse"), "": ("", "", "")}
#: How the page marks significance, for `Summary.legend`.
MARKS = "▲ and ▼"


def summary_html(summary: Summary) -> str:
    """Means, intervals, differences and marks.

    Args:
        summary: The table.
    """
    best = {measure: max(row.cells[measure].mean for row in summary.rows) for measure in summary.measures}
    rows = []
    for row in summary.rows:
        name = _breakable(row.name)
        if row.name == summary.baseline:
            name += ' <span class="tag">baseline</span>'
        cells = [_summary_cell(row.cells[measure], best[measure]) for measure in summary.measures]
        missing = _number(len(row.missing), str(len(row.missing)))
        rows.append([f'<th scope="row" data-value="{escape(row.name)}">{name}</th>', *cells, missing])
    return _table("summary", ["pipeline", *summary.measures, "no hits"], rows, caption="Results of all pipelines")


def comparisons_html(summary: Summary) -> str:
    """The comparisons with the baseline; nothing when there are none."""
    tests = summary.tests()
    if not tests:
        return ""
    rows = [_texts(cells, names=2) for cells in tests]
    return _table("tests", summary.tests_header(), rows, caption=f"Comparisons with {summary.baseline}")


def costs_html(result: ExperimentResult) -> str:
    """Every measure of cost that is known, for each pipeline, and what came from the cache."""
    costs = {name: outcome.costs() for name, outcome in result.outcomes.items()}
    known = [measure for measure in COSTS.values() if any(measure.name in found for found in costs.values())]
    rows = []
    for name, outcome in result.outcomes.items():
        cells = [f'<th scope="row" data-value="{escape(name)}">{_breakable(name)}</th>']
        for measure in known:
            value = costs[name].get(measure.name)
            shown = f"{value:,.0f}" if value is not None and measure.unit == "bytes" else measure.shown(value)
            cells.append(_number(value, shown))
        cached, asked = outcome.cached()
        cells.append(_number(cached / asked if asked else 0, f"{cached:,} of {asked:,}"))
        rows.append(cells)
    header = ["pipeline", *(measure.header for measure in known), "from the cache"]
    return _table("costs", header, rows, caption="Cost of this run")


def stage_costs_html(result: ExperimentResult) -> str:
    """What every stage of every pipeline spent; milliseconds of single queries where these were timed."""
    timed = any(outcome.latency is not None for outcome in result.outcomes.values())
    rows = []
    for name, outcome in result.outcomes.items():
        latencies = {} if outcome.latency is None else outcome.latency.stages
        for stage, cost in outcome.run.ledger.by_stage().items():
            cells = _texts([name, stage], names=2)
            cells += [_number(cost.seconds, f"{cost.seconds:,.3f}")]
            cells += [_number(amount, f"{amount:,}") for amount in (cost.tokens, cost.calls)]
            if timed:
                levels = (latencies[stage].p50, latencies[stage].p95) if stage in latencies else (None, None)
                cells += [_number(level, "-" if level is None else f"{level:.4g}") for level in levels]
            share = cost.cached / cost.inputs if cost.inputs else 0
            rows.append([*cells, _number(share, f"{cost.cached:,} of {cost.inputs:,}")])
    levels_header = ["p50 (ms)", "p95 (ms)"] if timed else []
    header = ["pipeline", "stage", "seconds", "tokens", "calls", *levels_header, "from the cache"]
    return _table("stage-costs", header, rows, caption="What each stage spent on all queries")


def notes_html(result: ExperimentResult) -> str:
    """How many notes of each kind each pipeline has; what users would otherwise never learn."""
    ledgers = {name: outcome.ledger for name, outcome in result.outcomes.items()}
    ledgers |= {f"index of {name}": ledger for name, ledger in result.index_ledgers().items()}
    rows = [_texts([name, _in_words(ledger)], names=2) for name, ledger in ledgers.items()]
    return _table("notes", ["pipeline", "notes"], rows, caption="Notes of the ledger")


def _summary_cell(cell: Cell, best: float) -> str:
    """A mean, its interval, the difference and its mark."""
    kind = "mean best" if cell.mean == best else "mean"
    parts = [f'<span class="{kind}">{cell.mean:.4f}</span>']
    if cell.interval is not None:
        parts.append(f'<span class="interval">[{cell.interval.low:.4f}, {cell.interval.high:.4f}]</span>')
    if cell.delta is not None:
        colour, glyph, words = _MARKS[cell.mark]
        sign = f' <span aria-hidden="true">{glyph}</span><span class="unseen">, {words}</span>' if glyph else ""
        parts.append(f'<span class="delta {colour}">{cell.delta:+.4f}{sign}</span>')
    return f'<td data-value="{cell.mean!r}">{"".join(parts)}</td>'


def _breakable(name: str) -> str:
    """A pipeline's name that a narrow screen may break after a sign in it."""
    return re.sub(r"([+_.,@-])", r"\1<wbr>", escape(name))


def _texts(cells: Sequence[str], *, names: int) -> list[str]:
    """Short texts as cells: the first names the row, and so many stand to the left."""
    head, *rest = cells
    found = [f'<th scope="row" data-value="{escape(head)}">{_breakable(head)}</th>']
    for place, text in enumerate(rest, start=1):
        kind = ' class="text"' if place < names else ""
        found.append(f'<td{kind} data-value="{escape(text)}">{escape(text)}</td>')
    return found


def _number(value: float | None, shown: str) -> str:
    """A figure as a cell; what is not known sorts last."""
    return f'<td data-value="{"" if value is None else repr(value)}">{escape(shown)}</td>'


def _in_words(ledger: Ledger) -> str:
    """How many notes of each kind there are."""
    return ", ".join(f"{count:,} {kind}" for kind, count in ledger.counts().items()) or "nothing"


def _table(id: str, header: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str) -> str:
    """A table of cells that are HTML already, in a frame that scrolls by itself."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    body = "\n".join(f"<tr>{''.join(cells)}</tr>" for cells in rows)
    name = escape(caption)
    return (
        f'<div class="scroll" role="region" aria-label="{name}" tabindex="0"><table id="{id}" class="sortable">'
        f'<caption class="unseen">{name}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>"
    )
