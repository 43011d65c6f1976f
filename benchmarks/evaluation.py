"""Evaluation speed: rankloom on columns, pytrec_eval, ir_measures and ranx, side by side.

Run it with `python benchmarks/evaluation.py`; it prints a Markdown table. Each engine gets the same synthetic run and
judgements in a process of its own, builds what it works on from parallel columns (timed as "build"), and measures
nDCG@10, AP, R@100 and RR@10 (timed as "evaluate", the median of `--repeats`). The judgements are a dict for all
but ranx, whose `Qrels` are part of "build". pytrec_eval has no RR@10; it computes RR without a cut-off.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

HITS = 1000
JUDGED = 20
CORPUS = 1_000_000
MEASURES = ["nDCG@10", "AP", "R@100", "RR@10"]

Means = dict[str, float]
Qrels = dict[str, dict[str, int]]


def columns(queries: int) -> tuple[pa.Array, pa.Array, np.ndarray, Qrels]:
    """Query ids, document ids and falling scores of all hits, and judgements; half of those are among the hits."""
    rng = np.random.default_rng(0)
    ids = pa.array([f"D{number:07}" for number in range(CORPUS)], pa.large_string())
    query_ids = pa.array([f"q{number:06}" for number in range(queries)], pa.large_string())
    documents = np.empty((queries, HITS), dtype=np.int64)
    qrels: Qrels = {}
    for number, row in enumerate(documents):
        row[:] = rng.choice(CORPUS, HITS, replace=False, shuffle=False)
        judged = np.concatenate([rng.choice(row, JUDGED // 2, replace=False), rng.choice(CORPUS, JUDGED // 2)])
        grades = rng.integers(0, 4, JUDGED).tolist()
        qrels[f"q{number:06}"] = dict(zip(ids.take(pa.array(judged)).to_pylist(), grades, strict=True))
    scores = np.tile(np.linspace(30.0, 1.0, HITS, dtype=np.float32), queries)
    rows = np.repeat(np.arange(queries), HITS)
    return query_ids.take(pa.array(rows)), ids.take(pa.array(documents.ravel())), scores, qrels


def as_dicts(query_ids: pa.Array, doc_ids: pa.Array, scores: np.ndarray) -> dict[str, dict[str, float]]:
    """The run as the other engines take it."""
    run = {}
    for start in range(0, len(scores), HITS):
        part = slice(start, start + HITS)
        run[query_ids[start].as_py()] = dict(zip(doc_ids[part].to_pylist(), scores[part].tolist(), strict=True))
    return run


def build_rankloom(query_ids: pa.Array, doc_ids: pa.Array, scores: np.ndarray, qrels: Qrels) -> Callable[[], Means]:
    """Ours, with values for each query."""
    from rankloom.eval.measures import evaluate
    from rankloom.run import Run

    run = Run.from_columns(query_ids, doc_ids, scores)
    return lambda: dict(evaluate(run, qrels, MEASURES).means)


def build_pytrec_eval(query_ids: pa.Array, doc_ids: pa.Array, scores: np.ndarray, qrels: Qrels) -> Callable[[], Means]:
    """trec_eval's C code, with values for each query and their means."""
    from pytrec_eval import RelevanceEvaluator

    run = as_dicts(query_ids, doc_ids, scores)
    names = {"nDCG@10": "ndcg_cut_10", "AP": "map", "R@100": "recall_100", "RR@10": "recip_rank"}

    def measure() -> Means:
        asked = {"ndcg_cut.10", "map", "recall.100", "recip_rank"}
        values = RelevanceEvaluator(qrels, asked).evaluate(run).values()
        return {ours: statistics.fmean(one[theirs] for one in values) for ours, theirs in names.items()}

    return measure


def build_ir_measures(query_ids: pa.Array, doc_ids: pa.Array, scores: np.ndarray, qrels: Qrels) -> Callable[[], Means]:
    """ir-measures, which computes values for each query and keeps their means."""
    import ir_measures

    run = as_dicts(query_ids, doc_ids, scores)
    asked = [ir_measures.parse_measure(name) for name in MEASURES]
    return lambda: {str(measure): value for measure, value in ir_measures.calc_aggregate(asked, qrels, run).items()}


def build_ranx(query_ids: pa.Array, doc_ids: pa.Array, scores: np.ndarray, qrels: Qrels) -> Callable[[], Means]:
    """ranx, which keeps values for each query in its run."""
    from ranx import Qrels as Judgements
    from ranx import Run, evaluate

    judgements, run = Judgements(qrels), Run(as_dicts(query_ids, doc_ids, scores))
    asked = ["ndcg@10", "map", "recall@100", "mrr@10"]

    def measure() -> Means:
        return {
            ours: float(value) for ours, value in zip(MEASURES, evaluate(judgements, run, asked).values(), strict=True)
        }

    return measure


ENGINES = {
    "rankloom": build_rankloom,
    "pytrec_eval": build_pytrec_eval,
    "ir_measures": build_ir_measures,
    "ranx": build_ranx,
}


def time_engine(engine: str, queries: int, repeats: int) -> dict[str, Any]:
    """Seconds to build and to evaluate, the means, and the most memory this process held."""
    ENGINES[engine](*columns(2))()  # imports, and for ranx compilation, are not what is timed
    given = columns(queries)
    start = time.perf_counter()
    measure = ENGINES[engine](*given)
    build = time.perf_counter() - start
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        means = measure()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"build": build, "evaluate": statistics.median(seconds), "means": means, "peak": peak}


def main() -> None:
    """Time every engine in its own process and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=10_000, help="queries of 1,000 hits and 20 judgements each")
    parser.add_argument("--repeats", type=int, default=3, help="timings of which the median counts")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--one", choices=ENGINES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(time_engine(options.one, options.queries, options.repeats)))
        return
    print(
        f"{options.queries:,} queries x {HITS:,} hits, {JUDGED} judged documents a query, median of {options.repeats}\n"
    )
    print("| engine | build, s | evaluate, s | of pytrec_eval | peak memory, GiB |", " | ".join(MEASURES), "|")
    print("|---|" + "---:|" * (4 + len(MEASURES)))
    found: dict[str, dict[str, Any]] = {}
    for engine in options.engines:
        command = [sys.executable, __file__, "--one", engine]
        command += ["--queries", str(options.queries), "--repeats", str(options.repeats)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        found[engine] = json.loads(output.splitlines()[-1])
    base = found.get("pytrec_eval", {}).get("evaluate", float("nan"))
    for engine, one in found.items():
        means = " | ".join(f"{one['means'][name]:.6f}" for name in MEASURES)
        times = f"{one['build']:.2f} | {one['evaluate']:.2f} | {one['evaluate'] / base:.2f} | {one['peak']:.1f}"
        print(f"| {engine} | {times} | {means} |")


if __name__ == "__main__":
    main()
