"""Candidate search of token vectors beside exact search: recall, bytes and speed, by storage.

`python benchmarks/token_candidates.py FOLDER` makes clustered random vectors, 100 for each of 20,000 documents, and
`--collection scifact --documents 1600` the token states of all-MiniLM-L6-v2 for documents of a collection (those that
are judged relevant first; RANKLOOM_DATA, as for tests). FOLDER keeps vectors and indexes; what is there is not built
again, so that the second run only measures: `taskset -c 1 python ...` for one thread. Prints a Markdown table.

Recall is against exact search of the float16 vectors. Random vectors: each document is on one of a theme for every
twenty documents, three of ten tokens lie around one of 12 directions that all share, the others around one of the
theme's 12; a query is 32 tokens of a document with noise.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rankloom.retrieval.token_index.candidate_search import CandidateSearch
from rankloom.retrieval.token_index.effort import effort
from rankloom.retrieval.token_index.exact_search import ExactSearch
from rankloom.retrieval.token_index.residual import ResidualStorage
from rankloom.retrieval.token_index.storage import Float16Storage, Int8Storage, TokenStorage
from rankloom.retrieval.vectors.best_documents import Hits
from rankloom.token_vectors import TokenVectors

SEED, QUERIES, DIRECTIONS, COMMON, NOISE = 7, 64, 12, 0.3, 0.5
TOKENS, DIMENSIONS, QUERY_TOKENS = 100, 128, 32
_BLOCK = 1000  # documents made at a time
Efforts = dict[int, tuple[int, int]]  # number of hits -> probes, candidates
DEFAULT: Efforts = {k: effort(k)[:2] for k in (10, 100)}
PLAID: Efforts = {10: (1, 64), 100: (2, 256)}
NAMES = {"exact": "exact", "centroids": "candidates"}


# --- vectors -------------------------------------------------------------------------------------------------


def unit(matrix: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows of length 1."""
    return (matrix / np.linalg.norm(matrix, axis=-1, keepdims=True)).astype(np.float32)


