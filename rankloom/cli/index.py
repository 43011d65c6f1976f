"""`rankloom index`: documents to a folder that `rankloom search` reads."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rankloom.cli.options import (
    DeviceOption,
    OfflineOption,
    Output,
    OutputOption,
    RayOption,
    WorkersOption,
    offline_choice,
    ray_cluster,
    reporter,
)
from rankloom.cli.show import message, show_json
from rankloom.corpus import BESIDE
from rankloom.errors import UsageError

if TYPE_CHECKING:
    from rankloom.corpus import Corpus
    from rankloom.distributed import RayCluster
    from rankloom.session import Session

CORPUS_FOLDER, BM25_FOLDER, DENSE_FOLDER, MULTI_VECTOR_FOLDER = BESIDE, "bm25", "dense", "multi_vector"
_ENCODED = (DENSE_FOLDER, MULTI_VECTOR_FOLDER)
# what a killed build has left is for the next one to go on from
_OURS = {CORPUS_FOLDER, BM25_FOLDER, *_ENCODED, f"{BM25_FOLDER}.parts", *(f"{name}.shards" for name in _ENCODED)}


def index(
    source: Annotated[str, typer.Argument(help="A file or folder of documents, or ir_datasets:ID.")],
    directory: Annotated[Path, typer.Argument(help="Where the indexes shall live.")],
    *,
    dense: Annotated[bool, typer.Option("--dense", help="Also encode the documents for dense search.")] = False,
    model: Annotated[str | None, typer.Option("--model", help="Encoder for --dense: a folder or hub name.")] = None,
    kind: Annotated[
        str | None,
        typer.Option("--kind", help="What searches the vectors of --dense: auto (exact), hnsw, ivf, ivf_pq."),
    ] = None,
    multi_vector: Annotated[
        str | None,
        typer.Option("--multi-vector", metavar="MODEL", help="Also encode the documents by this multi-vector encoder."),
    ] = None,
    reduction: Annotated[
        str | None, typer.Option("--reduction", help="Fewer vectors for --multi-vector, such as C8x32; none for all.")
    ] = None,
    storage: Annotated[
        str | None, typer.Option("--storage", help="For --multi-vector: float16, int8, residual.")
    ] = None,
    format: Annotated[str | None, typer.Option("--format", help="jsonl, tsv, trec, parquet, text.")] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad-records", help="Pass bad records over, and repeated ids; count them.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the indexes that are there.")] = False,
    ray: RayOption = None,
    workers: WorkersOption = None,
    device: DeviceOption = "auto",
    offline: OfflineOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Index documents: JSON Lines (BEIR), TSV, TREC, Parquet, a folder of text files, or an ir_datasets collection.

    With --ray, BM25 is indexed in parts of 131,072 documents: a corpus of no more than that is one worker's; and
    --multi-vector is encoded here.

    Examples:
      rankloom index docs.jsonl my-index
      rankloom index notes/ my-index --dense
      rankloom index notes/ my-index --multi-vector colbert-ir/colbertv2.0 --storage int8
      rankloom index ir_datasets:beir/scifact my-index --force
      rankloom index docs.jsonl /shared/my-index --dense --ray auto
    """
    cluster = ray_cluster(ray, workers, verb="index")
    _check_options({"--model": model, "--kind": kind}, dense, of="--dense")
    _check_options({"--reduction": reduction, "--storage": storage}, multi_vector is not None, of="--multi-vector")
    _check_place(directory, force=force)
    _check_kinds(kind, reduction, storage)
    from rankloom.corpus import Corpus
    from rankloom.encoders import DEFAULT_MODEL
    from rankloom.retrieval.bm25 import BM25
    from rankloom.session import Session

    session = Session(offline=offline_choice(offline), device=device, progress=reporter())
    given: Any = format  # `read_documents` checks the word
    bad: Any = "skip" if skip_bad else "error"
    corpus = Corpus.build(source, directory / CORPUS_FOLDER, format=given, on_bad_record=bad, session=session)
    if cluster is not None:
        _share_out(corpus, directory, cluster, model=(model or DEFAULT_MODEL) if dense else None, session=session)
    BM25.build(corpus, directory / BM25_FOLDER, session=session)
    made, truncated = [BM25_FOLDER], dict.fromkeys(_ENCODED, 0)
    stages: dict[str, Any] = {}
    if dense:
        from rankloom.retrieval.dense import Dense

        options: dict[str, Any] = {"model": model} | ({} if kind is None else {"kind": kind})
        stages[DENSE_FOLDER] = Dense.build(corpus, directory / DENSE_FOLDER, session=session, **options)
        made.append(f"{DENSE_FOLDER} ({stages[DENSE_FOLDER].index.kind})" if output is Output.TEXT else DENSE_FOLDER)
    if multi_vector is not None:
        from rankloom.retrieval.multi_vector import MultiVector

        options = {"model": multi_vector, "reduction": reduction, "storage": storage or "float16"}
        stages[MULTI_VECTOR_FOLDER] = MultiVector.build(
            corpus, directory / MULTI_VECTOR_FOLDER, session=session, **options
        )
        made.append(MULTI_VECTOR_FOLDER)
    for name in _ENCODED:
        if name in stages:
            truncated[name] = len(stages[name].index.ledger.of("truncated"))
        else:
            shutil.rmtree(directory / name, ignore_errors=True)  # of the documents that were here before
    skipped = len(corpus.ledger.of("skipped_record"))
    for note in corpus.ledger.of("skipped_files"):
        message(f"{note.amount} files are neither .txt nor .md and were passed over: {note.detail}")
    if skipped:
        message(f"{skipped} bad records were passed over")
    for name, count in truncated.items():
        if count:
            message(f"{count} documents are longer than the encoder of {name} reads; it does not find their ends")
    if output is Output.JSON:
        facts = {"documents": len(corpus), "skipped": skipped, "truncated": sum(truncated.values())}
        show_json({"directory": str(directory), "indexes": made, **facts})
    else:
        typer.echo(f"{len(corpus)} documents in {directory}: {', '.join(made)}")


