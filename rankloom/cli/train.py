"""`rankloom train`: carry a training recipe out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankloom.cli.options import (
    CacheOption,
    NoCacheOption,
    OfflineOption,
    Output,
    OutputOption,
    SetOption,
    cache_folder,
    offline_choice,
    reporter,
)
from rankloom.cli.show import message, show_json


def train(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a YAML file.")],
    *,
    assignments: SetOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the recipe; train nothing.")] = False,
    output_dir: Annotated[Path | None, typer.Option("--output-dir", help="Folder of what training leaves.")] = None,
    cache: CacheOption = None,
    no_cache: NoCacheOption = False,
    offline: OfflineOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Train a model by a recipe, whose `kind` says what is trained and how; measure it, and write it to a folder.

    Killed at any moment, it goes on from its last checkpoint when it is run again. A GPU is used when there is one.

    Examples:
      rankloom train configs/training/inference_free.yaml
      rankloom train configs/training/inference_free.yaml --set training.steps=50 --output-dir runs/short
    """
    from rankloom.session import Session
    from rankloom.training.recipes import carry_out, read_recipe

    read = read_recipe(recipe, assignments or [])
    folder = output_dir or Path(read.output)
    message(f"{recipe}: {read.training.steps} steps of {read.training.queries} queries; results in {folder}")
    if dry_run:
        return
    place = cache_folder(cache, no_cache=no_cache)
    session = Session(cache=place, offline=offline_choice(offline), seed=read.seed, progress=reporter())
    trained = carry_out(read, session, output=folder)
    if output is Output.JSON:
        show_json({"model": str(trained.model), **trained.manifest})
        return
    for when in ("start", "end"):
        if when not in trained.manifest:  # what is made in several steps is measured when all are done
            continue
        scores = ", ".join(f"{name} {value}" for name, value in trained.manifest[when].items())
        typer.echo(f"{when}: {scores or 'no query was held out'}")
    typer.echo(f"{trained.model}  (name it as the model of {trained.stage})")
