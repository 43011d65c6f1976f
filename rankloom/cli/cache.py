"""`rankloom cache`: what is remembered, and forgetting it."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from rankloom.cli.help import help_of
from rankloom.cli.options import CacheOption, Output, OutputOption, cache_folder
from rankloom.cli.show import show_json, show_table, size_in_words
from rankloom.errors import UsageError

cache_app = typer.Typer(help="Look at the cache, or empty it.", no_args_is_help=True, rich_markup_mode=None)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def list_cache(cache: CacheOption = None, output: OutputOption = Output.TEXT) -> None:
    """Show what the cache holds, by stage, and its indexes.

    Examples:
      rankloom cache ls
      rankloom cache ls --cache /data/cache --output json
    """
    folder = _folder(cache)
    results, indexes = _holdings(folder)
    if output is Output.JSON:
        show_json({"folder": str(folder), "results": results, "indexes": indexes})
        return
    typer.echo(str(folder))
    if not results and not indexes:
        typer.echo("nothing is remembered")
    if results:
        rows = [
            [str(r["stage"]), str(r["entries"]), size_in_words(int(str(r["bytes"]))), str(r["newest"])] for r in results
        ]
        show_table(["stage", "results", "size", "newest"], rows)
    if indexes:
        show_table(["index", "size"], [[name, size_in_words(size)] for name, size in indexes.items()])


def collect_garbage(
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="AGE", help="Only results older than 30d, 12h, 2w ...")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All results.")] = False,
    indexes: Annotated[bool, typer.Option("--indexes", help="Also the indexes and corpora that were built.")] = False,
    cache: CacheOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Forget results. They are computed again when they are needed; nothing else is lost.

    Examples:
      rankloom cache gc --older-than 30d
      rankloom cache gc --all --indexes
    """
    if everything == (older_than is not None):
        raise UsageError("say what to forget", stage="cache gc", accepted="--all, or --older-than AGE")
    folder, age = _folder(cache), 0.0 if older_than is None else _seconds(older_than)
    results, removed = 0, 0
    if (folder / "results.sqlite").is_file():
        from rankloom.cache import Cache

        store = Cache(folder)
        results = store.forget(older_than_seconds=age)
        store.close()
    if indexes:
        for path in sorted((folder / "indexes").glob("*")):
            if path.is_dir() and path.stat().st_mtime <= datetime.now(UTC).timestamp() - age:
                shutil.rmtree(path)
                removed += 1
    if output is Output.JSON:
        show_json({"folder": str(folder), "results_forgotten": results, "indexes_removed": removed})
    else:
        typer.echo(f"forgot {results} results and {removed} indexes in {folder}")


def _folder(cache: Path | None) -> Path:
    """The folder asked for, or the user's."""
    folder = cache_folder(cache)
    return folder if folder is not None else Path()


def _holdings(folder: Path) -> tuple[list[dict[str, object]], dict[str, int]]:
    """Results by stage, and index sizes; looks without making anything."""
    if not (folder / "results.sqlite").is_file():
        return [], {}
    from rankloom.cache import Cache

    store = Cache(folder)
    results: list[dict[str, object]] = [
        {
            "stage": held.stage,
            "entries": held.entries,
            "bytes": held.bytes,
            "oldest": _when(held.oldest),
            "newest": _when(held.newest),
        }
        for held in store.holdings()
    ]
    sizes = store.index_sizes()
    store.close()
    return results, sizes


def _seconds(age: str) -> float:
    """An age such as 30d in seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", age)
    if not found:
        raise UsageError("not an age", stage="cache gc", value=age, accepted="a number and s, m, h, d or w: 30d")
    return float(found[1]) * _SECONDS[found[2]]


def _when(seconds: float) -> str:
    """A moment in words."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


cache_app.command("ls", help=help_of(list_cache))(list_cache)
cache_app.command("gc", help=help_of(collect_garbage))(collect_garbage)
