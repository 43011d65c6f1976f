"""Learned sparse search: rankloom, a plain term-at-a-time scorer in numba, and Seismic, side by side.

`python benchmarks/learned_sparse.py FOLDER --documents 200000` (extra `bench`); prints a Markdown table. The vectors
are those of `splade_like.py`, `--independent` for the hard ones, kept in FOLDER. Weights are rounded to 1/64 for all
engines, so that all are asked the same; how much the rounding changes is printed below the table.

Each engine builds in a process of its own and then searches in others, one thread; engines take turns. Queries a second
and builds are by the processor's time, so that other work on the machine weighs less, and medians are shown: of a batch
of all queries in one call, and of one query a call. Approximate engines try all their settings; shown is the fastest
that finds at least 99% of the best ten. Seismic's are `query_cut` and `heap_factor`; how long its lists are
(`--postings`) is fixed when it builds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
import splade_like
from numpy.typing import NDArray
from splade_like import TERMS, Vectors

K, ENOUGH, SCALE = 10, 0.99, 64
BATCH = 10_000  # documents given to an engine at once
REACHES = (0.5, 0.3, 0.25, 0.2, 0.18, 0.16, 0.15, 0.14, 0.13, 0.12, 0.1)
CUTS, FACTORS = (3, 4, 5, 6, 8, 10, 12, 16), (1.0, 0.95, 0.9, 0.85, 0.8, 0.7)
NAMES = [f"t{number:05}" for number in range(TERMS)]
Found = NDArray[np.int32]  # the best documents of each query
Engine = dict[str, tuple[Callable[[], Found], Callable[[int], Any]]]  # by setting: a batch, and one query


def rounded(weights: NDArray[np.float32]) -> NDArray[np.int32]:
    """Weights as whole impacts."""
    return np.maximum(1, np.rint(weights.astype(np.float64) * SCALE)).astype(np.int32)


def load(folder: Path) -> tuple[Vectors, Vectors]:
    """Documents and queries."""
    with np.load(folder / "vectors.npz") as held:
        return Vectors(*(held[f"documents_{name}"] for name in Vectors._fields)), Vectors(
            *(held[f"queries_{name}"] for name in Vectors._fields)
        )


def stretches(documents: Vectors) -> Iterator[tuple[int, int, int, int]]:
    """First and last document, first and last posting, of each batch."""
    ends = documents.offsets
    for first in range(0, len(ends) - 1, BATCH):
        last = min(first + BATCH, len(ends) - 1)
        yield first, last, int(ends[first]), int(ends[last])


# --- rankloom ------------------------------------------------------------------------------------------------------


def build_rankloom(folder: Path, place: Path) -> None:
    """Ours, columns streamed."""
    from rankloom.retrieval import LearnedSparse, SparseVectors

    documents, _ = load(folder)

    def batches() -> Iterator[SparseVectors]:
        for first, last, start, end in stretches(documents):
            ids = [f"d{number:07}" for number in range(first, last)]
            offsets = documents.offsets[first : last + 1] - start
            weights = rounded(documents.weights[start:end]) / SCALE
            yield SparseVectors(ids, NAMES, offsets, documents.terms[start:end], weights)

    LearnedSparse.build_vectors(place, batches(), scale=SCALE)


def search_rankloom(folder: Path, place: Path) -> Engine:
    """Ours, exact and at several reaches."""
    from rankloom.retrieval import ImpactIndex

    index = ImpactIndex.open(place, threads=1)
    _, asked = load(folder)
    ends = asked.offsets.tolist()
    queries = [
        dict(zip([NAMES[term] for term in asked.terms[a:b].tolist()], asked.weights[a:b].tolist(), strict=True))
        for a, b in itertools.pairwise(ends)
    ]

    def engine(reach: float) -> tuple[Callable[[], Found], Callable[[int], Any]]:
        return (
            lambda: index.search_impacts(queries, K, reach=reach).codes.reshape(-1, K),
            lambda number: index.search_impacts([queries[number]], K, reach=reach),
        )

    return {"exact": engine(1.0), **{f"reach {reach:g}": engine(reach) for reach in REACHES}}


# --- a plain scorer ------------------------------------------------------------------------------------------------


def build_plain(folder: Path, place: Path) -> None:
    """Postings by term."""
    from scipy.sparse import csr_matrix

    documents, _ = load(folder)
    shape = (len(documents.offsets) - 1, TERMS)
    values = rounded(documents.weights).astype(np.float32)
    columns = csr_matrix((values, documents.terms, documents.offsets), shape=shape).tocsc()
    place.mkdir()
    for name in ("indptr", "indices", "data"):
        np.save(place / f"{name}.npy", getattr(columns, name))


@numba.njit(nogil=True, cache=True)
def term_at_a_time(queries: Any, columns: Any, sums: Any, found: Any) -> None:
    """Add up every posting of every query term in float32, then look for the best."""
    starts, documents, values = columns
    for query in range(len(found)):
        sums[:] = 0
        for place in range(queries.offsets[query], queries.offsets[query + 1]):
            term, weight = queries.terms[place], queries.weights[place]
            for posting in range(starts[term], starts[term + 1]):
                sums[documents[posting]] += weight * values[posting]
        best, codes, worst = np.full(found.shape[1], -1, dtype=np.float32), np.zeros(found.shape[1], dtype=np.int32), 0
        for document in range(len(sums)):
            if sums[document] > best[worst]:
                best[worst], codes[worst] = sums[document], document
                worst = int(np.argmin(best))
        found[query] = codes[np.argsort(-best)]


def search_plain(folder: Path, place: Path) -> Engine:
    """The plain scorer, on columns in memory."""
    starts, documents, values = (np.load(place / f"{name}.npy") for name in ("indptr", "indices", "data"))
    held, asked = load(folder)
    sums = np.zeros(len(held.offsets) - 1, dtype=np.float32)

    def batch(queries: Vectors) -> Found:
        found = np.zeros((len(queries.offsets) - 1, K), dtype=np.int32)
        term_at_a_time(queries, (starts, documents, values), sums, found)
        return found

    def one(number: int) -> Found:
        here = slice(*asked.offsets[number : number + 2].tolist())
        return batch(Vectors(np.array([0, here.stop - here.start]), asked.terms[here], asked.weights[here]))

    return {"exact": (lambda: batch(asked), one)}


# --- Seismic -------------------------------------------------------------------------------------------------------


def build_seismic(folder: Path, place: Path, postings: int) -> None:
    """Seismic, one thread."""
    import seismic

    documents, _ = load(folder)
    names, weights = (
        np.array(NAMES, dtype=seismic.get_seismic_string()),
        rounded(documents.weights).astype(np.float32) / SCALE,
    )
    held = seismic.SeismicDataset()
    ends = documents.offsets.tolist()
    for number, (start, end) in enumerate(itertools.pairwise(ends)):
        held.add_document(str(number), names[documents.terms[start:end]], weights[start:end])
    index = seismic.SeismicIndex.build_from_dataset(held, n_postings=postings, num_threads=1)
    place.mkdir()
    index.save(str(place / "held"))


def search_seismic(folder: Path, place: Path) -> Engine:
    """Seismic, a grid of its settings."""
    import seismic

    index = seismic.SeismicIndex.load(str(place / "held.index.seismic"))
    _, asked = load(folder)
    text = seismic.get_seismic_string()
    names, ends = np.array(NAMES, dtype=text), asked.offsets.tolist()
    queries = [(names[asked.terms[a:b]], asked.weights[a:b]) for a, b in itertools.pairwise(ends)]
    ids = np.array([str(number) for number in range(len(queries))], dtype=text)
    terms, weights = [pair[0] for pair in queries], [pair[1] for pair in queries]

    def engine(cut: int, factor: float) -> tuple[Callable[[], Found], Callable[[int], Any]]:
        options = {"k": K, "query_cut": cut, "heap_factor": factor}

        def batch() -> Found:
            hits = index.batch_search(ids, terms, weights, num_threads=1, **options)
            found = np.full((len(queries), K), -1, dtype=np.int32)
            for one in hits:
                for rank, (query, _, document) in enumerate(one):
                    found[int(query), rank] = int(document)
            return found

        return batch, lambda number: index.search("q", *queries[number], **options)

    return {f"cut {cut}, factor {factor:g}": engine(cut, factor) for cut in CUTS for factor in FACTORS}


SEARCH: dict[str, Callable[[Path, Path], Engine]] = {
    "plain": search_plain,
    "rankloom": search_rankloom,
    "seismic": search_seismic,
}
TITLES = {"plain": "term at a time (numba)", "rankloom": "rankloom", "seismic": "Seismic"}


# --- measuring -----------------------------------------------------------------------------------------------------


def build(engine: str, folder: Path, postings: int) -> dict[str, float]:
    """What the building process measures."""
    place = folder / engine
    began, spent = time.perf_counter(), time.process_time()
    if engine == "seismic":
        build_seismic(folder, place, postings)
    else:
        {"plain": build_plain, "rankloom": build_rankloom}[engine](folder, place)
    told = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - spent}
    told["disk"] = sum(path.stat().st_size for path in place.rglob("*") if path.is_file()) / 1e6
    return told


def search(engine: str, folder: Path, repeats: int) -> dict[str, Any]:
    """What a searching process measures: for each setting, queries a second in a batch and singly, and recall."""
    settings = SEARCH[engine](folder, folder / engine)
    queries = len(load(folder)[1].offsets) - 1
    exact = np.load(folder / "exact.npy") if (folder / "exact.npy").exists() else None
    told: dict[str, Any] = {}
    for name, (batch, one) in settings.items():
        found = batch()  # compiles, and brings the index into memory
        if exact is None:
            np.save(folder / "exact.npy", found)
            exact = found
        shares = [len(set(a) & set(b)) / K for a, b in zip(found.tolist(), exact.tolist(), strict=True)]
        told[name] = {"recall": float(np.mean(shares)), "batch": [], "single": []}
        if told[name]["recall"] < ENOUGH:
            continue
        for _ in range(repeats):
            spent = time.process_time()
            batch()
            told[name]["batch"].append(queries / (time.process_time() - spent))
            spent = time.process_time()
            for number in range(queries):
                one(number)
            told[name]["single"].append(queries / (time.process_time() - spent))
    return told


def in_process(given: argparse.Namespace, engine: str, task: str) -> dict[str, Any]:
    """What a process of its own measures, and its peak memory."""
    options = ["--engine", engine, "--task", task, "--repeats", str(given.repeats), "--postings", str(given.postings)]
    command = [sys.executable, __file__, str(given.folder), *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def best_setting(runs: list[dict[str, Any]], names: list[str]) -> tuple[str, float, float, float]:
    """The fastest of some settings that finds enough: name, queries a second in a batch and singly, recall."""
    found = []
    for name in names:
        if all(run[name]["batch"] for run in runs):
            rates = [
                statistics.median(rate for run in runs for rate in run[name][kind]) for kind in ("batch", "single")
            ]
            found.append((name, *rates, runs[0][name]["recall"]))
    return max(found, key=lambda row: row[1])


def table(given: argparse.Namespace) -> None:
    """Measure all engines and print the table."""
    built = {}
    for engine in given.engines:
        kept = given.folder / f"{engine}.json"
        if not kept.exists():
            kept.write_text(json.dumps(in_process(given, engine, "build")))
        built[engine] = json.loads(kept.read_text())
    in_process(given, "plain", "search")  # the first one says what the best are
    turns = [{engine: in_process(given, engine, "search") for engine in given.engines} for _ in range(given.turns)]
    print("| engine | setting | build CPU s | peak MB | disk MB | q/s, batch | q/s, single | recall@10 | peak MB |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|")
    for engine in given.engines:
        runs = [turn[engine]["told"] for turn in turns]
        peak = max(turn[engine]["peak"] for turn in turns)
        groups = [["exact"], [name for name in runs[0] if name != "exact"]]
        for names in [group for group in groups if runs[0].keys() & group]:
            setting, batch, single, recall = best_setting(runs, names)
            numbers = [
                built[engine]["told"]["cpu"],
                built[engine]["peak"],
                built[engine]["told"]["disk"],
                batch,
                single,
            ]
            shown = " | ".join(f"{number:,.1f}" if number < 10 else f"{number:,.0f}" for number in numbers)
            print(f"| {TITLES[engine]} | {setting} | {shown} | {recall:.4f} | {peak:,.0f} |")
    print(f"\nRounding to 1/{SCALE} keeps {kept_by_rounding(given.folder):.1%} of the best ten of unrounded weights.")


def kept_by_rounding(folder: Path) -> float:
    """How many of the best ten by unrounded weights are among the best ten by rounded ones."""
    from scipy.sparse import csr_matrix

    documents, asked = load(folder)
    shape = (len(documents.offsets) - 1, TERMS)
    columns = csr_matrix((documents.weights, documents.terms, documents.offsets), shape=shape).tocsc()
    found, exact = np.zeros((len(asked.offsets) - 1, K), dtype=np.int32), np.load(folder / "exact.npy")
    sums = np.zeros(shape[0], dtype=np.float32)
    term_at_a_time(asked, (columns.indptr, columns.indices, columns.data), sums, found)
    return float(np.mean([len(set(a) & set(b)) / K for a, b in zip(found.tolist(), exact.tolist(), strict=True)]))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--independent", action="store_true")
    parser.add_argument("--postings", type=int, default=800, help="Seismic's n_postings; 800 for 200,000 documents")
    parser.add_argument("--engines", nargs="+", choices=SEARCH, default=list(SEARCH))
    parser.add_argument("--engine", choices=SEARCH)
    parser.add_argument("--task", choices=["build", "search"])
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    if given.engine:
        if given.task == "build":
            told: dict[str, Any] = build(given.engine, given.folder, given.postings)
        else:
            told = search(given.engine, given.folder, given.repeats)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"told": told, "peak": peak}))
        return
    given.folder.mkdir(parents=True, exist_ok=True)
    if not (given.folder / "vectors.npz").exists():
        both = splade_like.collection(given.documents, given.queries, topical=not given.independent)
        names = [f"{kind}_{name}" for kind in ("documents", "queries") for name in Vectors._fields]
        np.savez(given.folder / "vectors.npz", **dict(zip(names, [*both[0], *both[1]], strict=True)))
    table(given)


if __name__ == "__main__":
    main()
