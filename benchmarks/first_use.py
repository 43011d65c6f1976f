"""What the first index and the first search cost, before and after the kernels are compiled.

`python benchmarks/first_use.py`: each row is a process of its own, first with an empty NUMBA_CACHE_DIR, then with what
the first left there; seconds of the processor, medians of `--repeats`. Importing is counted apart.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time


def work(kind: str) -> dict[str, float]:
    """Seconds of importing, of indexing a few documents, and of the first search."""
    marks = [time.process_time()]
    from rankloom import Corpus, Document, Query
    from rankloom.retrieval import BM25, LearnedSparse
    from rankloom.retrieval.index import inversion_kernel, search_kernel, unit_kernel

    assert all((inversion_kernel, search_kernel, unit_kernel))  # they import numba
    marks.append(time.process_time())
    if kind == "bm25":
        stage: BM25 | LearnedSparse = BM25.of(Corpus.of([Document("d1", "why is the sky blue"), Document("d2", "sea")]))
    else:
        stage = LearnedSparse.of_terms({"d1": {"sky": 1.0, "blue": 0.5}, "d2": {"sea": 2.0}})
    marks.append(time.process_time())
    stage.run([Query("q1", "blue", terms={"blue": 1.0})])
    marks.append(time.process_time())
    return {
        name: end - start for name, start, end in zip(("import", "index", "search"), marks, marks[1:], strict=False)
    }


def measured(kind: str, cache: str) -> dict[str, float]:
    """`work` in a process of its own."""
    command = [sys.executable, __file__, "--work", kind]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "NUMBA_CACHE_DIR": cache}
    )
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def main() -> None:
    """Read the command line, measure, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", choices=["bm25", "learned_sparse"])
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    if given.work:
        print(json.dumps(work(given.work)))
        return
    print("| | import | first index | first search | then: index | search |")
    print("|---|" + "---:|" * 5)
    for kind in ("bm25", "learned_sparse"):
        cold, warm = [], []
        for _ in range(given.repeats):
            with tempfile.TemporaryDirectory() as cache:
                cold.append(measured(kind, cache))
                warm.append(measured(kind, cache))
        told = [(cold, "import"), (cold, "index"), (cold, "search"), (warm, "index"), (warm, "search")]
        numbers = [statistics.median(one[name] for one in runs) for runs, name in told]
        print(f"| {kind} | " + " | ".join(f"{number:.2f}" for number in numbers) + " |")


if __name__ == "__main__":
    main()