class Clustered:
    """Random vectors of documents, made block by block and always the same."""

    dimensions = DIMENSIONS

    def __init__(self, documents: int) -> None:
        self.documents, self.themes = documents, max(documents // 20, 1)
        shape = (self.themes + 1, DIRECTIONS, DIMENSIONS)
        self.centres = np.random.default_rng(SEED).standard_normal(shape, dtype=np.float32)

    def __len__(self) -> int:
        return self.documents * TOKENS

    def blocks(self, size: int) -> Iterator[tuple[int, NDArray[np.float32]]]:  # noqa: ARG002
        """As `storage.Rows` has it; of whole documents, whatever the size."""
        for first in range(0, self.documents, _BLOCK):
            rng = np.random.default_rng([SEED, first])
            theme = np.repeat(rng.integers(0, self.themes, min(_BLOCK, self.documents - first)), TOKENS)
            theme[rng.random(len(theme)) < COMMON] = self.themes
            rows = self.centres[theme, rng.integers(0, DIRECTIONS, len(theme))]
            yield first * TOKENS, unit(rows + NOISE * rng.standard_normal(rows.shape, dtype=np.float32))


def clustered(folder: Path, documents: int) -> None:
    """Write random vectors of documents and queries."""
    storage = Float16Storage.build(Clustered(documents), folder=folder)
    np.save(folder / "offsets.npy", np.arange(0, len(storage) + 1, TOKENS))
    rng = np.random.default_rng(SEED)
    rows = (rng.integers(0, documents, QUERIES) * TOKENS)[:, None] + rng.integers(0, TOKENS, (QUERIES, QUERY_TOKENS))
    asked = storage.take(rows.ravel())
    asked += 0.5 / np.sqrt(DIMENSIONS) * rng.standard_normal(asked.shape, dtype=np.float32)
    np.save(folder / "queries.npy", unit(asked))
    np.save(folder / "query-offsets.npy", np.arange(QUERIES + 1) * QUERY_TOKENS)


def encoded(folder: Path, collection: str, documents: int) -> None:
    """Write the token states of a collection's documents and queries."""
    from rankloom import Session
    from rankloom.eval import load_collection
    from rankloom.retrieval.vectors.vector_parts import VectorParts
    from rankloom.token_encoder import TokenEncoder

    loaded = load_collection(collection)
    relevant = {document for judged in loaded.qrels.values() for document, grade in judged.items() if grade > 0}
    everything = sorted(loaded.corpus, key=lambda document: (document.id not in relevant, document.id))[:documents]
    session, encoder = Session(offline=True, dtype="bfloat16"), TokenEncoder("all-MiniLM-L6-v2", untrained=True)
    left = encoder.encode([document.contents for document in everything], role="document", session=session).vectors
    asked = [query.text for query in loaded.queries][:QUERIES]
    right = encoder.encode(asked, role="query", session=session).vectors
    Float16Storage.build(VectorParts([left.vectors]), folder=folder)
    np.save(folder / "offsets.npy", left.offsets)
    np.save(folder / "queries.npy", right.vectors)
    np.save(folder / "query-offsets.npy", right.offsets)


# --- indexes -------------------------------------------------------------------------------------------------


def once(folder: Path, build: Callable[[Path], object]) -> Path:
    """A folder, filled unless that has been done."""
    done = folder / "seconds"
    if not done.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        begun = time.perf_counter()
        build(folder)
        done.write_text(f"{time.perf_counter() - begun:.0f}", encoding="utf-8")
    return folder


def residual(folder: Path, rows: TokenStorage, bits: int) -> ResidualStorage:
    """Residual storage of some vectors."""
    place = once(folder / f"residual-{bits}", lambda place: ResidualStorage.build(rows, folder=place, bits=bits))
    return ResidualStorage.read(place, {"normalized": True})


def candidates(folder: Path, name: str, storage: TokenStorage, offsets: NDArray[np.int64]) -> CandidateSearch:
    """Candidate search over residual storage, whose centroids it shares."""
    place = once(folder / name, lambda place: CandidateSearch.build(storage, offsets, folder=place))
    return CandidateSearch.read(place, storage, offsets, {})


# --- measuring -----------------------------------------------------------------------------------------------


def recall(found: Hits, best: Hits, k: int) -> float:
    """The share of the best k that are among the first k found, over all queries."""
    shares = [
        len(set(found.of(number)[0][:k].tolist()) & set(best.of(number)[0][:k].tolist())) / k
        for number in range(len(best.offsets) - 1)
    ]
    return statistics.mean(shares)


def line(
    storage: str,
    search: Callable[[int], Hits],
    best: Hits,
    *,
    how: str,
    nbytes: int,
    efforts: Efforts | None,
    rounds: int,
) -> str:
    """A line of the table; without rounds, without speed."""
    cells, queries = [], len(best.offsets) - 1
    for k in (10, 100):
        found, times = search(k), []  # the first warms up
        for _ in range(rounds):
            begun = time.perf_counter()
            search(k)
            times.append(time.perf_counter() - begun)
        speed = f"{queries / statistics.median(times):.0f}" if times else ""
        looked = f"{efforts[k][0]}, {efforts[k][1]}" if efforts else ""
        cells.append(f"{looked} | {recall(found, best, k):.3f} | {speed}")
    return f"| {how} | {storage} | {nbytes:,} | {' | '.join(cells)} |"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--collection", help="a collection of RANKLOOM_DATA; random vectors without")
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--bits", type=int, nargs="*", default=[2], help="of residual storage: 1, 2, 4")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    folder = given.folder / f"{given.collection or 'random'}-{given.documents}"

    def make(place: Path) -> None:
        encoded(place, given.collection, given.documents) if given.collection else clustered(place, given.documents)

    once(folder / "vectors", make)
    storage = Float16Storage.read(folder / "vectors", {})
    offsets, rows = np.load(folder / "vectors" / "offsets.npy"), np.load(folder / "vectors" / "queries.npy")
    queries = TokenVectors(rows, np.load(folder / "vectors" / "query-offsets.npy")).take(np.arange(QUERIES))
    whole = ExactSearch.build(storage, offsets)
    best = whole.search(queries, 100)

    def row(storage: str, search: ExactSearch | CandidateSearch, efforts: Efforts | None, rounds: int) -> None:
        def find(k: int) -> Hits:
            if isinstance(search, ExactSearch):
                return search.search(queries, k)
            nprobe, candidates = efforts[k] if efforts else (None, None)
            return search.search(queries, k, nprobe=nprobe, candidates=candidates)

        each = (search.storage.nbytes + search.nbytes) // len(search)
        how = NAMES[search.kind]
        print(line(storage, find, best, how=how, nbytes=each, efforts=efforts, rounds=rounds), flush=True)

    for number, bits in enumerate(given.bits):
        kept = residual(folder, storage, bits)
        found = candidates(folder, f"lists-{bits}", kept, offsets)
        if not number:
            print(f"{len(whole):,} documents, {len(storage):,} vectors, {len(found.centroids):,} centroids;", end=" ")
            print(f"{len(queries)} queries of {queries.lengths.mean():.0f} vectors\n")
            print("| search | storage | bytes a document | probes, candidates | recall@10 | queries/s, k=10 |", end="")
            print(" probes, candidates | recall@100 | queries/s, k=100 |")
            print("|---|---|---:|---|---:|---:|---|---:|---:|")
            row("float16", whole, None, given.rounds)
            # the same centroids as its own would be: the rows and the seed are the same
            over = CandidateSearch(storage, offsets, found.centroids, found.codes, found.lists)
            for efforts in (DEFAULT, PLAID):
                row("float16", over, efforts, given.rounds)
            row("int8", ExactSearch.build(Int8Storage.build(storage), offsets), None, given.rounds)
        row(f"residual, {bits} bits", ExactSearch.build(kept, offsets), None, 0)
        row(f"residual, {bits} bits", found, DEFAULT, given.rounds)


if __name__ == "__main__":
    main()
