"""Terms of documents at a million passages: from the postings, and kept together (`term_vectors=True`).

`python benchmarks/zipf_passages.py FOLDER`, then `python benchmarks/term_vectors.py FOLDER`; prints a Markdown table.
Each index is built in a process of its own, one thread; then random documents are asked for, medians of ten requests.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

try:
    from benchmarks.lexical import records
except ModuleNotFoundError:  # run as a script
    from lexical import records

REQUESTS = (1, 10, 640)  # documents; 640 are the feedback of a batch of 64 queries


def measured(folder: Path, term_vectors: bool) -> list[float]:
    """Seconds to build, peak MB, MB on disk, and milliseconds of each request."""
    from rankloom.retrieval import EnglishAnalyzer, ImpactIndex, ImpactIndexWriter

    place = folder / f"index-term-vectors-{term_vectors}"
    spent = time.process_time()
    with ImpactIndexWriter(place, analyzer=EnglishAnalyzer(), term_vectors=term_vectors) as writer:
        writer.add_texts(records(folder / "passages.jsonl"))
        writer.merge()
    told = [time.process_time() - spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]
    told.append(sum(path.stat().st_size for path in place.rglob("*") if path.is_file()) / 1e6)
    index, rng = ImpactIndex.open(place, threads=1), np.random.default_rng(0)
    index.term_vector(0)
    for size in REQUESTS:
        times = []
        for _ in range(10):
            codes = rng.integers(0, len(index), size)
            spent = time.process_time()
            index.term_vectors(codes)
            times.append(1000 * (time.process_time() - spent))
        told.append(statistics.median(times))
    return told


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    print("| term vectors | index CPU s | peak MB | disk MB | " + " | ".join(f"ms for {n}" for n in REQUESTS) + " |")
    print("|---|" + "---:|" * (3 + len(REQUESTS)))
    for term_vectors in (False, True):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            numbers = process.submit(measured, folder, term_vectors).result()
        print(f"| {'kept' if term_vectors else 'found'} | " + " | ".join(f"{one:,.2f}" for one in numbers) + " |")


if __name__ == "__main__":
    main()
