"""Answers on standard output: JSON, or plain tables."""

from __future__ import annotations

import json
from collections.abc import Sequence

import typer


def show_json(value: object) -> None:
    """One JSON document and nothing else."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table whose columns are as wide as their contents, numbers to the right; nothing is cut off or wrapped."""
    widths = [max(len(row[place]) for row in [header, *rows]) for place in range(len(header))]
    lines = [[*header], ["-" * width for width in widths], *rows]
    for number, line in enumerate(lines):
        cells = [
            cell.ljust(width) if number < 2 or not _is_figure(cell) else cell.rjust(width)
            for cell, width in zip(line, widths, strict=True)
        ]
        typer.echo("  ".join(cells).rstrip())


def message(text: str) -> None:
    """A message to whoever is watching, on standard error."""
    typer.echo(text, err=True)


def _is_figure(cell: str) -> bool:
    """Whether a cell begins with a number."""
    return cell[:1].isdigit() or (cell[:1] in "+-" and cell[1:2].isdigit())
