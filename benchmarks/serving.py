"""Throughput and latency of `rankloom serve` under closed-loop clients, with micro-batches and without.

A server in a process of its own serves BM25 -> rerank -> prune over the mini collection on loopback. So many clients,
in another process, each ask one question after another for a bounded time, once against batches of up to 16 requests
and once against a server that carries out every request by itself, several at a time. `--minutes` goes on with the
batching one, and tells how its memory does.

    python benchmarks/serving.py                         two runs of 20 seconds
    python benchmarks/serving.py --minutes 10            and ten minutes more, for memory
    python benchmarks/serving.py --index my-index --queries queries.jsonl
"""

import argparse
import asyncio
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np

from rankloom.eval.collections import load_collection
from rankloom.eval.queries import read_queries

STEPS = {
    "best": ["bm25", {"top": 20}, {"bi_encoder": {"depth": 20}}, {"sentence_pruner": {"depth": 5}}, {"top": 5}],
    "light": ["bm25", {"top": 20}, {"lead_pruner": 2}, {"top": 5}],
}


class Serving:
    """A server of one configuration, in a process of its own."""

    def __init__(self, folder: Path, values: dict[str, object]) -> None:
        path = folder / "serve.yaml"
        path.write_text(json.dumps(values))
        command = [sys.executable, "-m", "rankloom", "serve", str(path), "--port", "0", "--offline", "--no-cache"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        said = self.process.stderr.readline()
        told = re.search(r" at (http://\S+)", said)
        assert told, said + self.process.stderr.read()
        self.url = told[1]

    def __enter__(self) -> "Serving":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(60)

    def memory(self) -> float:
        """Resident memory in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found[1]) / 1024


async def load(
    url: str, queries: list[str], *, clients: int, seconds: float, seed: int
) -> tuple[list[float], int, int]:
    """Seconds of every answer, how many were errors, and how many were made without some stage."""
    times: list[float] = []
    errors = degraded = 0
    end = time.perf_counter() + seconds

    async def ask(number: int) -> None:
        nonlocal errors, degraded
        draw = random.Random(seed + number)
        async with httpx.AsyncClient(base_url=url, timeout=120) as client:
            while (begun := time.perf_counter()) < end:
                answer = await client.post("/v1/search", json={"query": draw.choice(queries), "k": 5})
                times.append(time.perf_counter() - begun)
                errors += answer.status_code != 200
                degraded += answer.status_code == 200 and answer.json()["degraded"]

    await asyncio.gather(*(ask(number) for number in range(clients)))
    return times, errors, degraded


def measured(serving: Serving, queries: list[str], options: argparse.Namespace, label: str, seconds: float) -> None:
    """One row of the table."""
    begun = time.perf_counter()
    times, errors, degraded = asyncio.run(
        load(serving.url, queries, clients=options.clients, seconds=seconds, seed=options.seed)
    )
    took = time.perf_counter() - begun  # the last answers come after the end
    p50, p95, p99 = 1000 * np.percentile(times, [50, 95, 99])
    print(
        f"{label:<22}{len(times) / took:>8.1f} requests/s   p50 {p50:>7.1f} ms   p95 {p95:>7.1f} ms   "
        f"p99 {p99:>7.1f} ms   {errors} errors   {degraded} degraded",
        flush=True,
    )


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--minutes", type=float, default=0.0, help="of load on the batching server, for its memory")
    parser.add_argument("--pipeline", choices=STEPS, default="best")
    parser.add_argument("--index", help="a folder made by `rankloom index`, in place of the mini collection")
    parser.add_argument("--queries", help="a file of queries, for --index")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    found = read_queries(options.queries) if options.queries else load_collection("mini").queries
    queries = [query.text for query in found]
    source = {"index": os.path.abspath(options.index)} if options.index else {"collection": "mini"}  # noqa: PTH100
    shared = {**source, "pipelines": {options.pipeline: STEPS[options.pipeline]}, "deadline_seconds": 60.0}
    settings = {
        "one by one": {"max_size": 1, "workers": options.clients},
        "micro-batches of 16": {"max_size": 16, "workers": 1},
    }
    print(
        f"{options.pipeline}: {options.clients} closed-loop clients, {options.seconds:g} s each, {len(queries)} queries"
    )
    for label, batching in settings.items():
        with (
            tempfile.TemporaryDirectory() as folder,
            Serving(Path(folder), {**shared, "batching": batching}) as serving,
        ):
            asyncio.run(load(serving.url, queries, clients=options.clients, seconds=3.0, seed=0))  # to warm up
            measured(serving, queries, options, label, options.seconds)
            if options.minutes and batching["max_size"] > 1:
                watch(serving, queries, options)


def watch(serving: Serving, queries: list[str], options: argparse.Namespace) -> None:
    """Memory after every tenth of the minutes, under load."""
    part = 60 * options.minutes / 10
    held = [serving.memory()]
    for number in range(10):
        measured(serving, queries, options, f"  {(number + 1) * part / 60:.1f} min", part)
        held.append(serving.memory())
    growth = held[-1] / held[1] - 1
    print(f"memory in MB: {', '.join(f'{one:.0f}' for one in held)}; {growth:+.1%} since the first tenth")


if __name__ == "__main__":
    main()
