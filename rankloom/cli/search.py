"""`rankloom search`: ask an index."""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rankloom.cli.index import BM25_FOLDER, CORPUS_FOLDER, DENSE_FOLDER, MULTI_VECTOR_FOLDER
from rankloom.cli.options import (
    CacheOption,
    DeviceOption,
    NoCacheOption,
    OfflineOption,
    Output,
    OutputOption,
    cache_folder,
    offline_choice,
    reporter,
)
from rankloom.cli.show import message, show_json
from rankloom.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from rankloom.ranked_list import RankedList
    from rankloom.records import Query
    from rankloom.stage import Stage

_WIDTH = 160  # characters of a text that are shown


class Retrieval(StrEnum):
    """How to search."""

    BM25 = "bm25"
    DENSE = "dense"
    MULTI_VECTOR = "multi_vector"
    HYBRID = "hybrid"


def search(
    directory: Annotated[Path, typer.Argument(help="A folder made by `rankloom index`.")],
    query: Annotated[str | None, typer.Argument(help="What to look for.")] = None,
    *,
    queries: Annotated[
        Path | None, typer.Option("--queries", help="A file of queries: JSON Lines, or id, tab, text.")
    ] = None,
    retriever: Annotated[Retrieval, typer.Option("--retriever", "-r", help="How to search.")] = Retrieval.BM25,
    k: Annotated[int, typer.Option("-k", min=1, help="Hits a query.")] = 10,
    alpha: Annotated[float, typer.Option("--alpha", min=0, max=1, help="For hybrid: the weight of BM25.")] = 0.5,
    save: Annotated[Path | None, typer.Option("--save", help="Also write a TREC run file.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show what each term adds to a score of BM25.")] = False,
    device: DeviceOption = "auto",
    cache: CacheOption = None,
    no_cache: NoCacheOption = False,
    offline: OfflineOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Search an index, for one query or a file of them.

    Examples:
      rankloom search my-index "why is the sky blue" -k 5
      rankloom search my-index "why is the sky blue" --retriever hybrid --output json
      rankloom search my-index "why is the sky blue" -k 3 --explain
      rankloom search my-index --queries queries.jsonl -k 1000 --save bm25.trec
    """
    if (query is None) == (queries is None):
        raise UsageError("ask one query, or name a file with --queries", stage="search")
    from rankloom.session import Session

    asked: Any = _read(queries) if queries is not None else query
    if isinstance(asked, str) and not asked.strip():
        raise UsageError("the query is empty", stage="search", fix="ask for something")
    if explain and retriever in (Retrieval.DENSE, Retrieval.MULTI_VECTOR):
        raise UsageError("scores of vectors have no parts", stage="search", fix="leave out --explain, or --retriever")
    if explain and save is not None and output is Output.TEXT:
        raise UsageError("a run file shows no parts of scores", stage="search", fix="leave out --explain, or --save")
    place = cache_folder(cache, no_cache=no_cache)
    session = Session(cache=place, offline=offline_choice(offline), device=device, progress=reporter())
    run = _retriever(directory, retriever, k=k, alpha=alpha).top(k).run(asked, session=session)
    if save is not None:
        run.to_trec(save, tag=retriever.value)
    for kind, count in run.ledger.counts().items():
        said = {note.detail for note in run.ledger.notes if note.kind == kind and note.detail}
        message(f"note: {count} {kind}{f' ({min(said)})' if len(said) == 1 else ''}")
    if output is Output.JSON:
        show_json({"retriever": retriever.value, "queries": [_as_dict(hits, explain=explain) for hits in run.values()]})
    elif save is None:
        for hits in run.values():
            _show(hits, several=len(run) > 1, explain=explain)
    else:
        typer.echo(f"{len(run)} queries in {save}")


def _read(path: Path) -> tuple[Query, ...]:
    """The queries of a file."""
    from rankloom.eval.queries import read_queries

    return read_queries(path)


def _retriever(directory: Path, kind: Retrieval, *, k: int, alpha: float) -> Stage:
    """The retriever over the indexes of a folder."""
    from rankloom.corpus import Corpus

    if not directory.is_dir():
        fix = "make an index with `rankloom index`"
        raise NotFoundError("there is no such folder", stage="search", value=str(directory), fix=fix)
    wanted = [BM25_FOLDER, DENSE_FOLDER] if kind is Retrieval.HYBRID else [kind.value]
    for name in [CORPUS_FOLDER, *wanted]:
        if not (directory / name).is_dir():
            option = {DENSE_FOLDER: "--dense", MULTI_VECTOR_FOLDER: "--multi-vector"}.get(name)
            fix = f"add {option} to `rankloom index`" if option else "make it with `rankloom index`"
            raise NotFoundError(f"the index has no {name}", stage="search", value=str(directory), fix=fix)
    corpus = Corpus.open(directory / CORPUS_FOLDER)
    depth = max(k, 100) if kind is Retrieval.HYBRID else k  # a fusion of shallow lists misses what both rank low
    stages: list[Stage] = []
    if BM25_FOLDER in wanted:
        from rankloom.retrieval.bm25 import BM25

        stages.append(BM25.open(directory / BM25_FOLDER, corpus=corpus, k=depth))
    if DENSE_FOLDER in wanted:
        from rankloom.retrieval.dense import Dense

        stages.append(Dense.open(directory / DENSE_FOLDER, corpus=corpus, k=depth))
    if MULTI_VECTOR_FOLDER in wanted:
        from rankloom.retrieval.multi_vector import MultiVector

        stages.append(MultiVector.open(directory / MULTI_VECTOR_FOLDER, corpus=corpus, k=depth))
    if len(stages) == 1:
        return stages[0]
    from rankloom.fusion import interpolate

    return interpolate(stages[0], stages[1], alpha=alpha, norm="minmax")


def _as_dict(hits: RankedList, *, explain: bool) -> dict[str, object]:
    """One query's hits as JSON values."""
    documents = hits.documents()
    return {
        "id": hits.query.id,
        "text": hits.query.text,
        "hits": [
            {
                "rank": hit.rank,
                "doc_id": hit.doc_id,
                "score": hit.score,
                "title": document.title,
                "text": document.text,
                "metadata": dict(document.metadata),
                **({"explanation": asdict(hit.explain(stage=Retrieval.BM25))} if explain else {}),
            }
            for hit, document in zip(hits, documents, strict=True)
        ],
        "notes": [note.kind for note in hits.notes],
    }


def _show(hits: RankedList, *, several: bool, explain: bool) -> None:
    """One query's hits as text."""
    if several:
        typer.echo(f"\n{hits.query.id}: {hits.query.text}")
    if not hits:
        typer.echo("nothing found")
    for hit, document in zip(hits, hits.documents(), strict=True):
        title = f"  {document.title}" if document.title else ""
        typer.echo(f"{hit.rank:>3}. {hit.score:.4f}  {hit.doc_id}{title}")
        if explain:
            typer.echo(textwrap.indent(str(hit.explain(stage=Retrieval.BM25)), "     "))
        text = " ".join(document.text.split())
        typer.echo(f"     {text[:_WIDTH]}{'...' if len(text) > _WIDTH else ''}")
