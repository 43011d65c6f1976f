"""What vector feedback adds to the latency of dense retrieval: with it, against two plain searches.

`python benchmarks/vector_prf.py CACHE` on SciFact (RANKLOOM_DATA/collections/scifact) with all-MiniLM-L6-v2 and exact
search; the cache keeps the index. Prints a Markdown table.

`dense >> vector_prf >> dense` encodes each query and searches twice, so it is held against the plain search made twice.
Both take turns, in milliseconds by the clock: a text alone, as a user waits for it; all as one batch, divided by
their number; and all queries whose vectors are there already, so that nothing is encoded. What is added is the median
of the rounds' ratios, less one.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rankloom import Query, Run, Session
from rankloom.cache import Cache
from rankloom.eval import load_collection
from rankloom.prf import VectorPRF
from rankloom.retrieval import Dense

Call = Callable[[], object]
WAYS = {"average, 3 documents": VectorPRF(), "Rocchio, 5 documents": VectorPRF(method="rocchio")}
SESSION = Session(offline=True, device="cpu")  # without a cache


@dataclass
class Timed:
    """Milliseconds of two plain searches and of one with feedback, by round."""

    twice: list[float] = field(default_factory=list)
    fed: list[float] = field(default_factory=list)

    def added(self) -> float:
        """What feedback adds, as a share: the median of the rounds' ratios, less one."""
        return statistics.median(fed / twice for fed, twice in zip(self.fed, self.twice, strict=True)) - 1


def milliseconds(call: Call) -> float:
    """How long a call takes by the clock."""
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1000


def timed(plain: Call, fed: Call, rounds: int) -> Timed:
    """Both ways in turn, each first in every other round."""
    found = Timed()
    plain(), fed()  # models and pages are in memory
    for number in range(rounds):
        ways: list[Call] = [
            lambda: found.twice.append(milliseconds(plain) + milliseconds(plain)),
            lambda: found.fed.append(milliseconds(fed)),
        ]
        for way in ways if number % 2 else reversed(ways):
            way()
    return found


def from_texts(dense: Dense, feedback: VectorPRF, queries: Sequence[Query], rounds: int) -> Timed:
    """Searches for texts, which are encoded each time."""
    fed = dense >> feedback >> dense
    return timed(lambda: dense.run(queries, session=SESSION), lambda: fed.run(queries, session=SESSION), rounds)


def from_vectors(dense: Dense, feedback: VectorPRF, queries: tuple[Query, ...], rounds: int) -> Timed:
    """Searches for vectors that are there already."""
    bound = feedback.bound(dense)

    def plain() -> Run:
        return dense.run(queries, session=SESSION)

    def fed() -> Run:
        return dense.run(bound.run(replace(plain(), queries=queries)))

    return timed(plain, fed, rounds)


def row(name: str, asked: str, found: Timed, count: int) -> str:
    """A row of the table; times are a query's."""
    twice, fed = (statistics.median(times) / count for times in (found.twice, found.fed))
    return f"| {name} | {asked} | {twice:.2f} | {fed:.2f} | {100 * found.added():+.1f}% |"


def main() -> None:
    """Read the command line, measure, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cache", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--alone", type=int, default=20, help="queries that are asked alone")
    given = parser.parse_args()
    collection = load_collection("scifact/test")
    dense = Dense.for_corpus(collection.corpus, Session(offline=True, device="cpu", cache=Cache(given.cache)))
    texts = tuple(collection.queries)
    vectors = dense.query_vectors(texts, SESSION)
    known = tuple(query.with_vector(dense.space, vector) for query, vector in zip(texts, vectors, strict=True))
    print(f"{len(texts)} queries, {len(dense.index):,} documents, milliseconds a query (medians)\n")
    print("| feedback | asked | two plain searches | with feedback | added |")
    print("|---|---|---:|---:|---:|")
    for name, feedback in WAYS.items():
        alone = Timed()
        for query in texts[: given.alone]:
            one = from_texts(dense, feedback, [query], given.rounds)
            alone.twice += one.twice
            alone.fed += one.fed
        print(row(name, "a text alone", alone, 1))
        print(row(name, "all texts", from_texts(dense, feedback, texts, given.rounds), len(texts)))
        print(row(name, "all vectors", from_vectors(dense, feedback, known, given.rounds), len(texts)))


if __name__ == "__main__":
    main()
