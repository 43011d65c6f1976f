"""Encoding documents: this project's precisions beside sentence-transformers' default, in speed and nDCG@10.

`python benchmarks/encoding.py` on SciFact (RANKLOOM_DATA/collections/scifact) with all-MiniLM-L6-v2, on the processor.
Prints a Markdown table.

Speed: `--documents` documents, evenly spaced, are cut into blocks of 100, and all ways take turns on each block, so
that a busy machine slows all of them. Rates are medians over blocks; a ratio is the median of the blocks' ratios.
nDCG@10 (`--effectiveness`): each way encodes the whole corpus and the queries. What is encoded is kept in the folder
`--keep`, so that an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import ir_measures
import numpy as np
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from rankloom import Corpus, Session
from rankloom.encoders import DEFAULT_MODEL, Precision, SentenceEncoder
from rankloom.models import resolve_model

BLOCK = 100
SHARD = 512
PEER = "sentence-transformers"
Encode = Callable[[list[str]], NDArray[np.float32]]


def ways(names: list[str], session: Session) -> dict[str, Encode]:
    """What is measured, by name; all are loaded."""

    def ours(precision: Precision) -> Encode:
        encoder = SentenceEncoder(precision=precision)
        encoder.load(session)
        return lambda texts: encoder.encode(texts, role="document", session=session).vectors

    found: dict[str, Encode] = {}
    for name in names:
        if name == PEER:
            folder = resolve_model(DEFAULT_MODEL, offline=True, stage="benchmark").path
            found[name] = SentenceTransformer(str(folder), device="cpu", local_files_only=True).encode
        else:
            found[name] = ours(name)  # type: ignore[arg-type]  # checked by the parser
    return found


def rates(texts: list[str], measured: dict[str, Encode]) -> dict[str, list[float]]:
    """Documents a second of each way on each block; the ways take turns, and begin in turn."""
    for encode in measured.values():
        encode(texts[:8])
    found: dict[str, list[float]] = {name: [] for name in measured}
    names = list(measured)
    for number, start in enumerate(range(0, len(texts), BLOCK)):
        block = texts[start : start + BLOCK]
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            begin = time.perf_counter()
            measured[name](block)
            found[name].append(len(block) / (time.perf_counter() - begin))
    return found


def ndcg(folder: Path, corpus: Corpus, encode: Encode, keep: Path) -> float:
    """nDCG@10 of exact search by one way's vectors."""
    keep.mkdir(parents=True, exist_ok=True)
    parts = []
    for start in range(0, len(corpus), SHARD):
        path = keep / f"{start:06}.npy"
        if not path.exists():
            vectors = encode([document.contents for document in corpus.slice(start, start + SHARD)])
            np.save(path.with_suffix(".tmp.npy"), vectors)
            path.with_suffix(".tmp.npy").replace(path)
        parts.append(np.load(path))
    qrels = _beir_qrels(folder)
    judged = {one.query_id for one in qrels}
    lines = (folder / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    queries = {one["_id"]: one["text"] for one in map(json.loads, lines) if one["_id"] in judged}
    scores = encode(list(queries.values())) @ np.concatenate(parts).T
    run = []
    for query_id, row in zip(queries, scores, strict=True):
        best = np.argsort(-row, kind="stable")[:100]
        run += [ir_measures.ScoredDoc(query_id, corpus.ids[int(code)], float(row[code])) for code in best]
    return float(ir_measures.calc_aggregate([ir_measures.nDCG @ 10], qrels, run)[ir_measures.nDCG @ 10])


def _beir_qrels(folder: Path) -> list[ir_measures.Qrel]:
    """The judgements of a collection's test split."""
    lines = (folder / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]
    return [ir_measures.Qrel(query, doc, int(grade)) for query, doc, grade in (line.split("\t") for line in lines)]


def main() -> None:
    """Measure and print the table."""
    precisions = [name for name in get_args(Precision) if name != "auto"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1000, help="timed; 0 for none")
    parser.add_argument("--ways", nargs="+", default=[PEER, *precisions], choices=[PEER, *precisions])
    parser.add_argument("--effectiveness", action="store_true")
    parser.add_argument("--keep", type=Path, default=Path("build/encoding"))
    options = parser.parse_args()
    folder = Path(os.environ.get("RANKLOOM_DATA", "../shared/data")) / "collections" / "scifact"
    session = Session(offline=True, device="cpu", cache=options.keep)
    place = options.keep / "corpus"
    if not place.exists():
        Corpus.build(folder / "corpus.jsonl", place)
    corpus = Corpus.open(place)
    measured = ways(options.ways, session)
    print("| way | documents/s | ratio | nDCG@10 |\n|---|---|---|---|")
    found: dict[str, list[float]] = {}
    if options.documents:
        step = max(1, len(corpus) // options.documents)
        texts = [document.contents for document in corpus][::step][: options.documents]
        found = rates(texts, measured)
    for name, encode in measured.items():
        cells = ["", ""]
        if found:
            pairs = zip(found[name], found.get(PEER, found[name]), strict=True)
            ratio = statistics.median(one / peer for one, peer in pairs)
            cells = [f"{statistics.median(found[name]):.1f}", f"{ratio:.2f}"]
        quality = f"{ndcg(folder, corpus, encode, options.keep / name):.4f}" if options.effectiveness else ""
        print(f"| {name} | {' | '.join(cells)} | {quality} |", flush=True)


if __name__ == "__main__":
    main()
