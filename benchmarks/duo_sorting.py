"""Pairwise sorting with a neural comparator on TREC DL 2019: what each method finds, and what it costs.

    python benchmarks/duo_sorting.py MODEL     # for `duo`; RANKLOOM_DATA holds candidates/dl19/bm25.jsonl
    python benchmarks/duo_sorting.py MODEL --precision onnx-int8 --depths 30 --output runs/duo-sorting

BM25's first passages of 43 queries. Every row is measured without a cache, so that calls, tokens and seconds are those
of its method alone. A row that is finished is kept in the output folder and not measured again, as long as model,
parameters, versions and machine are the same; one that was stopped begins anew. A call is one order of one pair; all
rows make some 110,000.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from rankloom import Run, Session
from rankloom.eval import Collection, load_collection, sources
from rankloom.eval.candidates import read_candidates
from rankloom.eval.hardware import processor
from rankloom.eval.manifest import versions
from rankloom.fingerprint import digest
from rankloom.rerank import Duo

METHODS = {30: ("all_pair", "heapsort", "sliding", "tournament"), 100: ("heapsort", "sliding", "tournament")}


def measured(stage: Duo, first: Run, collection: Collection) -> dict[str, Any]:
    """What a stage makes of a first stage's run, a query."""
    begun = time.perf_counter()
    run = stage.run(first, session=Session(offline=True))
    seconds = time.perf_counter() - begun
    cost = run.ledger.costs[-1]
    return {
        "nDCG@10": round(collection.evaluate(run, ["nDCG@10"]).means["nDCG@10"], 4),
        "calls": cost.calls / len(first),
        "tokens": cost.tokens / len(first),
        "seconds": seconds / len(first),
        "cut": run.ledger.counts().get("truncated", 0),
    }


def main() -> None:
    """Measure the rows that are not there yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a model of the stage duo")
    parser.add_argument("--precision", default="auto", help="see Duo")
    parser.add_argument("--depths", type=int, nargs="*", default=sorted(METHODS), choices=sorted(METHODS))
    parser.add_argument("--output", type=Path, default=Path("runs/duo-sorting"))
    given = parser.parse_args()
    first = read_candidates(sources.data_folder() / "candidates" / "dl19" / "bm25.jsonl")
    collection = load_collection("candidates/dl19/bm25")
    print("of a query, but for the passages and queries that were cut:")
    print(f"{'method':<12}{'depth':>6}{'nDCG@10':>10}{'calls':>9}{'tokens':>10}{'seconds':>9}{'cut':>6}")
    bm25 = collection.evaluate(first, ["nDCG@10"]).means["nDCG@10"]
    print(f"{'BM25':<12}{'-':>6}{bm25:>10.4f}{'-':>9}{'-':>10}{'-':>9}{'-':>6}")
    for depth, method in [(one, method) for one in given.depths for method in METHODS[one]]:
        stage = Duo(given.model, method=method, depth=depth, precision=given.precision)
        made_by = digest(stage.fingerprint(), versions(), processor(), torch.get_num_threads())[:12]
        file = given.output / f"{made_by}-{method}-{depth}.json"
        if not file.is_file():
            stage.warm_up(Session(offline=True))
            row = measured(stage, first, collection)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(row))
        row = json.loads(file.read_text())
        print(
            f"{method:<12}{depth:>6}{row['nDCG@10']:>10.4f}{row['calls']:>9.1f}{row['tokens']:>10.0f}"
            f"{row['seconds']:>9.2f}{row['cut']:>6}",
            flush=True,
        )


if __name__ == "__main__":
    main()
