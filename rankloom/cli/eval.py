"""`rankloom eval`: measure a run file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankloom.cli.options import DEFAULT_MEASURES, MeasureOption, Output, OutputOption
from rankloom.cli.show import show_json, show_table


def evaluate_run(
    run: Annotated[Path, typer.Argument(help="A TREC run file, gzipped or not.")],
    qrels: Annotated[Path, typer.Argument(help="Judgements, in TREC's or BEIR's columns.")],
    *,
    measures: MeasureOption = None,
    per_query: Annotated[bool, typer.Option("--per-query", help="Also show every query.")] = False,
    relevance_level: Annotated[
        int, typer.Option("--relevance-level", min=1, help="Least grade that is relevant in binary measures.")
    ] = 1,
    drop_self_hits: Annotated[
        bool, typer.Option("--drop-self-hits", help="Take out hits that are the query itself (ArguAna, Quora).")
    ] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Measure a run against judgements, by ir-measures.

    Means are over all judged queries: one that the run does not hold counts as 0 and is reported.

    Examples:
      rankloom eval runs/bm25.trec qrels.txt
      rankloom eval runs/bm25.trec qrels.txt -m nDCG@10 -m "P(rel=2)@5" --per-query
      rankloom eval runs/bm25.trec qrels.txt -m AP --output json
    """
    from rankloom.eval.measures import evaluate
    from rankloom.qrels import read_qrels
    from rankloom.trec import read_run

    judged = read_qrels(qrels)
    evaluation = evaluate(
        read_run(run),
        judged,
        measures or DEFAULT_MEASURES,
        relevance_level=relevance_level,
        drop_self_hits=drop_self_hits,
    )
    queries = list(next(iter(evaluation.per_query.values())))
    if output is Output.JSON:
        answer: dict[str, object] = {
            "means": dict(evaluation.means),
            "exact_measures": dict(evaluation.exact),
            "queries": len(queries),
            "missing": list(evaluation.missing),
            "unjudged_queries": list(evaluation.unjudged_queries),
            "removed_hits": evaluation.removed_hits,
        }
        if per_query:
            answer["per_query"] = {name: dict(values) for name, values in evaluation.per_query.items()}
        show_json(answer)
        return
    names = evaluation.measures
    rows = [[query, *(f"{evaluation.per_query[name][query]:.4f}" for name in names)] for query in queries]
    means = ["all", *(f"{evaluation.means[name]:.4f}" for name in names)]
    show_table(["query", *names], [*rows, means] if per_query else [means])
    typer.echo(f"{len(queries)} judged queries")
    if evaluation.missing:
        typer.echo(f"{len(evaluation.missing)} without hits count as 0: {_some(evaluation.missing)}")
    if evaluation.unjudged_queries:
        typer.echo(f"{len(evaluation.unjudged_queries)} without judgements do not count")


def _some(names: tuple[str, ...]) -> str:
    """The first few of many names."""
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
