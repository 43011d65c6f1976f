"""All verbs in one application."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

import rankloom
from rankloom.cli.cache import cache_app
from rankloom.cli.collections import collections_app
from rankloom.cli.compare import compare
from rankloom.cli.config import config_app
from rankloom.cli.doctor import doctor
from rankloom.cli.eval import evaluate_run
from rankloom.cli.explain import explain
from rankloom.cli.golden import golden
from rankloom.cli.help import help_of
from rankloom.cli.index import index
from rankloom.cli.label import label
from rankloom.cli.lost import lost
from rankloom.cli.mcp import mcp
from rankloom.cli.run import run
from rankloom.cli.search import search
from rankloom.cli.serve import serve
from rankloom.cli.train import train

app = typer.Typer(
    name="rankloom",
    help=(
        "Ranked lists, woven: retrieve, expand, rerank, prune and measure.\n\n\b\n"
        "Exit codes: 0 done, 2 usage, 3 missing extra, 4 missing file or model,\n"
        "5 invalid configuration or data, 6 failure of a model or engine, 7 finished in part."
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(asked: bool) -> None:
    """Say the version and stop."""
    if asked:
        typer.echo(rankloom.__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[  # `main` reads it, wherever it stands
        bool, typer.Option("--debug", help="Show where an error comes from.")
    ] = False,
) -> None:
    """What all verbs share."""


_VERBS: dict[str, Callable[..., None]] = {
    "index": index,
    "search": search,
    "run": run,
    "eval": evaluate_run,
    "compare": compare,
    "explain": explain,
    "lost": lost,
    "golden": golden,
    "label": label,
    "train": train,
    "serve": serve,
    "mcp": mcp,
    "doctor": doctor,
}
for _name, _verb in _VERBS.items():
    app.command(_name, help=help_of(_verb))(_verb)
app.add_typer(config_app, name="config")
app.add_typer(cache_app, name="cache")
app.add_typer(collections_app, name="collections")
