"""Runs in memory: build, fuse and write them, beside ranx and beside pandas as PyTerrier uses it.

    python benchmarks/run_columns.py                    # 7,000 queries of 1,000 hits: minutes, several GB
    python benchmarks/run_columns.py --queries 500      # seconds

Every engine starts from the same Python lists (query ids, document ids, scores; one element for each hit of two runs)
and does the same steps, each in a process of its own:

- build: two runs, each query's hits in order, with ranks
- rrf: reciprocal rank fusion of the two, in order
- minmax: 0.3 and 0.7 times their min-max normalised scores, a missing document counting 0, in order
- write: the first run as a TREC run file

Before the clock starts, every engine has done the same with a few queries, so that nothing is imported or compiled
while it runs. ranx builds from dictionaries, its "preferred way"; making them of the lists is part of its build step.
pandas follows PyTerrier's `add_ranks`, `merge` and `write_results`. ranx and pandas break ties by no rule; rankloom
orders them by document id throughout and writes strictly decreasing scores, and its write step syncs the file to disk.

The table holds medians of seconds over all repetitions, and ratios to rankloom's.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

STEPS = ("build", "rrf", "minmax", "write")
WEIGHTS = (0.3, 0.7)
Columns = tuple[list[str], list[str], list[float]]


def columns(queries: int, hits: int, pool: int, seed: int) -> Columns:
    """One run as three lists: random documents without repetition, random scores, in no order within a query."""
    rng = np.random.default_rng(seed)
    names = [f"d{number:07d}" for number in range(pool)]
    drawn = [rng.permutation(np.unique(rng.integers(0, pool, hits + hits // 10 + 50))) for _ in range(queries)]
    doc_ids = [names[code] for codes in drawn for code in codes[:hits].tolist()]
    query_ids = [name for number in range(queries) for name in [f"q{number:05d}"] * hits]
    return query_ids, doc_ids, rng.random(len(doc_ids)).tolist()


class Engine:
    """A way to do the steps.

    Args:
        hits: Hits of each query in each run.
    """

    def __init__(self, hits: int) -> None:
        self.hits = hits

    def build(self, given: Columns) -> Any:
        """A run, in order."""
        raise NotImplementedError

    def rrf(self, one: Any, other: Any) -> Any:
        """Reciprocal rank fusion, in order."""
        raise NotImplementedError

    def minmax(self, one: Any, other: Any) -> Any:
        """A weighted sum of min-max normalised scores, in order."""
        raise NotImplementedError

    def write(self, run: Any, path: Path) -> None:
        """A run file."""
        raise NotImplementedError


class Rankloom(Engine):
    """This project."""

    def build(self, given: Columns) -> Any:
        """Straight from the lists."""
        from rankloom import Run

        return Run.from_columns(*given)

    def rrf(self, one: Any, other: Any) -> Any:
        """As a user calls it."""
        from rankloom import fuse_runs

        return fuse_runs([one, other], method="rrf")

    def minmax(self, one: Any, other: Any) -> Any:
        """As a user calls it."""
        from rankloom import fuse_runs

        return fuse_runs([one, other], method="interpolate", norm="minmax", weights=WEIGHTS)

    def write(self, run: Any, path: Path) -> None:
        """As a user calls it."""
        run.to_trec(path)


class Ranx(Engine):
    """ranx."""

    def build(self, given: Columns) -> Any:
        """From a dictionary of dictionaries."""
        import ranx

        query_ids, doc_ids, scores = given
        ends = range(self.hits, len(query_ids) + 1, self.hits)
        lists = {
            query_ids[end - 1]: dict(zip(doc_ids[end - self.hits : end], scores[end - self.hits : end], strict=True))
            for end in ends
        }
        return ranx.Run.from_dict(lists)

    def rrf(self, one: Any, other: Any) -> Any:
        """In order only when asked."""
        import ranx

        fused = ranx.fuse([one, other], norm=None, method="rrf", params={"k": 60})
        if not fused.sorted:
            fused.sort()
        return fused

    def minmax(self, one: Any, other: Any) -> Any:
        """In order only when asked."""
        import ranx

        fused = ranx.fuse([one, other], norm="min-max", method="wsum", params={"weights": list(WEIGHTS)})
        if not fused.sorted:
            fused.sort()
        return fused

    def write(self, run: Any, path: Path) -> None:
        """By its own writer."""
        run.name = "ranx"
        run.save(str(path), kind="trec")


class Pandas(Engine):
    """Data frames, as PyTerrier uses them."""

    def build(self, given: Columns) -> Any:
        """A frame with ranks, sorted."""
        import pandas as pd

        return self._ranked(pd.DataFrame(dict(zip(("qid", "docno", "score"), given, strict=True))))

    def rrf(self, one: Any, other: Any) -> Any:
        """From the ranks."""
        parts = [frame[["qid", "docno"]].assign(score=1.0 / (61 + frame["rank"])) for frame in (one, other)]
        return self._summed(*parts)

    def minmax(self, one: Any, other: Any) -> Any:
        """Group by group."""
        parts = []
        for frame, weight in zip((one, other), WEIGHTS, strict=True):
            grouped = frame.groupby("qid")["score"]
            low, high = grouped.transform("min"), grouped.transform("max")
            parts.append(frame[["qid", "docno"]].assign(score=weight * (frame["score"] - low) / (high - low)))
        return self._summed(*parts)

    def write(self, run: Any, path: Path) -> None:
        """By `to_csv`."""
        out = run.assign(iter="Q0", name="pandas")
        out[["qid", "iter", "docno", "rank", "score", "name"]].to_csv(path, sep=" ", header=False, index=False)

    def _summed(self, one: Any, other: Any) -> Any:
        """The outer join of two frames, scores added."""
        merged = one.merge(other, on=["qid", "docno"], how="outer", suffixes=("_x", "_y"))
        merged["score"] = merged["score_x"].fillna(0) + merged["score_y"].fillna(0)
        return self._ranked(merged[["qid", "docno", "score"]])

    def _ranked(self, frame: Any) -> Any:
        """The frame with ranks from 0, sorted by query and rank."""
        ranks = frame.groupby("qid", sort=False)["score"].rank(ascending=False, method="first").astype(int) - 1
        return frame.assign(rank=ranks).sort_values(["qid", "rank"])


ENGINES: dict[str, type[Engine]] = {"rankloom": Rankloom, "ranx": Ranx, "pandas": Pandas}


def measure(engine: str, queries: int, hits: int, pool: int) -> dict[str, float]:
    """Seconds of each step, and the peak memory of this process in MB before and after."""
    made = ENGINES[engine](hits)
    one, other = (made.build(columns(3, hits, 10 * hits, seed)) for seed in (1, 2))
    made.rrf(one, other)
    made.minmax(one, other)
    first, second = (columns(queries, hits, pool, seed) for seed in (1, 2))
    seconds: dict[str, float] = {"input MB": peak_memory()}

    def timed(step: str, work: Callable[[], Any]) -> Any:
        begun = time.perf_counter()
        result = work()
        seconds[step] = time.perf_counter() - begun
        return result

    one, other = timed("build", lambda: (made.build(first), made.build(second)))
    timed("rrf", lambda: made.rrf(one, other))
    timed("minmax", lambda: made.minmax(one, other))
    with tempfile.TemporaryDirectory() as folder:
        timed("write", lambda: made.write(one, Path(folder) / "run.trec"))
    seconds["peak MB"] = peak_memory()
    return seconds


def peak_memory() -> float:
    """The most memory that this process has held, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def measured_apart(engine: str, options: argparse.Namespace) -> dict[str, float]:
    """`measure` in a process of its own."""
    sizes = [f"--{name}={getattr(options, name)}" for name in ("queries", "hits", "pool")]
    command = [sys.executable, __file__, "--engine", engine, *sizes]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def table(results: dict[str, list[dict[str, float]]]) -> str:
    """Medians and ratios to rankloom as a Markdown table."""
    medians = {
        engine: {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        for engine, runs in results.items()
    }
    for row in medians.values():
        row["total"] = sum(row[step] for step in STEPS)
    others = [engine for engine in medians if engine != "rankloom"]
    lines = ["| step | rankloom | " + " | ".join(f"{engine} | ratio" for engine in others) + " |"]
    lines.append("|---|---:|" + "---:|---:|" * len(others))
    for name in (*STEPS, "total", "input MB", "peak MB"):
        ours = medians["rankloom"][name]
        form = "{:.0f}" if "MB" in name else "{:.2f} s"
        cells = [form.format(ours)]
        for engine in others:
            cells += [form.format(medians[engine][name]), f"{medians[engine][name] / ours:.1f}"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run all engines in turn, several times, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=7000)
    parser.add_argument("--hits", type=int, default=1000, help="hits of each query in each run")
    parser.add_argument("--pool", type=int, default=1_000_000, help="documents that the hits are drawn from")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--engines", default="rankloom,ranx,pandas")
    parser.add_argument("--engine", choices=ENGINES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine:
        print(json.dumps(measure(options.engine, options.queries, options.hits, options.pool)))
        return
    results: dict[str, list[dict[str, float]]] = {engine: [] for engine in options.engines.split(",")}
    for number in range(options.repeat):
        for engine, runs in results.items():
            runs.append(measured_apart(engine, options))
            shown = ", ".join(f"{name} {value:.2f}" for name, value in runs[-1].items())
            print(f"{number + 1}/{options.repeat} {engine}: {shown}", file=sys.stderr)
    print(f"{options.queries:,} queries x {options.hits:,} hits a run, medians of {options.repeat}\n")
    print(table(results))


if __name__ == "__main__":
    main()
