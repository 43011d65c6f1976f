"""What reducing token vectors costs: models trained with a reduction (CRISP) beside the same reductions post hoc.

    rankloom train configs/training/crisp.yaml --set reduction=none --output-dir runs/training/multi-vector
    rankloom train configs/training/crisp.yaml    # and the other variants that the recipe lists
    python benchmarks/crisp.py runs/training/multi-vector/adapter runs/training/crisp-*/adapter --json crisp.json

A folder whose model was trained without reduction is also measured with every reduction of --post-hoc; each collection
is encoded once for each model, on a GPU when there is one. Vectors are kept as float16, which `megabytes` counts, and
searched exactly on the CPU (`queries_per_second`, without encoding). `lost`: of the first unreduced model's nDCG@10;
`ahead`: of the same reduction post hoc, in points of nDCG@10; each with the p of a paired t-test over queries, not
corrected. `--every` measures these reductions of each model, whatever it was trained with. Nothing is chosen here: run
it when all training is done. RANKLOOM_DATA names the folder of the data.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rankloom import Run, Session
from rankloom.eval import Collection, load_collection
from rankloom.eval.hardware import hardware
from rankloom.eval.significance import paired_t
from rankloom.models import resolve_device, resolve_model
from rankloom.reduction import reduce_token_vectors, reductions
from rankloom.retrieval.token_index.exact_search import ExactSearch
from rankloom.retrieval.token_index.storage import Float16Storage
from rankloom.retrieval.vectors.crew import threads
from rankloom.retrieval.vectors.vector_parts import VectorParts
from rankloom.token_encoder import TokenEncoder
from rankloom.token_model import own_reduction
from rankloom.token_vectors import TokenVectors

POST_HOC = ("C4x8", "C8x32", "C25", "C50", "C75", "K2", "K4", "T4x8", "T8x32", "pool2", "pool3", "pool4")
_DEPTH = 100
_FIRST = 4  # queries searched before the clock starts
_COLUMNS = ("model", "reduction", "trained", "collection", "query_vectors", "document_vectors", "megabytes", "ndcg",
            "recall", "queries_per_second", "lost", "p", "ahead", "p_ahead")  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        model: The folder's name.
        reduction: Its word.
        trained: Whether the model was trained with it.
        collection: And split.
        query_vectors: Mean of a query.
        document_vectors: Mean of a document.
        megabytes: Of all documents' vectors as float16.
        ndcg: nDCG@10.
        recall: R@100.
        queries_per_second: Of search alone.
        lost: Of the unreduced model's nDCG@10, as a share; None before there is one.
        p: Of that difference.
        ahead: nDCG@10 above that of the unreduced model's vectors with the same reduction, in points.
        p_ahead: Of that difference.
    """

    model: str
    reduction: str
    trained: bool
    collection: str
    query_vectors: float
    document_vectors: float
    megabytes: float
    ndcg: float
    recall: float
    queries_per_second: float
    lost: float | None = None
    p: float | None = None
    ahead: float | None = None
    p_ahead: float | None = None


class Searched(NamedTuple):
    """A run, how many queries were searched in a second, and the bytes of the documents' vectors."""

    run: Run
    speed: float
    nbytes: int


def trained_with(model: str) -> str:
    """The word of the reduction that a model was trained with."""
    return own_reduction(resolve_model(model, offline=True, stage="benchmark"))


def encoded(model: str, collection: Collection, session: Session) -> tuple[TokenVectors, TokenVectors]:
    """All vectors of a collection's queries and documents."""
    encoder = TokenEncoder(model, reduction="none")
    queries = encoder.encode([query.text for query in collection.queries], role="query", session=session)
    documents = encoder.encode([one.contents for one in collection.corpus], role="document", session=session)
    return queries.vectors, documents.vectors


