"""`rankloom lost`: where a pipeline lost relevant documents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rankloom.cli.experiment import open_experiment, session_of
from rankloom.cli.options import (
    CacheOption,
    NoCacheOption,
    OfflineOption,
    Output,
    OutputOption,
    SetOption,
)
from rankloom.cli.show import show_json, show_table
from rankloom.errors import UsageError, nearest

if TYPE_CHECKING:
    from rankloom.eval.lost import Diagnosis, Fate


def lost(
    experiment: Annotated[Path, typer.Argument(help="The YAML file, or the output folder, of an experiment.")],
    pipeline: Annotated[str, typer.Argument(help="Name of a pipeline.")],
    *,
    cutoff: Annotated[int, typer.Option("--cutoff", "-k", min=1, help="How many hits of a query count.")] = 10,
    query: Annotated[
        str | None, typer.Option("--query", help="Show the fate of each relevant document of this query.")
    ] = None,
    examples: Annotated[int, typer.Option("--examples", min=0, help="Documents to name for each line.")] = 3,
    assignments: SetOption = None,
    cache: CacheOption = None,
    no_cache: NoCacheOption = False,
    offline: OfflineOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Say which stage of a pipeline loses relevant documents, and why.

    A relevant document that is not among the first hits was never retrieved, stood below a cut, was pushed below it,
    was out of a reranker's reach, or was dropped or pruned away. What an experiment has computed comes from the cache.

    Examples:
      rankloom lost configs/quickstart.yaml rerank+prune
      rankloom lost configs/quickstart.yaml rerank+prune --cutoff 5 --query q02
      rankloom lost runs/quickstart hybrid --output json
    """
    from rankloom.eval.lost import diagnose_experiment

    chosen = open_experiment(experiment, assignments or [], verb="lost")
    session = session_of(chosen, cache=cache, no_cache=no_cache, offline=offline)
    diagnosis = diagnose_experiment(chosen, pipeline, session=session, cutoff=cutoff)
    if query is not None:
        diagnosis = _of_query(diagnosis, query)
    if output is Output.JSON:
        show_json(diagnosis.to_dict())
    elif query is not None:
        _show_query(diagnosis)
    else:
        _show(diagnosis, examples)


def _of_query(diagnosis: Diagnosis, query: str) -> Diagnosis:
    """The part of a diagnosis that is about one query."""
    from dataclasses import replace

    fates = tuple(fate for fate in diagnosis.fates if fate.query_id == query)
    if not fates:
        close = nearest(query, {fate.query_id for fate in diagnosis.fates})
        fix = f"did you mean {close!r}?" if close else None
        raise UsageError("no relevant document is judged for this query", stage="lost", value=query, fix=fix)
    return replace(diagnosis, fates=fates)


def _show(diagnosis: Diagnosis, examples: int) -> None:
    """What each stage lost, as a table."""
    relevant = len(diagnosis.fates)
    typer.echo(
        f"{diagnosis.pipeline} on {diagnosis.collection}: {diagnosis.found} of {relevant} relevant documents "
        f"(grade {diagnosis.relevance_level} or more) are among the first {diagnosis.cutoff} hits"
    )
    rows = []
    for count in diagnosis.counts():
        named = [_example(fate) for fate in diagnosis.examples(count, examples)]
        share = f"{count.documents / relevant:.1%}"
        told = [", ".join(named)] if examples else []
        rows.append([count.stage or "-", count.reason.value, str(count.documents), share, str(count.queries), *told])
    if rows:
        typer.echo("")
        show_table(
            ["stage", "reason", "documents", "of relevant", "queries", *(["for example"] if examples else [])], rows
        )


def _example(fate: Fate) -> str:
    """Query, document, and where it last stood."""
    return f"{fate.query_id}/{fate.doc_id}{f' (rank {fate.rank})' if fate.rank else ''}"


def _show_query(diagnosis: Diagnosis) -> None:
    """The fate of each document."""
    rows = []
    for fate in diagnosis.fates:
        last = "-" if fate.after is None else f"rank {fate.rank} after {fate.after}"
        rows.append([fate.doc_id, str(fate.grade), fate.reason or "found", fate.stage or "-", last])
    show_table(["document", "grade", "fate", "stage", "last seen"], rows)
