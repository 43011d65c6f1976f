"""Exact MaxSim over 20,000 documents of 100 vectors of 128 numbers: rankloom beside torch in float32.

`python benchmarks/maxsim.py --threads 2` prints a Markdown table. Vectors are random, of length 1, the hardest case for
bounds: no document stands out. Queries have 32 vectors. C8x32 stands for the sizes that CRISP reduces to: 8 vectors of
a query and 32 of a document. torch multiplies all vectors with those of one query, and takes maxima, sums and the best;
batched, with those of all queries that are asked together, a block of documents at a time so that products stay small.
rankloom searches mapped files. Engines take turns; medians. Each is set against torch of one query at a time over all
vectors, and against the faster torch over the same vectors. Recall is against float64, over the vectors before they are
stored, and over the stored ones.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rankloom.retrieval.token_index.exact_search import ExactSearch
from rankloom.retrieval.token_index.kinds import storage_kind
from rankloom.retrieval.vectors.vector_parts import VectorParts
from rankloom.token_vectors import TokenVectors

SEED, DIMENSIONS, QUERIES = 7, 128, 32
BLOCK = 50  # documents that batched torch multiplies at a time; 200 to 4,000 take longer
Search = Callable[[int, int], list[list[int]]]  # the first query and how many: the best documents of each


def texts(rng: np.random.Generator, count: int, vectors: int) -> TokenVectors:
    """Random vectors of length 1, so many for each text."""
    rows = rng.standard_normal((count * vectors, DIMENSIONS), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return TokenVectors(rows, np.arange(0, count * vectors + 1, vectors))


def torch_search(documents: TokenVectors, queries: TokenVectors, k: int) -> Search:
    """A plain implementation in float32."""
    import torch

    matrix = torch.from_numpy(documents.vectors)

    def best(number: int) -> list[int]:
        products = (matrix @ torch.from_numpy(queries[number]).T).view(len(documents), -1, len(queries[number]))
        found: list[int] = torch.topk(products.amax(dim=1).sum(dim=1), k).indices.tolist()
        return found

    return lambda first, count: [best(number) for number in range(first, first + count)]


def batched_torch_search(documents: TokenVectors, queries: TokenVectors, k: int) -> Search:
    """The same for several queries together, by blocks whose products take the same memory every time."""
    import torch

    vectors = len(documents[0])
    blocks = torch.from_numpy(documents.vectors).split(BLOCK * vectors)

    def best(first: int, count: int) -> list[list[int]]:
        asked = torch.from_numpy(queries.take(np.arange(first, first + count)).vectors)
        products = torch.empty(len(blocks[0]), len(asked))
        parts = []
        for block in blocks:
            torch.mm(block, asked.T, out=products[: len(block)])
            parts.append(products[: len(block)].view(-1, vectors, len(asked)).amax(dim=1))
        scores = torch.cat(parts).view(len(documents), count, -1).sum(dim=2)
        found: list[list[int]] = torch.topk(scores, k, dim=0).indices.T.tolist()
        return found

    return best


def our_search(
    documents: TokenVectors, queries: TokenVectors, storage: str, k: int, folder: Path
) -> tuple[Search, TokenVectors]:
    """Exact search of files in a folder, and the vectors as they are stored."""
    for name in ("vectors", "search"):
        (folder / name).mkdir(parents=True)
    kept = storage_kind(storage, stage="benchmark").build(VectorParts([documents.vectors]), folder=folder / "vectors")
    search = ExactSearch.build(kept, documents.offsets, folder=folder / "search")

    def best(first: int, count: int) -> list[list[int]]:
        hits = search.search(queries.take(np.arange(first, first + count)), k)
        return [hits.of(number)[0].tolist() for number in range(count)]

    return best, TokenVectors(kept.decoded(slice(0, len(kept))), documents.offsets)


def recall(found: list[list[int]], documents: TokenVectors, queries: TokenVectors) -> float:
    """How many of the best documents by float64 were found, of the first queries."""
    shares = []
    for number, documents_found in enumerate(found):
        query = queries[number].astype(np.float64)
        scores = np.array([(query @ one.T.astype(np.float64)).max(axis=1).sum() for one in documents])
        best = np.argsort(-scores, kind="stable")[: len(documents_found)].tolist()
        shares.append(len(set(documents_found) & set(best)) / len(best))
    return float(np.mean(shares))


def measured(engines: dict[str, Search], together: int, rounds: int) -> dict[str, float]:
    """Median milliseconds of a query for each engine, which take turns."""
    times: dict[str, list[float]] = {name: [] for name in engines}
    for number in range(-1, rounds):  # the first round warms up
        first = (max(number, 0) * together) % (QUERIES - together + 1)
        for name, search in engines.items():
            begun = time.perf_counter()
            search(first, together)
            if number >= 0:
                times[name].append(1000 * (time.perf_counter() - begun) / together)
    return {name: statistics.median(spent) for name, spent in times.items()}


def main() -> None:
    """Read the command line."""
    import torch

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rng = np.random.default_rng(SEED)
    whole = texts(rng, given.documents, 100), texts(rng, QUERIES, 32)
    reduced = texts(rng, given.documents, 32), texts(rng, QUERIES, 8)
    sizes = {"32 x 100": whole, "C8x32": reduced}
    engines: dict[str, Search] = {}
    data: dict[str, tuple[TokenVectors, TokenVectors, TokenVectors]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for size, (documents, queries) in sizes.items():
            for name, torch_way in (("torch", torch_search), ("torch, batched", batched_torch_search)):
                engines[f"{name}, {size}"] = torch_way(documents, queries, given.k)
                data[f"{name}, {size}"] = documents, queries, documents
            for storage in ("float16", "int8"):
                name = f"rankloom, {storage}, {size}"
                engines[name], stored = our_search(documents, queries, storage, given.k, Path(folder) / name)
                data[name] = documents, queries, stored
        one, eight = (measured(engines, together, given.rounds) for together in (1, 8))
        print("| engine | one query, ms | times torch | same vectors | 8 at a time, queries/s | times torch |", end="")
        print(" same vectors | recall | as stored |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|")
        for name, search in engines.items():
            documents, queries, stored = data[name]
            found, cells = search(0, 8), [name]
            same_vectors = [other for other in engines if "torch" in other and data[other][0] is documents]
            for times, shown in ((one, f"{one[name]:.1f}"), (eight, f"{1000 / eight[name]:,.0f}")):
                plain = times["torch, 32 x 100"], min(times[other] for other in same_vectors)
                cells += [shown, *(f"{other / times[name]:.1f}" for other in plain)]
            cells += [f"{recall(found, documents, queries):.4g}", f"{recall(found, stored, queries):.4g}"]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