def searched(queries: TokenVectors, documents: TokenVectors, collection: Collection, session: Session) -> Searched:
    """The run of a collection's queries by exact MaxSim."""
    storage = Float16Storage.build(VectorParts([documents.vectors]))
    search = ExactSearch.build(storage, documents.offsets)
    search.search(queries.take(range(min(_FIRST, len(queries)))), _DEPTH)  # compiles
    started = time.perf_counter()
    hits = search.search(queries, _DEPTH)
    seconds = time.perf_counter() - started
    ids, found = collection.corpus.ids, {}
    for number, query in enumerate(collection.queries):
        part = slice(hits.offsets[number], hits.offsets[number + 1])
        found[query.id] = {
            ids[code]: score for code, score in zip(hits.codes[part].tolist(), hits.scores[part].tolist(), strict=True)
        }
    run = Run.from_dict(found, queries=collection.queries, documents=collection.corpus, session=session)
    return Searched(run, len(queries) / seconds, storage.nbytes)


def measured(model: str, words: Sequence[str], name: str, session: Session) -> Iterator[tuple[Row, list[float]]]:
    """The row of each reduction of a model, and nDCG@10 of every query; the collection is encoded once."""
    collection, own = load_collection(name, session=session), trained_with(model)
    queries, documents = encoded(model, collection, session)
    device = resolve_device(session.device, stage="benchmark")
    label = Path(model).parent.name if Path(model).name in ("adapter", "model") else Path(model).name
    for word in words:
        both = reductions(word)
        few = reduce_token_vectors(queries, both.query, device=device)
        kept = reduce_token_vectors(documents, both.document, device=device)
        found = searched(few, kept, collection, session)
        result = collection.evaluate(found.run, ["nDCG@10", "R@100"])
        row = Row(
            model=label,
            reduction=word,
            trained=word == own,
            collection=name,
            query_vectors=round(float(few.lengths.mean()), 1),
            document_vectors=round(float(kept.lengths.mean()), 1),
            megabytes=round(found.nbytes / 1e6, 2),
            ndcg=round(result.means["nDCG@10"], 4),
            recall=round(result.means["R@100"], 4),
            queries_per_second=round(found.speed, 1),
        )
        yield row, list(result.per_query["nDCG@10"].values())


def compared(row: Row, queries: Sequence[float], post_hoc: Mapping[str, Sequence[float]]) -> Row:
    """A row beside the unreduced model, and beside the same reduction of its vectors.

    Args:
        row: What was measured.
        queries: nDCG@10 of each query.
        post_hoc: The same of the unreduced model, by the reduction of its vectors.
    """
    unreduced, same = post_hoc.get("none"), post_hoc.get(row.reduction)
    if unreduced is not None and queries != unreduced:
        lost = 1 - float(np.mean(queries)) / float(np.mean(unreduced))
        row = replace(row, lost=round(lost, 4), p=round(paired_t(queries, unreduced).p_value, 4))
    if same is not None and queries != same:
        ahead = 100 * (float(np.mean(queries)) - float(np.mean(same)))
        row = replace(row, ahead=round(ahead, 2), p_ahead=round(paired_t(queries, same).p_value, 4))
    return row


def main() -> None:
    """Print the table, line by line, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="folders that training left, the unreduced one first")
    parser.add_argument(
        "--post-hoc", nargs="*", default=POST_HOC, help="reductions of models that were trained with none"
    )
    parser.add_argument("--every", nargs="*", default=(), help="reductions of all models")
    parser.add_argument("--dtype", default="float32", help="of encoding; bfloat16 is faster, and moves clusters")
    parser.add_argument("--collections", nargs="+", default=["scifact/test", "nfcorpus/test"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    session = Session(offline=True, device=options.device, dtype=options.dtype)
    print(f"Exact search on {threads()} threads\n")
    print(f"| {' | '.join(_COLUMNS)} |\n|{'---|' * len(_COLUMNS)}", flush=True)
    rows: list[Row] = []
    post_hoc: dict[str, dict[str, list[float]]] = {name: {} for name in options.collections}
    for number, model in enumerate(options.models):
        own = trained_with(model)
        words = list(dict.fromkeys([own, *(options.post_hoc if own == "none" else []), *options.every]))
        for name in options.collections:
            for row, queries in measured(model, words, name, session):
                if number == 0:
                    post_hoc[name][row.reduction] = queries
                rows.append(compared(row, queries, post_hoc[name]))
                said = asdict(rows[-1])
                print(f"| {' | '.join('' if said[one] is None else str(said[one]) for one in _COLUMNS)} |", flush=True)
    if options.json is not None:
        told = {"hardware": hardware(), "threads": threads(), "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
