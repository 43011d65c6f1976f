"""nDCG@10 of dense students on test splits, searching and reranking BM25's top 100, with paired t-tests.

    rankloom train configs/training/margin_mse.yaml
    rankloom train configs/training/margin_mse.yaml --set loss=contrastive --set student.score_scale=20.0 \
        --output-dir runs/training/hard-labels
    python benchmarks/distillation.py runs/training/margin-mse runs/training/hard-labels

The first row is the student before training. Each other row is compared with the last one; p is uncorrected.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import NamedTuple

from rankloom import Run, Session
from rankloom.eval import load_collection
from rankloom.eval.significance import paired_t
from rankloom.retrieval import BM25, Dense
from rankloom.training.distillation_config import DistillationRecipe
from rankloom.training.recipes import read_recipe
from rankloom.training.students import make_student

RECIPE = Path(__file__).parents[1] / "configs" / "training" / "margin_mse.yaml"
COLLECTIONS = ("scifact/test", "nfcorpus/test")
DEPTH = 100


class Row(NamedTuple):
    """nDCG@10 of each query: searching the whole collection, and reranking."""

    searched: list[float]
    reranked: list[float]


def untrained(folder: Path) -> Path:
    """The recipe's student before training."""
    recipe = read_recipe(RECIPE)
    if not isinstance(recipe, DistillationRecipe):
        raise SystemExit(f"{RECIPE} is of another kind")
    make_student(recipe.student, Session(device="cpu", seed=recipe.seed)).save(folder)
    return folder


def measured(model: Path, name: str, session: Session) -> Row:
    """What a student is worth on a collection."""
    collection = load_collection(name, session=session)
    dense = Dense.for_corpus(collection.corpus, session, model=str(model), k=len(collection.corpus))
    every = dense.run(collection.queries, session=session)
    scores = every.to_dict()
    first = BM25.for_corpus(collection.corpus, session, k=DEPTH).run(collection.queries, session=session)
    again = {query_id: {one: scores[query_id][one] for one in hits} for query_id, hits in first.to_dict().items()}
    texts = {query.id: query.text for query in collection.queries}
    reranked = Run.from_dict(again, queries=texts, documents=collection.corpus, session=session)
    return Row(
        *(list(collection.evaluate(run, ["nDCG@10"]).per_query["nDCG@10"].values()) for run in (every, reranked))
    )


def told(values: list[float], baseline: list[float]) -> str:
    """A mean, and its p against a baseline."""
    mean = sum(values) / len(values)
    return f"{mean:.4f} | " + ("" if values is baseline else f"{paired_t(values, baseline).p_value:.2g}")


def main() -> None:
    """Measure, and write a table for each collection."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="outputs of the recipe; the last one is the baseline")
    parser.add_argument("--cache", help="where vectors are kept, so that a run that was killed goes on")
    given = parser.parse_args()
    folders, session = given.folders, Session(cache=given.cache, offline=True, device="cpu", dtype="bfloat16")
    with tempfile.TemporaryDirectory() as temporary:
        models = {"untrained": untrained(Path(temporary) / "untrained")}
        models |= {folder.name: folder / "student" for folder in folders}
        for name in COLLECTIONS:
            rows = {label: measured(model, name, session) for label, model in models.items()}
            base = rows[folders[-1].name]
            print(f"\n| {name} | searching | p | reranking BM25's {DEPTH} | p |\n|---|---:|---:|---:|---:|")
            for label, row in rows.items():
                print(
                    f"| {label} | {told(row.searched, base.searched)} | {told(row.reranked, base.reranked)} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
