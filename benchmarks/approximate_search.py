"""Approximate search of a million vectors: recall, memory, disk and speed; and what rankloom adds to FAISS's own time.

`python benchmarks/approximate_search.py FOLDER` generates and builds what is not in FOLDER yet (7 GB), measures,
and prints a Markdown table. `--overhead` times the same searches through rankloom and through FAISS alone, in turns.

Vectors: those that all-MiniLM-L6-v2 gives the documents of the collections in RANKLOOM_DATA, and mixtures of two of
them, `a * x + (1 - a) * y` with a from .5 to 1, plus Gaussian noise of length .3, brought to length 1. Queries: real
ones of SciFact and NFCorpus, never mixed. The settings that the tables show were chosen on the first thousand of them,
and all figures are of the second thousand.

Each kind is measured in a process of its own. `resident` is how much the process has grown between the moment when all
libraries are loaded and the end of a line's searches, mapped pages included; `disk` is without the full vectors, which
every kind keeps beside it. Speed: `one` is one query at a time, `batch` 64 at a time. For figures of one thread:
`taskset -c 1 chrt -f 50 python ...`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rankloom.encoders import SentenceEncoder
from rankloom.ids import DocIds
from rankloom.retrieval import VectorIndex
from rankloom.retrieval.vectors.best_documents import Hits
from rankloom.retrieval.vectors.contents import Contents
from rankloom.retrieval.vectors.faiss_search import FaissSearch
from rankloom.retrieval.vectors.vector_parts import VectorParts
from rankloom.session import Session

SEED, K, BATCH, HALF = 7, 10, 64, 1000
DOCUMENTS = ("adi", "cacm", "cranfield", "npl", "scifact", "trec-dl19-mini")
QUERIES = ("scifact", "nfcorpus")
MOST = 6000  # documents of each collection
#: Kind -> settings of a search; the first is what it does when nothing is said.
SETTINGS: dict[str, list[dict[str, int]]] = {
    "flat": [{}],
    "hnsw": [{}, {"ef": 64}, {"ef": 512}],
    "ivf": [{}, {"nprobe": 32}, {"nprobe": 256}],
    "ivf_pq": [{}, {"nprobe": 32}, {"nprobe": 256}, {"rescore": 0}, {"rescore": 50}, {"rescore": 1000}],
}

Found = NDArray[np.int64]


# --- what is searched ----------------------------------------------------------------------------------------


def texts(path: Path) -> list[str]:
    """The texts of a collection's documents or queries."""
    with path.open(encoding="utf-8") as lines:
        read = (json.loads(line) for line in lines)
        whole = (" ".join(part for part in (one.get("title", ""), one["text"]) if part) for one in read)
        return [text for text in whole if text.strip()][:MOST]


def encoded(collections: Path, names: tuple[str, ...], file: str, role: Any) -> NDArray[np.float32]:
    """Vectors of the documents or queries of some collections."""
    encoder, session = SentenceEncoder(), Session(offline=True, dtype="bfloat16")
    found = [text for name in names for text in texts(collections / name / file)]
    return encoder.encode(found, role=role, session=session).vectors


