"""`rankloom compare`: hold runs against each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from rankloom.cli.options import DEFAULT_MEASURES, MeasureOption, Output, OutputOption
from rankloom.cli.show import message, show_json, show_table
from rankloom.errors import UsageError, nearest

if TYPE_CHECKING:
    from rankloom.eval.comparison import Compared
    from rankloom.eval.correction import CorrectionName
    from rankloom.eval.intervals import IntervalsName
    from rankloom.eval.significance import TestName
    from rankloom.eval.table import Summary

_NAMED = 5  # queries that a line names


def compare(
    paths: Annotated[list[Path], typer.Argument(help="TREC run files, folders of them, or folders of experiments.")],
    *,
    qrels: Annotated[Path | None, typer.Option("--qrels", "-q", help="Judgements to measure the runs against.")] = None,
    collection: Annotated[
        str | None, typer.Option("--collection", "-c", help="A collection to measure them on, with its quirks.")
    ] = None,
    measures: MeasureOption = None,
    baseline: Annotated[
        str | None, typer.Option("--baseline", "-b", help="By default the experiment's own, or the first run.")
    ] = None,
    test: Annotated[str | None, typer.Option("--test", help="paired_t (default), wilcoxon or randomisation.")] = None,
    correction: Annotated[
        str | None, typer.Option("--correction", help="holm (default), bonferroni, benjamini_hochberg or none.")
    ] = None,
    intervals: Annotated[str | None, typer.Option("--intervals", help="none (default) or bootstrap.")] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Of the randomisation test and the bootstrap; 7.")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Compare runs query by query, whoever made them: differences to a baseline, paired tests, corrected p-values.

    Runs are measured against judgements or a collection. Without either, folders of experiments are compared by the
    values that they hold; a single one with its own baseline, test, correction and intervals unless told otherwise. In
    other folders every file that looks like a run is taken, gzipped or not. Runs with one name get their folders'
    names as well.

    Examples:
      rankloom compare a.trec b.run.gz c.txt --qrels qrels.txt -m nDCG@10
      rankloom compare their-runs/ runs/scifact --collection scifact --baseline bm25 --test randomisation
      rankloom compare runs/quickstart --baseline dense --intervals bootstrap
      rankloom compare runs/quickstart --qrels other-qrels.txt -m AP --correction none --output json
    """
    from rankloom.eval.comparison import own_settings
    from rankloom.eval.table import summarise

    compared = _evaluations(paths, qrels, collection, measures)
    own = own_settings(paths)
    summary = summarise(  # which checks the words
        compared.evaluations,
        baseline=_baseline(baseline, own.get("baseline"), compared),
        test=cast("TestName", test or own.get("test", "paired_t")),
        correction=cast("CorrectionName", correction or own.get("correction", "holm")),
        intervals=cast("IntervalsName", intervals or own.get("intervals", "none")),
        seed=own.get("seed", 7) if seed is None else seed,
    )
    if output is Output.JSON:
        skipped = [{"path": str(one.path), "reason": one.reason} for one in compared.skipped]
        paths_of = {name: str(path) for name, path in compared.paths.items()}
        show_json({**summary.to_dict(), "paths": paths_of, "skipped": skipped})
    else:
        _show(compared, summary)


def _evaluations(paths: list[Path], qrels: Path | None, collection: str | None, measures: list[str] | None) -> Compared:
    """The runs, measured; or what experiments hold."""
    from rankloom.eval.collections import load_collection
    from rankloom.eval.comparison import measured, stored
    from rankloom.qrels import read_qrels

    if qrels is not None and collection is not None:
        raise UsageError("there are two sets of judgements", stage="compare", fix="pass --qrels or --collection")
    if qrels is not None:
        return measured(paths, read_qrels(qrels), measures or DEFAULT_MEASURES)
    if collection is not None:
        return measured(paths, load_collection(collection), measures or DEFAULT_MEASURES)
    return stored(paths, measures or ())


def _show(compared: Compared, summary: Summary) -> None:
    """The tables, and what does not go into them."""
    for one in compared.skipped:
        message(f"not compared: {one.path}: {one.reason}")
    show_table(summary.header(), summary.cells())
    typer.echo(summary.legend())
    if rows := summary.tests():
        typer.echo("")
        show_table(summary.tests_header(), rows)
    _show_gaps(compared)


def _baseline(asked: str | None, own: object, compared: Compared) -> str:
    """The run that the others are held against: the one asked for, the experiment's own, or the first."""
    if asked is not None and asked not in compared.evaluations:
        close = nearest(asked, compared.evaluations)
        raise UsageError(
            "the baseline is none of the runs",
            stage="compare",
            value=asked,
            accepted=", ".join(compared.evaluations),
            fix=f"did you mean {close!r}?" if close else None,
        )
    usual = own if isinstance(own, str) and own in compared.evaluations else next(iter(compared.evaluations))
    return asked or usual


def _show_gaps(compared: Compared) -> None:
    """Queries that a run lacks, those that nobody judged, and hits that were taken out."""
    for name, evaluation in compared.evaluations.items():
        gaps = []
        if evaluation.missing:
            named = ", ".join(evaluation.missing[:_NAMED]) + (", ..." if len(evaluation.missing) > _NAMED else "")
            gaps.append(f"{len(evaluation.missing)} judged queries without hits count as 0: {named}")
        if evaluation.unjudged_queries:
            gaps.append(f"{len(evaluation.unjudged_queries)} queries without judgements do not count")
        if evaluation.removed_hits:
            gaps.append(f"{evaluation.removed_hits} hits taken out, as the collection says")
        if gaps:
            typer.echo(f"{name}: {'; '.join(gaps)}")
