"""`rankloom label`: silver labels of sentences, for the training of pruners."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankloom.cli.experiment import open_experiment, session_of
from rankloom.cli.options import CacheOption, OfflineOption, Output, OutputOption, SetOption
from rankloom.cli.show import show_json
from rankloom.errors import PartialResultError


def label(
    experiment: Annotated[Path, typer.Argument(help="The YAML file, or the output folder, of an experiment.")],
    pipeline: Annotated[str, typer.Argument(help="Name of a pipeline that ends with citation_pruner.")],
    labels: Annotated[Path, typer.Argument(help="The file to write, NAME.labelled.jsonl.")],
    *,
    assignments: SetOption = None,
    cache: CacheOption = None,
    offline: OfflineOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Let a language model say which sentences of what a pipeline finds help to answer each question.

    Every answer is kept in the cache as it comes. Stopped at any moment, by a budget too, the same command goes on with
    the rest and writes the whole file. Answers that can not be read make no label, and are counted.

    Examples:
      rankloom label labels.yaml cited silver.labelled.jsonl
      rankloom label labels.yaml cited silver.labelled.jsonl --set collection=scifact/train --output json
    """
    from rankloom.eval.label_experiment import label_experiment

    chosen = open_experiment(experiment, assignments or [], verb="label")
    session = session_of(chosen, cache=cache, no_cache=False, offline=offline)
    found = label_experiment(chosen, pipeline, labels, session=session)
    counts, cost = found.counts(), found.ledger.costs[-1]
    if output is Output.JSON:
        show_json({"labels": str(labels), **counts, "calls": cost.calls, "tokens": cost.tokens})
    else:
        typer.echo(f"{labels}: {found.relevant + found.irrelevant} texts, {found.relevant} of them with an answer")
        passed_over = {
            name: count for name, count in counts.items() if count and name not in ("relevant", "irrelevant")
        }
        if passed_over:
            typer.echo("not labelled: " + ", ".join(f"{count} {name}" for name, count in passed_over.items()))
        typer.echo(f"{cost.calls} calls, {cost.tokens} tokens; {cost.cached} texts from the cache")
    if found.unfinished:
        raise PartialResultError(f"{found.unfinished} texts are not labelled yet; the same command goes on with them")
