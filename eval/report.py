"""The report of an experiment: one HTML page that needs no network and reads well on a phone and in the dark."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from rankloom.ledger import Ledger

if TYPE_CHECKING:
    from rankloom.eval.experiment import Experiment
    from rankloom.eval.results import ExperimentResult

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --good: #1a7f37; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --good: #56d364; --bad: #ff8a80; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } thead th { background: var(--soft); }
small { opacity: .75; } .up { color: var(--good); } .down { color: var(--bad); }
pre { overflow-x: auto; background: var(--soft); padding: .75rem; border-radius: .4rem; font-size: .85rem; }
"""


def report_html(experiment: Experiment, result: ExperimentResult, manifest: dict[str, Any]) -> str:
    """The page.

    Args:
        experiment: What was carried out.
        result: What it gave.
        manifest: Shown at the end.
    """
    title = f"rankloom: {result.collection.id}"
    manifest_text = escape(json.dumps(manifest, indent=2, ensure_ascii=False))
    failed = [f"<li>{escape(name)}: {escape(reason)}</li>" for name, reason in result.reasons().items()]
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{len(result.collection.queries)} queries, {len(result.collection.corpus)} documents.</p>",
        f"<p>{escape(result.summary.legend())}</p>",
        _results(result),
        f"<h2>Failed</h2><ul>{''.join(failed)}</ul>" if failed else "",
        "<h2>Cost of this run, a query</h2>",
        "<p><small>What came from the cache costs next to nothing: compare only runs without it.</small></p>",
        _costs(result),
        "<h2>Ledger</h2>",
        _notes(result),
        "<h2>Plan</h2>",
        f"<pre>{escape(chr(10).join(experiment.plan().lines()))}</pre>",
        f"<details><summary>Manifest</summary><pre>{manifest_text}</pre></details>",
    ]
    head = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
    )
    return f"{head}<body>\n{chr(10).join(part for part in parts if part)}\n</body></html>\n"


def _results(result: ExperimentResult) -> str:
    """Means, differences and p-values."""
    summary = result.summary
    rows = []
    for row in summary.rows:
        cells = [escape(row.name)]
        for measure in summary.measures:
            cell = row.cells[measure]
            text = f"{cell.mean:.4f}"
            if cell.delta is not None:
                colour = {"+": "up", "-": "down"}.get(cell.mark, "")
                tip = f"p {cell.p_value:.3g}, corrected {cell.corrected:.3g}; {cell.wins}/{cell.ties}/{cell.losses}"
                text += f' <small class="{colour}" title="{escape(tip)}">{cell.delta:+.4f}{cell.mark}</small>'
            cells.append(text)
        rows.append([*cells, str(row.queries), str(len(row.missing))])
    return _table([escape(name) for name in summary.header()], rows)


def _costs(result: ExperimentResult) -> str:
    """Seconds, tokens and calls a query, and what came from the cache, for each pipeline."""
    rows = []
    for name, outcome in result.outcomes.items():
        costs = outcome.costs()
        cached, asked = outcome.cached()
        figures = [f"{costs['seconds']:.4f}", f"{costs['tokens']:.1f}", f"{costs['calls']:.2f}"]
        rows.append([escape(name), *figures, f"{cached} of {asked}"])
    return _table(["pipeline", "seconds", "tokens", "model calls", "from the cache"], rows)


def _notes(result: ExperimentResult) -> str:
    """How many notes of each kind each pipeline has."""
    rows = []
    for name, outcome in result.outcomes.items():
        rows.append([escape(name), _in_words(outcome.ledger)])
    for name, ledger in result.index_ledgers().items():
        rows.append([f"index of {escape(name)}", _in_words(ledger)])
    return _table(["pipeline", "notes"], rows)


def _in_words(ledger: Ledger) -> str:
    """How many notes of each kind there are."""
    return ", ".join(f"{count} {escape(kind)}" for kind, count in ledger.counts().items()) or "nothing"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already."""
    head = "".join(f"<th>{cell}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
