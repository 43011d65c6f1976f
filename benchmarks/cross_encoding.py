"""Scoring pairs: this project's precisions beside sentence-transformers' `CrossEncoder.predict`, in speed and nDCG@10.

`python benchmarks/cross_encoding.py MODEL` reads the 100 BM25 candidates of each query of TREC DL 2019
(RANKLOOM_DATA/candidates/dl19) with a cross-encoder, a folder or a name, on the processor. Prints a Markdown table.

Speed: the candidates of `--queries` queries; all ways take turns on each query, so that a busy machine slows all of
them. Rates are medians over queries; a ratio is the median of the queries' ratios. `same order` tells for how many of
these queries the documents stand in the order of the first way, `tau` is the mean of Kendall's. nDCG@10
(`--effectiveness`) is of all queries.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import ir_measures
import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from rankloom import Document, Session
from rankloom.encoders import Precision
from rankloom.models import resolve_model
from rankloom.rerank import CrossEncoder
from rankloom.rerank.pair_stage import Pair

PEER = "sentence-transformers"
Score = Callable[[list[Pair]], NDArray[np.float32]]


def ways(model: str, names: list[str], session: Session) -> dict[str, Score]:
    """What is measured, by name; all are loaded."""

    def peer() -> Score:
        import sentence_transformers
        import torch

        folder = str(resolve_model(model, offline=True, stage="benchmark").path)
        loaded = sentence_transformers.CrossEncoder(folder, device="cpu", local_files_only=True)
        return lambda pairs: loaded.predict(
            [(pair.query, pair.document.contents) for pair in pairs], activation_fn=torch.nn.Identity()
        )

    def ours(precision: Any) -> Score:
        stage = CrossEncoder(model, precision=precision)
        stage.warm_up(session)
        return lambda pairs: stage.score(pairs, session).scores

    return {name: peer() if name == PEER else ours(name) for name in names}


def candidates(folder: Path) -> dict[str, list[Pair]]:
    """The pairs of each query."""
    with (folder / "candidates" / "dl19" / "bm25.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return {
        row["query_id"]: [Pair(row["query"], Document(hit["doc_id"], hit["text"])) for hit in row["hits"]]
        for row in rows
    }


def timed(measured: dict[str, Score], blocks: list[list[Pair]]) -> tuple[dict[str, list[float]], dict[str, list[Any]]]:
    """Pairs a second of each way on each query's candidates, and the scores; the ways take turns."""
    for score in measured.values():
        score(blocks[0][:8])
    rates: dict[str, list[float]] = {name: [] for name in measured}
    scores: dict[str, list[Any]] = {name: [] for name in measured}
    for block in blocks:
        for name, score in measured.items():
            started = time.perf_counter()
            scores[name].append(score(block))
            rates[name].append(len(block) / (time.perf_counter() - started))
    return rates, scores


def compared(scores: list[Any], first: list[Any]) -> str:
    """Cells: how much a way's scores are like those of the first."""
    both = list(zip(scores, first, strict=True))
    same = sum(
        np.array_equal(np.argsort(-one, kind="stable"), np.argsort(-other, kind="stable")) for one, other in both
    )
    tau = statistics.fmean(kendalltau(one, other).statistic for one, other in both)
    apart = max(float(np.abs(one - other).max()) for one, other in both)
    return f"{same} of {len(both)} | {tau:.4f} | {apart:.1g}"


def ndcg(score: Score, pairs: dict[str, list[Pair]], folder: Path) -> float:
    """Mean nDCG@10 of the reranked candidates."""
    found = {
        query: dict(zip([pair.document.id for pair in some], map(float, score(some)), strict=True))
        for query, some in pairs.items()
    }
    qrels = list(ir_measures.read_trec_qrels(str(folder / "candidates" / "dl19" / "qrels.txt")))
    return float(ir_measures.calc_aggregate([ir_measures.nDCG @ 10], qrels, found)[ir_measures.nDCG @ 10])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument(
        "--ways",
        nargs="+",
        default=[PEER, "float32", "onnx-float32", "bfloat16", "onnx-int8"],
        choices=[PEER, *get_args(Precision)],
        help="the first is what the others are compared with",
    )
    parser.add_argument("--queries", type=int, default=8)
    parser.add_argument("--effectiveness", action="store_true")
    parser.add_argument("--cache", help="where exported models are kept")
    options = parser.parse_args()
    folder = Path(os.environ.get("RANKLOOM_DATA", "../shared/data"))
    measured = ways(options.model, options.ways, Session(offline=True, device="cpu", cache=options.cache))
    pairs = candidates(folder)
    rates, scores = timed(measured, list(pairs.values())[: options.queries])
    first = options.ways[0]
    print(f"| computed with | pairs/s | times {first} | same order | tau | largest difference | nDCG@10 |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, score in measured.items():
        ratio = statistics.median(one / other for one, other in zip(rates[name], rates[first], strict=True))
        effect = f"{ndcg(score, pairs, folder):.4f}" if options.effectiveness else ""
        speed = f"{name} | {statistics.median(rates[name]):.0f} | {ratio:.2f}"
        print(f"| {speed} | {compared(scores[name], scores[first])} | {effect} |", flush=True)


if __name__ == "__main__":
    main()
