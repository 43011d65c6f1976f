"""BM25 at a million passages: rankloom, bm25s (numba) and tantivy, side by side.

`python benchmarks/zipf_passages.py FOLDER`, then `python benchmarks/lexical.py FOLDER` (extra `bench`); prints a
Markdown table. Each engine indexes in a process of its own and then searches in others, one thread, one query at a
time, text to (id, score); engines take turns, and the medians of `--repeats` turns are compared. Peak memory is that
of each process, the interpreter and compiled code included; passages are streamed where an engine allows it (bm25s
takes lists). Queries a second are by the processor's time, so that other work on the machine weighs less.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

DEPTHS = (10, 100, 1000)
Search = Callable[[str, int], list[tuple[str, float]]]


def records(path: Path) -> Iterator[tuple[str, str]]:
    """Ids and texts of a file of JSON Lines."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            yield record["_id"], record["text"]


def index_rankloom(passages: Path, place: Path) -> None:
    """Ours, streamed."""
    from rankloom.retrieval import EnglishAnalyzer, ImpactIndexWriter

    with ImpactIndexWriter(place, analyzer=EnglishAnalyzer()) as writer:
        writer.add_texts(records(passages))
        writer.merge()


def search_rankloom(place: Path) -> Search:
    """Ours."""
    from collections import Counter

    from rankloom.retrieval import BM25Scoring, EnglishAnalyzer, ImpactIndex

    index, analyzer = ImpactIndex.open(place, threads=1), EnglishAnalyzer()
    scoring = BM25Scoring(index, k1=0.9, b=0.4)

    def search(query: str, k: int) -> list[tuple[str, float]]:
        hits = scoring.search([Counter(analyzer(query))], k)
        return list(zip(index.ids.take(hits.codes), hits.scores.tolist(), strict=True))

    return search


def index_bm25s(passages: Path, place: Path) -> None:
    """bm25s with its numba back end; texts in a list."""
    import bm25s

    ids, texts = zip(*records(passages), strict=True)
    engine = bm25s.BM25(method="lucene", k1=0.9, b=0.4, backend="numba")
    engine.index(bm25s.tokenize(texts, stopwords="en", show_progress=False), show_progress=False)
    engine.save(place)
    (place / "ids.json").write_text(json.dumps(ids))


def search_bm25s(place: Path) -> Search:
    """bm25s with its numba back end."""
    import bm25s

    engine = bm25s.BM25.load(place)
    engine.backend = "numba"
    engine.activate_numba_scorer()
    ids = json.loads((place / "ids.json").read_text())

    def search(query: str, k: int) -> list[tuple[str, float]]:
        tokens = bm25s.tokenize([query], stopwords="en", show_progress=False)
        found, scores = engine.retrieve(tokens, k=k, show_progress=False, n_threads=1)
        return [(ids[number], score) for number, score in zip(found[0].tolist(), scores[0].tolist(), strict=True)]

    return search


def index_tantivy(passages: Path, place: Path) -> None:
    """tantivy, one writing thread, with positions left out."""
    import tantivy

    place.mkdir()
    fields = tantivy.SchemaBuilder()
    fields.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
    fields.add_text_field("body", tokenizer_name="en_stem", index_option="freq")
    writer = tantivy.Index(fields.build(), path=str(place)).writer(heap_size=300_000_000, num_threads=1)
    for doc_id, text in records(passages):
        writer.add_document(tantivy.Document(id=doc_id, body=text))
    writer.commit()
    writer.wait_merging_threads()


def search_tantivy(place: Path) -> Search:
    """Tantivy."""
    import tantivy

    index = tantivy.Index.open(str(place))
    searcher = index.searcher()

    def search(query: str, k: int) -> list[tuple[str, float]]:
        hits = searcher.search(index.parse_query(query, ["body"]), k).hits
        return [(searcher.doc(address)["id"][0], score) for score, address in hits]

    return search


ENGINES: dict[str, tuple[Callable[[Path, Path], None], Callable[[Path], Search]]] = {
    "rankloom": (index_rankloom, search_rankloom),
    "bm25s": (index_bm25s, search_bm25s),
    "tantivy": (index_tantivy, search_tantivy),
}


def work(engine: str, task: str, folder: Path, repeats: int) -> dict[str, Any]:
    """What one process measures."""
    place = folder / f"index-{engine}"
    make, load = ENGINES[engine]
    began, spent = time.perf_counter(), time.process_time()
    told: dict[str, Any] = {}
    if task == "index":
        make(folder / "passages.jsonl", place)
        told = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - spent}
        told["disk"] = sum(path.stat().st_size for path in place.rglob("*") if path.is_file()) / 1e6
    else:
        queries = [text for _, text in records(folder / "queries.jsonl")]
        search = load(place)
        for k in DEPTHS:
            search(queries[0], k)
            told[f"qps@{k}"] = []
            for _ in range(repeats):
                spent = time.process_time()
                for query in queries:
                    search(query, k)
                told[f"qps@{k}"].append(len(queries) / (time.process_time() - spent))
    return {**told, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def measured(engine: str, task: str, folder: Path) -> dict[str, Any]:
    """`work` in a process of its own."""
    command = [sys.executable, __file__, str(folder), "--engine", engine, "--task", task]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def table(folder: Path, turns: int) -> None:
    """Measure all engines and print the table."""
    indexed = {}
    for engine in ENGINES:
        if (folder / f"index-{engine}").exists():
            sys.exit(f"remove {folder / f'index-{engine}'} first")
        indexed[engine] = measured(engine, "index", folder)
    runs = [{engine: measured(engine, "search", folder) for engine in ENGINES} for _ in range(turns)]
    print("| engine | index s | CPU s | peak MB | disk MB | " + " | ".join(f"q/s@{k}" for k in DEPTHS) + " | peak MB |")
    print("|---|" + "---:|" * (len(DEPTHS) + 5))
    for engine, built in indexed.items():
        rates = [statistics.median(rate for run in runs for rate in run[engine][f"qps@{k}"]) for k in DEPTHS]
        peak = max(run[engine]["peak"] for run in runs)
        numbers = [built["seconds"], built["cpu"], built["peak"], built["disk"], *rates, peak]
        print(f"| {engine} | " + " | ".join(f"{number:,.0f}" for number in numbers) + " |")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--engine", choices=ENGINES)
    parser.add_argument("--task", choices=["index", "search"])
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    if given.engine:
        print(json.dumps(work(given.engine, given.task, given.folder, given.repeats)))
    else:
        table(given.folder, turns=given.repeats)


if __name__ == "__main__":
    main()
