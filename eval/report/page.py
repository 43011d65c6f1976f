"""The page itself: the template, its style and scripts, and the data, in one file that loads nothing.

Queries and documents are strangers' texts. They reach the page as JSON in a block that no browser executes, with every
`<` escaped, and the scripts put them there as text. A content security policy allows exactly the scripts and the style
that are in this package, by their digests, and no connection.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from rankloom.eval.report.data import ReportData, report_data
from rankloom.eval.report.diagram import diagrams_html
from rankloom.eval.report.plots import pruning_html, trade_offs_html
from rankloom.eval.report.tables import MARKS, comparisons_html, costs_html, notes_html, stage_costs_html, summary_html

if TYPE_CHECKING:
    from rankloom.eval.experiment import Experiment
    from rankloom.eval.results import ExperimentResult

#: In this order: each uses what stands before it.
SCRIPTS = ("dom.js", "tables.js", "charts.js", "explorer.js", "trace.js", "main.js")
#: Plotted when the experiment asks for no cost.
DEFAULT_COSTS = ("seconds", "tokens")
# `<` would end the block or begin a comment; the other two are line ends to some parsers of scripts.
_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def report_html(experiment: Experiment, result: ExperimentResult, manifest: dict[str, Any], folder: Path) -> str:
    """The report of an experiment.

    Args:
        experiment: What was carried out.
        result: What it gave.
        manifest: Shown at the end.
        folder: Where the results stand.
    """
    collection = result.collection
    facts = [
        f"{len(collection.queries):,} queries",
        f"{len(collection.corpus):,} documents",
        f"finished {result.finished:%Y-%m-%d %H:%M} UTC",
    ]
    return _filled(
        report_data(result, folder),
        title=escape(collection.id),
        facts=escape(" · ".join(facts)),
        failed=_failed(result),
        summary=summary_html(result.summary),
        legend=escape(result.summary.legend(MARKS)),
        tests=_folded("Differences and tests in full", comparisons_html(result.summary)),
        trade_offs=trade_offs_html(result, experiment.config.costs or DEFAULT_COSTS),
        pruning=pruning_html(result),
        costs=costs_html(result),
        stage_costs=_folded("What each stage spent on all queries", stage_costs_html(result)),
        diagrams=diagrams_html({name: outcome.pipeline for name, outcome in result.outcomes.items()}),
        notes=notes_html(result),
        plan=escape("\n".join(experiment.plan().lines())),
        manifest=escape(json.dumps(manifest, indent=2, ensure_ascii=False)),
    )


def _filled(data: ReportData, **parts: str) -> str:
    """The template with its parts, the style, the scripts and the data in their places."""
    style, script = _static("report.css"), "\n".join(map(_static, SCRIPTS))
    page = Template(_static("page.html")).substitute(
        parts,
        policy=_policy(style, script),
        style=style,
        script=script,
        data=embedded_json(data.to_dict()),
    )
    return page.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair is no text that can be written


def embedded_json(value: object) -> str:
    r"""JSON that may stand in a script block, whatever strings it holds.

    Args:
        value: JSON values; numbers must be finite.

    Example:
        >>> embedded_json("</script><!--")
        '"\\u003c/script\\u003e\\u003c!--"'
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).translate(_ESCAPES)


@cache
def _static(name: str) -> str:
    """A file of this package."""
    return (files("rankloom.eval.report") / "static" / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """What the page may do: run its own script, use its own style, and nothing else."""
    return (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    """The source expression that allows one script or style block."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _failed(result: ExperimentResult) -> str:
    """Pipelines that failed, and why; nothing when none did."""
    if not result.failures:
        return ""
    rows = "".join(f"<li><b>{escape(name)}</b>: {escape(reason)}</li>" for name, reason in result.reasons().items())
    return f'<section class="failed" id="failed"><h2>Failed</h2><ul>{rows}</ul></section>'


def _folded(title: str, content: str) -> str:
    """Something to open; nothing for nothing."""
    return f"<details><summary>{escape(title)}</summary>{content}</details>" if content else ""
