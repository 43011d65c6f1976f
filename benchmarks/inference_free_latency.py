"""Latency of inference-free learned sparse queries beside BM25, on the same passages.

`python benchmarks/zipf_passages.py FOLDER --passages 200000`, then `python benchmarks/inference_free_latency.py
FOLDER`; any folder with `corpus.jsonl` or `passages.jsonl`, and `queries.jsonl`, will do (SciFact's). Prints a Markdown
table.

Queries are what an application would run: the tokenizer and idf table of OpenSearch's models (RANKLOOM_DATA/sparse).
Documents stand for those of an encoder that is not to be had here: each WordPiece token weighs log(1 + frequency), and
`--expansion` tokens more, drawn by their frequency in the collection, weigh up to 0.4. Speed depends on how many terms
there are and how they are spread, not on whether they are the right ones; nothing here says how well it ranks.

One thread, one query at a time, k = 10. Both take turns; a query's time is the median of its turns, by the processor's
time, and the table holds medians over queries: `search` is `stage.search(text)`, all that a user waits for; `terms` is
making weighted terms of the text, `index` is finding the best k by them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np

from rankloom.corpus import Corpus
from rankloom.retrieval import BM25, ImpactIndex, InferenceFreeEncoder, LearnedSparse, WordPieceAnalyzer
from rankloom.retrieval.learned_sparse import SCALE

SEED = 7
SMALLEST, LARGEST = 0.05, 0.4  # weights of terms that stand for expansion
_BLOCK = 10_000
K = 10


def weighted_documents(texts: Iterator[str], analyzer: WordPieceAnalyzer, expansion: int) -> Iterator[dict[str, int]]:
    """Impacts of documents, as a document encoder might give them; see above."""
    rng = np.random.default_rng(SEED)
    met: Counter[str] = Counter()
    block: list[Counter[str]] = []

    def finished() -> Iterator[dict[str, int]]:
        words, law = list(met), np.cumsum(np.array(list(met.values()), dtype=np.float64))
        drawn = np.searchsorted(law, rng.random((len(block), expansion)) * law[-1]).tolist()
        weights = rng.uniform(SMALLEST, LARGEST, (len(block), expansion)).tolist()
        for counts, places, extra in zip(block, drawn, weights, strict=True):
            terms = {words[place]: max(1, round(SCALE * weight)) for place, weight in zip(places, extra, strict=True)}
            terms.update({term: max(1, round(SCALE * float(np.log1p(count)))) for term, count in counts.items()})
            yield terms

    for text in texts:
        block.append(Counter(analyzer(text)))
        met.update(block[-1])
        if len(block) == _BLOCK:
            yield from finished()
            block = []
    if block:
        yield from finished()


def stages(folder: Path, data: Path, expansion: int) -> tuple[BM25, LearnedSparse]:
    """BM25 and inference-free retrieval over a folder's passages; indexes are built once and kept there."""
    place = folder / "corpus"
    if not place.exists():
        source = next(path for name in ("corpus", "passages") if (path := folder / f"{name}.jsonl").is_file())
        Corpus.build(source, place)
    corpus = Corpus.open(place)
    lexical, sparse = folder / "latency-bm25", folder / f"latency-sparse-{expansion}"
    if not lexical.exists():
        BM25.build(corpus, lexical)
    if not sparse.exists():
        documents = weighted_documents((one.contents for one in corpus), WordPieceAnalyzer(data), expansion)
        about = {"scale": str(SCALE), "corpus": corpus.fingerprint()}
        ImpactIndex.build(sparse, list(corpus.ids), documents, linear=True, about=about)
    queries = InferenceFreeEncoder(data)
    return BM25.open(lexical, corpus=corpus, k=K), LearnedSparse.open(sparse, queries=queries, corpus=corpus, k=K)


def ways(bm25: BM25, sparse: LearnedSparse) -> dict[str, Callable[[str], object]]:
    """What is timed, by name."""
    encoder = cast("InferenceFreeEncoder", sparse.queries)
    return {
        "search bm25": lambda text: bm25.search(text, K),
        "search sparse": lambda text: sparse.search(text, K),
        "terms bm25": lambda text: Counter(bm25.analyze(text)),
        "terms sparse": lambda text: encoder.encode([text]),
    }


def timed(ways: dict[str, Callable[[str], object]], queries: list[str], turns: int) -> dict[str, list[float]]:
    """For each way, the median time of every query in microseconds."""
    times: dict[str, list[list[float]]] = {name: [[] for _ in queries] for name in ways}
    for way in ways.values():  # compiled and warm
        for query in queries:
            way(query)
    for _ in range(turns):
        for name, way in ways.items():
            ends = [time.process_time_ns()]
            for query in queries:
                way(query)
                ends.append(time.process_time_ns())
            for number, (start, end) in enumerate(pairwise(ends)):
                times[name][number].append((end - start) / 1000)
    return {name: [statistics.median(one) for one in per_query] for name, per_query in times.items()}


def main() -> None:
    """Read the command line, measure, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--expansion", type=int, default=60)
    given = parser.parse_args()
    data = Path(os.environ.get("RANKLOOM_DATA", "../shared/data")) / "sparse"
    bm25, sparse = stages(given.folder, data, given.expansion)
    bm25.index.threads = sparse.index.threads = 1
    with (given.folder / "queries.jsonl").open(encoding="utf-8") as lines:
        queries = [json.loads(line)["text"] for line in lines][: given.queries]
    found = timed(ways(bm25, sparse), queries, given.turns)
    print(f"{len(bm25.index):,} passages, {len(queries)} queries, microseconds a query (median)\n")
    print("| | search | terms | index |")
    print("|---|---:|---:|---:|")
    medians = {name: statistics.median(times) for name, times in found.items()}
    for name in ("bm25", "sparse"):
        whole, terms = medians[f"search {name}"], medians[f"terms {name}"]
        print(f"| {name} | {whole:,.0f} | {terms:,.0f} | {whole - terms:,.0f} |")
    print(f"\nsparse / bm25: {medians['search sparse'] / medians['search bm25']:.2f}")


if __name__ == "__main__":
    main()
