"""Data importance on SciFact with a third of the sources corrupted: utility on held-out queries before and after.

    RANKLOOM_DATA=... python benchmarks/importance_demo.py

Each document belongs to one of 60 sources, by a digest of its id; 20 sources are corrupted. BM25 retrieves the best
100 documents. Weights are learnt from the judgements of two thirds of the training queries, the threshold is tuned on
the other third, and everything is measured on the test queries, whose judgements nothing has seen. The control, which
corrupts nothing, shows what pruning does where there is nothing to prune.
"""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Iterator
from dataclasses import replace

from rankloom import Document, Run
from rankloom.corpus import Corpus
from rankloom.eval import evaluate, load_collection
from rankloom.eval.importance import learn, pruned_value, tune_threshold, utilities_from_qrels
from rankloom.eval.significance import paired_t
from rankloom.qrels import Qrels
from rankloom.rerank.source_weight import SourceFilter, SourceWeight
from rankloom.retrieval import BM25
from rankloom.stage import Stage

SOURCES, CORRUPTED, DEPTH, K = 60, 20, 100, 10
MEASURES = ["P@10", "nDCG@10"]
CORRUPTIONS = {
    "control": "nothing is corrupted",
    "replaced": "texts of the corrupted sources are replaced by texts of NFCorpus; their judgements are void",
    "copied": "corrupted sources hold near-copies of other documents, a tenth of the words replaced by NFCorpus'",
}


def digest_number(text: str, below: int) -> int:
    """A number that depends on a text alone."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") % below


def of_source(document: Document, number: int) -> Document:
    """The document with its source; the first 20 sources are the corrupted ones."""
    return replace(document, metadata={"source": f"{'bad' if number < CORRUPTED else 'good'}{number:02}"})


def noisy(document: Document, words: list[str]) -> Document:
    """A near-copy: a tenth of the words are others, drawn at random."""
    generator = random.Random(document.id)
    copied = [generator.choice(words) if generator.random() < 0.1 else word for word in document.text.split()]
    return Document(f"copy-{document.id}", " ".join(copied), title=document.title)


def corrupted(clean: Corpus, other: Corpus, how: str) -> Iterator[Document]:
    """The documents of the corpus, each with its source."""
    texts = [document.text for document in other]
    words = [word for text in texts for word in text.split()]
    for document in clean:
        number = digest_number(document.id, SOURCES)
        if how == "replaced" and number < CORRUPTED:
            yield of_source(Document(document.id, texts[digest_number("text " + document.id, len(texts))]), number)
        elif how == "copied":  # the originals share the 40 good sources, half of them are copied to the bad ones
            yield of_source(document, CORRUPTED + number % (SOURCES - CORRUPTED))
            if digest_number("copy " + document.id, 2):
                yield of_source(noisy(document, words), digest_number("source " + document.id, CORRUPTED))
        else:
            yield of_source(document, number)


def valid(qrels: Qrels, how: str) -> Qrels:
    """Judgements without those of replaced texts; queries that lose all of them are left out."""
    left = {
        query_id: {
            doc_id: grade
            for doc_id, grade in grades.items()
            if how != "replaced" or digest_number(doc_id, SOURCES) >= CORRUPTED
        }
        for query_id, grades in qrels.items()
    }
    return {query_id: grades for query_id, grades in left.items() if grades}


def show(what: str, run: Run, stage: Stage | None, qrels: Qrels, baseline: dict[str, list[float]]) -> None:
    """Print the measures after a stage, and how they compare with the baseline."""
    found = evaluate(run if stage is None else stage.run(run), qrels, MEASURES)
    parts = []
    for measure in MEASURES:
        values = list(found.per_query[measure].values())
        test = paired_t(values, baseline.setdefault(measure, values))
        told = f" ({test.delta:+.4f}, p {test.p_value:.1g}, {test.wins}/{test.ties}/{test.losses})" if stage else ""
        parts.append(f"{measure} {found.means[measure]:.4f}{told}")
    sys.stdout.write(f"  {what:<22}{', '.join(parts)}\n")


def demonstrate(how: str) -> None:
    """Corrupt, retrieve, learn, tune, and measure on the test queries."""
    train, test = (load_collection("scifact", split=split) for split in ("train", "test"))
    bm25 = BM25.of(Corpus.of(corrupted(test.corpus, load_collection("nfcorpus").corpus, how)), k=DEPTH)
    judged, held_out = valid(train.qrels, how), valid(test.qrels, how)
    training = bm25.run([query for query in train.queries if query.id in judged])
    parts = [utilities_from_qrels(training, some, depth=DEPTH) for some in split_in_two(judged)]
    learned = learn(parts[0], K)
    pruning = tune_threshold(learned.weights, lambda dropped: pruned_value(parts[1], dropped, K))
    bad = sum(source.startswith("bad") for source in pruning.dropped)
    sys.stdout.write(
        f"{how}: {CORRUPTIONS[how]}\n"
        f"  {len(parts[0])} queries to learn, {len(parts[1])} to tune, {len(held_out)} held out; "
        f"V {learned.values[0]:.4f} -> {learned.values[learned.best_epoch]:.4f} at epoch {learned.best_epoch}\n"
        f"  threshold {pruning.threshold:.3f} (percentile {pruning.percentile:.0f}) leaves out {len(pruning.dropped)} "
        f"of {len(learned.weights)} sources, {bad} of them bad; tuning utility {pruning.tried[0][2]:.4f} -> "
        f"{pruning.utility:.4f}\n"
    )
    run = bm25.run([query for query in test.queries if query.id in held_out])
    baseline: dict[str, list[float]] = {}
    show("before", run, None, held_out, baseline)
    show("pruned", run, SourceFilter(learned.weights, threshold=pruning.threshold), held_out, baseline)
    show("reweighted", run, SourceWeight(learned.weights, unknown=0.5), held_out, baseline)
    if how != "control":
        known = {source: float(source.startswith("good")) for source in learned.weights}
        show("if the bad were known", run, SourceFilter(known), held_out, baseline)


def split_in_two(qrels: Qrels) -> tuple[Qrels, Qrels]:
    """Two thirds of the judged queries, and the rest."""
    tune = {query_id for query_id in qrels if digest_number("tune " + query_id, 3) == 0}
    return (
        {query_id: grades for query_id, grades in qrels.items() if query_id not in tune},
        {query_id: grades for query_id, grades in qrels.items() if query_id in tune},
    )


def main() -> None:
    """All corruptions, one after the other."""
    for how in CORRUPTIONS:
        demonstrate(how)


if __name__ == "__main__":
    main()
