"""Exact search of 200,000 MiniLM vectors: rankloom's whole path, torch's product and topk, and FAISS's flat index.

`taskset -c 1 python benchmarks/exact_search.py FOLDER --threads 1` for one thread; prints a Markdown table. FOLDER
keeps the vectors: encodings of SciFact (RANKLOOM_DATA, as for tests), and from them, to the number wanted, points
between two of them with a little noise. Queries are SciFact's. Engines take turns, the same batch each; medians. Recall
is against scores in float64. rankloom is searched by `VectorIndex.search` in a folder: mapped files, documents by id.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SEED, NOISE = 7, 0.1
Search = Callable[[NDArray[np.float32], int], NDArray[np.int64]]


def vectors(folder: Path, rows: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Rows and queries, from the folder or made now."""
    place = folder / f"vectors-{rows}.npy"
    if not place.is_file():
        from rankloom import Session
        from rankloom.encoders import SentenceEncoder
        from rankloom.eval import load_collection

        collection = load_collection("scifact")
        session, encoder = Session(offline=True, dtype="auto"), SentenceEncoder()
        texts = [document.contents for document in collection.corpus]
        real = encoder.encode(texts, role="document", session=session).vectors
        queries = [query.text for query in collection.queries][:320]
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "queries.npy", encoder.encode(queries, role="query", session=session).vectors)
        np.save(place, spread(real, rows))
    return np.load(place), np.load(folder / "queries.npy")


def spread(real: NDArray[np.float32], rows: int) -> NDArray[np.float32]:
    """Real vectors, and points between two of them with noise, of length 1."""
    rng = np.random.default_rng(SEED)
    first, second = rng.integers(0, len(real), (2, rows - len(real)))
    share = rng.uniform(0, 1, (rows - len(real), 1)).astype(np.float32)
    between = share * real[first] + (1 - share) * real[second]
    between += rng.standard_normal(between.shape, dtype=np.float32) * np.float32(NOISE / np.sqrt(real.shape[1]))
    together = np.concatenate([real, between])
    return together / np.linalg.norm(together, axis=1, keepdims=True)


def engines(matrix: NDArray[np.float32], folder: Path, threads: int) -> dict[str, Search]:
    """Each engine by name: from queries and k to row numbers."""
    import faiss
    import torch

    from rankloom.encoders import SentenceEncoder
    from rankloom.retrieval import VectorIndex

    torch.set_num_threads(threads)
    faiss.omp_set_num_threads(threads)
    flat = faiss.IndexFlatIP(matrix.shape[1])
    flat.add(matrix)
    names, rows = [f"d{number:08d}" for number in range(len(matrix))], torch.from_numpy(matrix)
    place = folder / f"index-{len(matrix)}"
    index = VectorIndex.from_vectors(names, matrix, encoder=SentenceEncoder("none"), path=place)

    def ours(queries: NDArray[np.float32], k: int) -> NDArray[np.int64]:
        return index.search(queries, k).codes.reshape(len(queries), -1).astype(np.int64)

    def plain(queries: NDArray[np.float32], k: int) -> NDArray[np.int64]:
        return torch.topk(torch.from_numpy(queries) @ rows.T, k).indices.numpy()

    return {
        "faiss Flat": lambda queries, k: flat.search(queries, k)[1],
        "torch product and topk": plain,
        f"rankloom, {index.kind}": ours,
    }


def truth(matrix: NDArray[np.float32], queries: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """The best k rows of each query in float64."""
    scores = queries.astype(np.float64) @ matrix.T.astype(np.float64)
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def measured(
    search: dict[str, Search], queries: NDArray[np.float32], size: int, k: int, rounds: int
) -> dict[str, float]:
    """Median milliseconds of a batch for each engine, which take turns."""
    times: dict[str, list[float]] = {name: [] for name in search}
    for number in range(-1, rounds):  # the first round warms up
        start = (max(number, 0) * size) % (len(queries) - size + 1)
        batch = np.ascontiguousarray(queries[start : start + size])
        for name, one in search.items():
            begun = time.perf_counter()
            one(batch, k)
            if number >= 0:
                times[name].append(1000 * (time.perf_counter() - begun))
    return {name: statistics.median(spent) for name, spent in times.items()}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    matrix, queries = vectors(given.folder, given.rows)
    search = engines(matrix, given.folder, given.threads)
    best = truth(matrix, queries[:64], 10)
    print("| engine | queries/s, 64 at a time, k=10 | times FAISS | k=1000 | one query, ms | recall@10 |")
    print("|---|---:|---:|---:|---:|---:|")
    many, deep = (measured(search, queries, 64, k, given.rounds) for k in (10, 1000))
    one = measured(search, queries, 1, 10, 5 * given.rounds)
    for name, run in search.items():
        found = run(queries[:64], 10)
        recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), best.tolist(), strict=True)])
        ratio = many["faiss Flat"] / many[name]
        print(
            f"| {name} | {64_000 / many[name]:,.0f} | {ratio:.1f} | {64_000 / deep[name]:,.0f} | {one[name]:.1f} |"
            f" {recall:.4f} |"
        )


if __name__ == "__main__":
    main()