def prepare(folder: Path, rows: int, collections: Path) -> None:
    """Write vectors, queries and the true best of each query."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "truth.npy").exists():
        return
    real = encoded(collections, DOCUMENTS, "corpus.jsonl", "document")
    queries = encoded(collections, QUERIES, "queries.jsonl", "query")
    rng = np.random.default_rng(SEED)
    matrix = np.lib.format.open_memmap(folder / "vectors.npy", "w+", np.float32, (rows, real.shape[1]))
    matrix[: len(real)] = real[:rows]
    for start in range(len(real), rows, 20_000):
        matrix[start : start + 20_000] = mixtures(real, min(20_000, rows - start), rng)
    queries = queries[rng.permutation(len(queries))[: 2 * HALF]]
    np.save(folder / "queries.npy", queries)
    write_ids(folder / "ids.arrow", rows)
    np.save(folder / "truth.npy", best(matrix, queries))


def write_ids(path: Path, rows: int) -> None:
    """Ids of documents, in the order of their rows, as a vector index keeps them."""
    batch = pa.record_batch([pa.array([f"{number:09d}" for number in range(rows)])], names=["id"])
    with pa.ipc.new_file(path, batch.schema) as file:
        file.write_batch(batch)


def mixtures(real: NDArray[np.float32], count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """So many vectors, each between two real ones; see above."""
    first, second = rng.integers(0, len(real), (2, count))
    share = rng.uniform(0.5, 1, (count, 1)).astype(np.float32)
    noise = rng.standard_normal((count, real.shape[1]), dtype=np.float32) * np.float32(0.3 / real.shape[1] ** 0.5)
    mixed = share * real[first] + (1 - share) * real[second] + noise
    return np.asarray(mixed / np.linalg.norm(mixed, axis=1, keepdims=True))


def best(matrix: NDArray[np.float32], queries: NDArray[np.float32]) -> Found:
    """The K rows with the largest inner products, by looking at all."""
    scores = np.full((len(queries), K), -np.inf, dtype=np.float32)
    rows = np.zeros((len(queries), K), dtype=np.int64)
    for start in range(0, len(matrix), 50_000):
        products = queries @ matrix[start : start + 50_000].T
        some = np.argpartition(-products, K, axis=1)[:, :K]
        scores = np.concatenate([scores, np.take_along_axis(products, some, 1)], axis=1)
        rows = np.concatenate([rows, some + start], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :K]
        scores, rows = np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)
    return rows


def build(folder: Path, kind: str) -> None:
    """Build an index, unless it is there."""
    place = folder / kind
    if (place / "built.json").exists():
        return
    start = time.perf_counter()
    search = FaissSearch.build(kind, VectorParts([np.load(folder / "vectors.npy", mmap_mode="r")]))
    place.mkdir(exist_ok=True)
    search.write(place)
    about = {**search.settings(), "seconds": time.perf_counter() - start}
    (place / "built.json").write_text(json.dumps(about), encoding="utf-8")


def opened(folder: Path, kind: str) -> VectorIndex:
    """The index over the vectors of the folder, which all kinds share."""
    vectors = VectorParts.on_disk([folder / "vectors.npy"])
    search = FaissSearch.read(kind, folder / kind, json.loads((folder / kind / "built.json").read_text()))
    ids = DocIds(pa.ipc.open_file(pa.memory_map(str(folder / "ids.arrow"))).get_batch(0).column("id"))
    owners, nothing = np.arange(len(vectors), dtype=np.int32), np.zeros(len(vectors), dtype=np.int64)
    return VectorIndex(Contents(vectors, owners, ids, nothing, search, {"index": kind}), encoder=SentenceEncoder())


# --- measuring -----------------------------------------------------------------------------------------------


def resident() -> int:
    """Kilobytes of this process that are in memory."""
    with Path("/proc/self/status").open(encoding="ascii") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def searcher(index: VectorIndex, settings: dict[str, int]) -> Callable[[NDArray[np.float32]], Found]:
    """A search with some settings: queries to the codes of their best K documents, -1 where there are fewer."""
    effort = {name: value for name, value in settings.items() if name != "rescore"}

    def search(queries: NDArray[np.float32]) -> Found:
        hits = index.search(queries, K, rescore=settings.get("rescore"), effort=effort)
        found = np.full((len(queries), K), -1, dtype=np.int64)
        counts = np.diff(hits.offsets)
        found[np.arange(K) < counts[:, None]] = hits.codes
        return found

    return search


def batches(queries: NDArray[np.float32], size: int) -> Iterator[NDArray[np.float32]]:
    """Queries, so many at a time."""
    return (queries[start : start + size] for start in range(0, len(queries) - size + 1, size))


def measured(folder: Path, kind: str) -> dict[str, Any]:
    """All figures of a kind."""
    queries, truth = np.load(folder / "queries.npy")[HALF:], np.load(folder / "truth.npy")[HALF:]
    timed = queries[: BATCH * (2 if kind == "flat" else 8)]
    warm_libraries(kind)
    before = resident()
    index = opened(folder, kind)
    rows: list[dict[str, Any]] = []
    for settings in SETTINGS[kind]:
        search = searcher(index, settings)
        found = np.concatenate([search(part) for part in batches(queries if kind != "flat" else timed, BATCH)])
        recall = np.mean([len(set(a) & set(b)) / K for a, b in zip(found.tolist(), truth.tolist(), strict=False)])
        one, many = seconds(search, timed, 1), seconds(search, timed, BATCH)
        figures = {"recall": float(recall), "p50": np.quantile(one, 0.5), "p95": np.quantile(one, 0.95)}
        rows.append({**settings, **figures, "batch": BATCH / statistics.median(many), "resident": resident() - before})
    if kind == "ivf_pq":
        rows[0]["cold"] = statistics.median(cold_seconds(searcher(index, {}), timed[:40], folder / "vectors.npy"))
    disk = sum(path.stat().st_size for path in (folder / kind).glob("*.faiss"))
    about = json.loads((folder / kind / "built.json").read_text(encoding="utf-8"))
    return {"kind": kind, "disk": disk, "about": about, "rows": rows}


def seconds(search: Callable[[NDArray[np.float32]], object], queries: NDArray[np.float32], size: int) -> list[float]:
    """How long each batch takes."""
    times = []
    for part in batches(queries, size):
        start = time.perf_counter()
        search(part)
        times.append(time.perf_counter() - start)
    return times


def cold_seconds(
    search: Callable[[NDArray[np.float32]], Found], queries: NDArray[np.float32], file: Path
) -> list[float]:
    """How long each query takes when the system has forgotten what it read of a file (unless others have it mapped)."""
    times = []
    with file.open("rb") as vectors:
        for part in batches(queries, 1):
            os.posix_fadvise(vectors.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            times += seconds(search, part, 1)
    return times


def warm_libraries(kind: str) -> None:
    """Load all code that a search of this kind runs through."""
    vectors = np.random.default_rng(SEED).standard_normal((500, 32), dtype=np.float32)
    tiny = VectorIndex.from_vectors([str(row) for row in range(500)], vectors, encoder=SentenceEncoder(), kind=kind)
    for size in (1, BATCH):
        tiny.search(vectors[:size], K)


def overhead(folder: Path, kind: str, pairs: int) -> dict[str, Any]:
    """Median time of a search through rankloom, and of the same through FAISS alone, in turns."""
    index = opened(folder, kind)
    search = cast("FaissSearch", index.contents.search)
    parameters = search.parameters(K)

    def ours(queries: NDArray[np.float32]) -> Hits:
        return index.search(queries, K, rescore=0)

    def raw(queries: NDArray[np.float32]) -> Found:
        found: Found = search.index.search(queries, K, params=parameters)[1]
        return found

    queries = np.load(folder / "queries.npy")[HALF:]
    told: dict[str, Any] = {"kind": kind}
    for size in (1, BATCH):
        turns = list(islice(cycle(batches(queries, size)), pairs if size == 1 else pairs // 8))
        if kind == "flat":
            turns = turns[: len(turns) // 8]
        times: dict[str, list[float]] = {"raw": [], "ours": []}
        for number, part in enumerate(turns):
            both = [("raw", raw), ("ours", ours)]
            for name, way in both if number % 2 else both[::-1]:
                times[name] += seconds(way, part, size)
        told |= {f"{name} {size}": statistics.median(some) for name, some in times.items()}
    return told


# --- the command line ----------------------------------------------------------------------------------------


def print_table(results: list[dict[str, Any]]) -> None:
    """Figures of all kinds."""
    print("| kind | settings | recall@10 | resident MB | disk MB | built s | one, ms p50 | p95 | batch, queries/s |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|")
    for one in results:
        for number, row in enumerate(one["rows"]):
            said = ", ".join(f"{name} {value}" for name, value in row.items() if name in ("ef", "nprobe", "rescore"))
            sizes = f"{one['disk'] / 1e6:,.0f} | {one['about']['seconds']:,.0f}"
            print(
                f"| {one['kind']} | {said or 'defaults'} | {row['recall']:.3f} | {row['resident'] / 1000:,.0f} | "
                f"{sizes if not number else '|'} | "
                f"{row['p50'] * 1000:.2f} | {row['p95'] * 1000:.2f} | {row['batch']:,.0f} |"
            )

    for row in (row for one in results for row in one["rows"] if "cold" in row):
        print(f"\nOne query when no full vector is in the system's cache, median: {row['cold'] * 1000:.2f} ms")


def print_overhead(results: list[dict[str, Any]]) -> None:
    """What rankloom adds, by kind."""
    print("| kind | one: FAISS, us | rankloom, us | more, us | batch of 64: FAISS, ms | rankloom, ms | more |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for one in results:
        few = one["raw 1"] * 1e6, one["ours 1"] * 1e6
        many = one[f"raw {BATCH}"] * 1e3, one[f"ours {BATCH}"] * 1e3
        print(
            f"| {one['kind']} | {few[0]:,.0f} | {few[1]:,.0f} | {few[1] - few[0]:,.0f} | {many[0]:,.2f} | "
            f"{many[1]:,.2f} | {100 * (many[1] / many[0] - 1):.1f}% |"
        )


def main() -> None:
    """Read the command line; measure each kind in a process of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--kinds", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--overhead", action="store_true")
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--in-this-process", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.in_this_process:
        (kind,) = given.kinds
        found = overhead(given.folder, kind, given.pairs) if given.overhead else measured(given.folder, kind)
        print(json.dumps(found))
        return
    prepare(given.folder, given.rows, Path(os.environ.get("RANKLOOM_DATA", "../shared/data")) / "collections")
    results = []
    for kind in given.kinds:
        build(given.folder, kind)
        again = [sys.executable, __file__, str(given.folder), "--kinds", kind, "--pairs", str(given.pairs)]
        again += ["--in-this-process", *(["--overhead"] if given.overhead else [])]
        told = subprocess.run(again, check=True, capture_output=True, text=True).stdout
        results.append(json.loads(told.splitlines()[-1]))
    (print_overhead if given.overhead else print_table)(results)


if __name__ == "__main__":
    main()
