"""`rankloom explain`: why a pipeline answered a query as it did."""

from __future__ import annotations

import textwrap
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
from rankloom.cli.show import show_json

if TYPE_CHECKING:
    from rankloom.eval.explain import DocumentView, Explanation, StageView
    from rankloom.ledger import Note


def explain(
    experiment: Annotated[Path, typer.Argument(help="The YAML file, or the output folder, of an experiment.")],
    pipeline: Annotated[str, typer.Argument(help="Name of a pipeline.")],
    query: Annotated[str, typer.Argument(help="Id of a query of the collection.")],
    *,
    docs: Annotated[
        list[str] | None, typer.Option("--doc", "-d", help="A document to follow; by default the best ones.")
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="Hits to show after each stage.")] = 5,
    assignments: SetOption = None,
    cache: CacheOption = None,
    no_cache: NoCacheOption = False,
    offline: OfflineOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Follow a query, and documents, through the stages of a pipeline.

    Shows the hits after every stage, the terms that feedback wrote into the query and the parts that the query and
    each feedback document have in their weights, what each term adds to a document's score (from stages that score by
    terms), and the sentences kept and dropped. What an experiment has computed comes from the cache.

    Examples:
      rankloom explain configs/quickstart.yaml bm25+rm3 q01
      rankloom explain runs/quickstart hybrid q01 --doc bees-02
      rankloom explain runs/quickstart hybrid q01 --output json
    """
    chosen = open_experiment(experiment, assignments or [], verb="explain")
    chosen.check_pipeline(pipeline, stage="explain")
    session = session_of(chosen, cache=cache, no_cache=no_cache, offline=offline)
    explanation = chosen.explain(pipeline, query, session=session, doc_ids=docs or (), top=top)
    if output is Output.JSON:
        show_json({"pipeline": pipeline, **explanation.to_dict()})
    else:
        _show(explanation)


def _show(explanation: Explanation) -> None:
    """All of it as text."""
    typer.echo(f"{explanation.query_id}: {explanation.text}")
    for view in explanation.stages:
        _show_stage(view)
    for document in explanation.documents:
        _show_document(document)
    grouped: dict[tuple[str, str, str], list[Note]] = {}
    for note in explanation.notes:
        grouped.setdefault((note.stage, note.kind, note.detail), []).append(note)
    for (stage, kind, detail), notes in grouped.items():
        typer.echo(f"note: {stage}: {_note(kind, detail, notes)}")


def _note(kind: str, detail: str, notes: list[Note]) -> str:
    """Notes of one kind as one line."""
    docs = [note.doc_id for note in notes if note.doc_id]
    about = f" for {len(docs)} documents: {', '.join(docs[:5])}{', ...' if len(docs) > 5 else ''}" if docs else ""
    amount = sum(note.amount for note in notes)
    return f"{kind}{f' {amount}' if amount != len(notes) else ''}{about}{f' ({detail})' if detail else ''}"


def _show_stage(view: StageView) -> None:
    """What a stage left behind."""
    indent = "  " * (view.depth + 1)
    hits = "" if view.hits is None else f": {view.hits} hits"
    typer.echo(f"{indent}{view.stage}{hits}")
    if view.text is not None:
        typer.echo(f"{indent}  query: {textwrap.shorten(view.text, 300, placeholder=' ...')}")
    for place, (doc_id, score) in enumerate(view.best, start=1):
        typer.echo(f"{indent}  {place}. {doc_id} {score:.4f}")
    if view.feedback is not None:
        typer.echo(f"{indent}  terms: weight = parts of the query and of documents")
        for one in view.feedback:
            parts = [*([("query", one.original)] if one.original else []), *one.documents]
            told = " + ".join(f"{name} {part:.3g}" for name, part in parts)
            typer.echo(f"{indent}    {one.term} {one.weight:.3g} = {told}")
    elif view.terms is not None:
        typer.echo(f"{indent}  terms: {', '.join(f'{term} {weight:.3g}' for term, weight in view.terms)}")
    if view.vectors:
        typer.echo(f"{indent}  a query vector")


def _show_document(view: DocumentView) -> None:
    """What became of a document."""
    grade = "not judged" if view.grade is None else f"judged {view.grade}"
    typer.echo(f"{view.doc_id} ({grade}) {view.title}".rstrip())
    for (stage, depth, rank, score), parts in zip(view.trace, view.parts, strict=True):
        place = "not there" if rank is None or score is None else f"rank {rank}, score {score:.4f}"
        indent = "  " * (depth + 1)
        typer.echo(f"{indent}{stage}: {place}")
        if parts is not None:
            typer.echo(textwrap.indent(str(parts), f"{indent}  "))
    for text, span in view.sentences or ():
        reason = f" ({span.reason})" if span.reason else ""
        typer.echo(
            f"  {'kept   ' if span.kept else 'dropped'} {span.probability:.3f}{reason}  {' '.join(text.split())}"
        )
