"""Answers on standard output: JSON, or plain tables."""

from __future__ import annotations

import json
from collections.abc import Sequence

import typer


def show_json(value: object) -> None:
    """One JSON document and nothing else."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table as wide as its contents: columns of plain numbers to the right, nothing cut off or wrapped."""
    columns = []
    for name, *cells in zip(header, *rows, strict=True):
        width = max(map(len, [name, *cells]))
        lines = [name, "-" * width, *cells]
        right = all(_is_number(cell) for cell in cells)
        columns.append([line.rjust(width) if right else line.ljust(width) for line in lines])
    for line in zip(*columns, strict=True):
        typer.echo("  ".join(line).rstrip())


def size_in_words(count: int) -> str:
    """Bytes in words."""
    size = float(count)
    for unit in ("B", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def message(text: str) -> None:
    """A message to whoever is watching, on standard error."""
    typer.echo(text, err=True)


def _is_number(cell: str) -> bool:
    """Whether a cell is a number and nothing else."""
    try:
        float(cell)
    except ValueError:
        return False
    return True
