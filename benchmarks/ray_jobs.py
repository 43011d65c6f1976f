"""Jobs on Ray beside the ordinary path on SciFact: the same files and runs, with a worker killed in each job.

    python benchmarks/ray_jobs.py FOLDER [--model NAME] [--depth 10]

Reads SciFact from RANKLOOM_DATA. Ends with an error if a byte differs.
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rankloom import Run, Session
from rankloom.corpus import Corpus
from rankloom.distributed import RayCluster, build_bm25, build_vectors, run_on_ray
from rankloom.encoders import DEFAULT_MODEL, SentenceEncoder
from rankloom.eval.collections import load_collection
from rankloom.rerank import BiEncoder
from rankloom.retrieval import BM25, Dense
from rankloom.retrieval.vectors.index import VectorIndex


class KillsAWorker:
    """Progress that kills one of Ray's workers when the first units of a job are done."""

    def __init__(self, job: str) -> None:
        self._job, self.killed = job, 0

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Callable[[int], None]]:  # noqa: ARG002  # the protocol's
        """Wait for the first step of the job."""

        def advance(count: int) -> None:
            if count and label == self._job and not self.killed:
                worker = workers()[0]
                os.kill(worker, signal.SIGKILL)
                self.killed = worker

        yield advance


def workers() -> list[int]:
    """Process ids of Ray Data's workers below this process."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            names[int(folder.name)] = (folder / "cmdline").read_text()
        except (OSError, IndexError):  # it has ended
            continue

    def ours(process: int) -> bool:
        while process in parents and process != os.getpid():
            process = parents[process]
        return process == os.getpid()

    return [process for process, name in names.items() if name.startswith("ray::MapWorker") and ours(process)]


def files(folder: Path) -> list[bytes]:
    """The bytes of all files of an index but its manifest, which names segments by chance."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name not in ("manifest.json", "lock")]
    return [path.read_bytes() for path in sorted(paths, key=lambda path: path.name)]


def timed(make: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    begun = time.perf_counter()
    make()
    return time.perf_counter() - begun


def written(run: Run, path: Path) -> tuple[bytes, object]:
    """A run file, and the notes."""
    run.to_trec(path)
    return path.read_bytes(), run.ledger.notes


def report(what: str, here: float, there: float, same: bool, killed: int) -> None:
    """One row of the table; ends the program if something differs."""
    print(
        f"| {what} | {here:.0f} | {there:.0f} | {'yes' if same else 'NO'} | {'yes' if killed else 'no'} |", flush=True
    )
    if not same:
        raise SystemExit(f"{what} differs")


def main() -> None:
    """Run all jobs, both ways."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="an empty folder")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a sentence encoder")
    parser.add_argument("--depth", type=int, default=10, help="hits of each query that are reranked")
    options = parser.parse_args()
    folder, cluster = options.folder, RayCluster(workers=2)
    folder.mkdir(parents=True)
    offline = {"offline": True, "device": "cpu"}
    collection = load_collection("scifact", session=Session(**offline))
    corpus, queries = Corpus.build(collection.corpus, folder / "corpus"), collection.queries
    print("| job | ordinary s | Ray s | same bytes | a worker killed |\n|---|---:|---:|---|---|")

    killer = KillsAWorker("no part is alone")
    here = timed(lambda: BM25.build(corpus, folder / "bm25-here"))
    there = timed(lambda: build_bm25(corpus, folder / "bm25-there", cluster=cluster))
    report("BM25 index", here, there, files(folder / "bm25-here") == files(folder / "bm25-there"), killer.killed)

    killer = KillsAWorker("dense shards")
    session, watched = Session(**offline), Session(**offline, progress=killer)
    here = timed(
        lambda: VectorIndex.build(
            corpus, folder / "here", encoder=SentenceEncoder(options.model, precision="auto"), session=session
        )
    )
    there = timed(
        lambda: build_vectors(
            corpus,
            folder / "there",
            encoder=SentenceEncoder(options.model, precision="auto"),
            session=watched,
            cluster=cluster,
        )
    )
    same = files(folder / "here") == files(folder / "there")
    report("vector index (encoding)", here, there, same, killer.killed)
    runs = {
        name: written(Dense.open(folder / name, corpus).run(queries, session=session), folder / f"dense-{name}.trec")
        for name in ("here", "there")
    }
    report("dense run file", here, there, runs["here"] == runs["there"], killer.killed)

    killer = KillsAWorker("ray")
    pipeline = BM25.open(folder / "bm25-here", corpus=corpus).top(options.depth) >> BiEncoder(
        options.model, depth=options.depth, precision="auto"
    )
    local, watched = (
        Session(**offline, cache=folder / "cache-here"),
        Session(**offline, cache=folder / "cache-there", progress=killer),
    )
    results: dict[str, Run] = {}
    here = timed(lambda: results.update(here=pipeline.run(queries, session=local)))
    there = timed(lambda: results.update(there=run_on_ray(pipeline, queries, session=watched, cluster=cluster)))
    one, other = (written(results[name], folder / f"reranked-{name}.trec") for name in ("here", "there"))
    report("reranked run file and notes", here, there, one == other, killer.killed)


if __name__ == "__main__":
    main()
