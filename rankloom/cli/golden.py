"""`rankloom golden`: check recorded figures, and write the page that shows them."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rankloom.cli.experiment import session_of
from rankloom.cli.options import (
    CacheOption,
    NoCacheOption,
    OfflineOption,
    Output,
    OutputOption,
)
from rankloom.cli.show import message, show_json, show_table
from rankloom.errors import DataError

if TYPE_CHECKING:
    from rankloom.eval.experiment import Experiment
    from rankloom.eval.golden_check import Finding, Status
    from rankloom.session import Session


def golden(
    file: Annotated[Path, typer.Argument(help="The golden numbers, a YAML file.")] = Path("configs/golden.yaml"),
    *,
    table: Annotated[list[str] | None, typer.Option("--table", "-t", help="Only this table; may be repeated.")] = None,
    pipeline: Annotated[
        list[str] | None, typer.Option("--pipeline", "-p", help="Only this pipeline; may be repeated.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Also fail when a figure was skipped.")] = False,
    page: Annotated[
        bool, typer.Option("--page", help="Write the page from the recorded figures; check nothing.")
    ] = False,
    cache: CacheOption = None,
    no_cache: NoCacheOption = False,
    offline: OfflineOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Check that experiments still give the figures on record, as far as this machine has what they need.

    What is skipped is listed with the reason. A figure that is not met is an error (exit code 5).

    Examples:
      rankloom golden
      rankloom golden configs/golden.yaml --table scifact --pipeline bm25 --no-cache
      rankloom golden --page
    """
    from rankloom.eval.golden import chosen_tables, read_golden
    from rankloom.eval.golden_check import Status, check_tables
    from rankloom.eval.golden_page import write_page

    recorded = read_golden(file)
    if page:
        written = str(write_page(recorded))
        show_json({"page": written}) if output is Output.JSON else typer.echo(written)
        return

    def announced(experiment: Experiment) -> Session:
        message(f"{experiment.source}: {experiment.config.collection.name}")
        return session_of(experiment, cache=cache, no_cache=no_cache, offline=offline)

    tables = chosen_tables(recorded.golden, table or [])
    findings = list(check_tables(recorded, tables, announced, pipelines=pipeline or []))
    counts = Counter(finding.status for finding in findings)
    if output is Output.JSON:
        show_json({"counts": {status.value: counts[status] for status in Status}, "findings": [*map(asdict, findings)]})
    else:
        _show(findings, counts)
    unmet = counts[Status.FAILED] + (counts[Status.SKIPPED] if strict else 0)
    if unmet:
        raise DataError(
            f"{unmet} of {len(findings)} recorded figures are not met",
            stage="golden",
            fix="mend what changed them; or record the new ones in the file, and say why",
        )


def _show(findings: list[Finding], counts: Counter[Status]) -> None:
    """A line for each figure, why some were skipped, and how many there were of each."""
    rows = [
        [
            one.table,
            one.collection,
            one.pipeline,
            one.measure,
            f"{one.expected:.4f}",
            "-" if one.found is None else f"{one.found:.4f}",
            one.status.value,
            one.reason if one.found is not None else "",
        ]
        for one in findings
    ]
    show_table(["table", "collection", "pipeline", "measure", "recorded", "found", "", "why"], rows)
    reasons = dict.fromkeys((one.status.value, one.collection, one.reason) for one in findings if one.found is None)
    for status, collection, reason in reasons:
        typer.echo(f"{status} on {collection}: {reason}")
    typer.echo(", ".join(f"{count} {status}" for status, count in counts.items()))
