"""BM25 over two fields (BM25F) beside BM25 over one, at a million passages.

`python benchmarks/zipf_passages.py FOLDER`, then `python benchmarks/fields.py FOLDER`; prints a Markdown table. The
first six words of a passage are its title. Each index is built and searched in a process of its own, one thread, one
query at a time; queries a second by the processor's time.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

try:
    from benchmarks.lexical import records
except ModuleNotFoundError:  # run as a script
    from lexical import records

DEPTHS = (10, 1000)
_TITLE = 6  # words
_AT_ONCE = 4096


def columns(path: Path, *, fields: bool) -> Iterator[tuple[list[str], object]]:
    """Ids, and texts or the texts of each field, a batch at a time."""
    import pyarrow as pa

    passages = records(path)
    while batch := list(islice(passages, _AT_ONCE)):
        texts = [text.split(" ", _TITLE) for _, text in batch]
        parts = {
            "title": [" ".join(words[:_TITLE]) for words in texts],
            "text": [" ".join(words[_TITLE:]) for words in texts],
        }
        made = {name: pa.array(part, pa.large_string()) for name, part in parts.items()}
        yield [doc_id for doc_id, _ in batch], made if fields else pa.array([t for _, t in batch], pa.large_string())


def measured(folder: Path, fields: bool) -> list[float]:
    """Seconds to build, MB on disk, and queries a second by depth."""
    from rankloom.retrieval import BM25Scoring, EnglishAnalyzer, ImpactIndex, ImpactIndexWriter
    from rankloom.retrieval.bm25f_scoring import BM25FScoring

    place, analyzer = folder / f"index-fields-{fields}", EnglishAnalyzer()
    spent, names = time.process_time(), ["title", "text"] if fields else []
    with ImpactIndexWriter(place, analyzer=analyzer, fields=names) as writer:
        for doc_ids, texts in columns(folder / "passages.jsonl", fields=fields):
            writer.add_columns(doc_ids, texts)  # type: ignore[arg-type]  # columns of either kind
        writer.merge()
    told = [time.process_time() - spent]
    told.append(sum(path.stat().st_size for path in place.rglob("*") if path.is_file()) / 1e6)
    index = ImpactIndex.open(place, threads=1)
    scoring: BM25Scoring = (
        BM25FScoring(index, {"title": 2.0, "text": 1.0}, field_b={}, k1=0.9, b=0.4)
        if fields
        else BM25Scoring(index, k1=0.9, b=0.4)
    )
    queries = [Counter(analyzer(text)) for _, text in records(folder / "queries.jsonl")]
    scoring.search(queries[:1], 10)
    for k in DEPTHS:
        spent = time.process_time()
        for query in queries:
            scoring.search([query], k)
        told.append(len(queries) / (time.process_time() - spent))
    return told


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    print("| index | index CPU s | disk MB | " + " | ".join(f"q/s@{k}" for k in DEPTHS) + " |")
    print("|---|" + "---:|" * (2 + len(DEPTHS)))
    for fields in (False, True):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            numbers = process.submit(measured, folder, fields).result()
        print(f"| {'title and text' if fields else 'one text'} | " + " | ".join(f"{n:,.0f}" for n in numbers) + " |")


if __name__ == "__main__":
    main()