def _share_out(corpus: Corpus, directory: Path, cluster: RayCluster, *, model: str | None, session: Session) -> None:
    """Let workers do what the builds then find done."""
    from rankloom.distributed import encode_corpus, index_parts
    from rankloom.encoders import SentenceEncoder

    with cluster.connected(offline=session.offline):
        index_parts(corpus, directory / BM25_FOLDER, session=session, cluster=cluster)
        if model is not None:
            encoder = SentenceEncoder(model, stage="dense")
            encode_corpus(corpus, directory / DENSE_FOLDER, encoder, session=session, cluster=cluster)


def _check_options(options: dict[str, str | None], given: bool, *, of: str) -> None:
    """Refuse options of another one that is not given."""
    for option, value in options.items():
        if value is not None and not given:
            raise UsageError(f"{option} is for {of}", stage="index", fix=f"add {of}")


def _check_kinds(kind: str | None, reduction: str | None, storage: str | None) -> None:
    """Refuse words that nothing is called by, before any document is read."""
    if kind is not None:
        from rankloom.retrieval.vectors.row_kinds import check_kind

        check_kind(kind, {}, stage="index")
    if reduction is not None:
        from rankloom.reduction import reductions

        reductions(reduction, stage="index")
    if storage is not None:
        from rankloom.retrieval.token_index.kinds import check_kinds

        check_kinds(storage, "exact", {}, stage="index")


def _check_place(directory: Path, *, force: bool) -> None:
    """Refuse to mix with, or to replace, what is there."""
    if directory.exists() and not directory.is_dir():
        raise UsageError("this is a file", stage="index", value=str(directory), fix="name a folder")
    there = (
        {path.name for path in directory.iterdir() if not path.name.endswith(".tmp")} if directory.is_dir() else set()
    )
    if there - _OURS:
        raise UsageError(
            "the folder holds other things", stage="index", value=str(directory), fix="name another folder"
        )
    if there and not force:
        raise UsageError("there are indexes already", stage="index", value=str(directory), fix="add --force")
