"""What training is worth to a sentence encoder: test splits before and after, with paired t-tests.

    rankloom train configs/training/contrastive.yaml
    python benchmarks/trained_encoder.py runs/training/contrastive/model

Nothing is chosen here: run it once, when the training is done. p: paired t-test over queries, not corrected.
RANKLOOM_DATA names the folder of the data.
"""

from __future__ import annotations

import argparse

import numpy as np
from platformdirs import user_cache_path

from rankloom import Session
from rankloom.encoders import DEFAULT_MODEL
from rankloom.eval import load_collection
from rankloom.eval.significance import paired_t
from rankloom.retrieval import Dense

COLLECTIONS = ("scifact/test", "nfcorpus/test")
MEASURE = "nDCG@10"


def per_query(model: str, name: str, session: Session) -> list[float]:
    """nDCG@10 of every query of a collection."""
    collection = load_collection(name, session=session)
    dense = Dense.for_corpus(collection.corpus, session, model=model, k=100)
    run = dense.run(collection.queries, session=session)
    return list(collection.evaluate(run, [MEASURE]).per_query[MEASURE].values())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="the folder that training left")
    parser.add_argument("--before", default=DEFAULT_MODEL)
    parser.add_argument("--dtype", default="bfloat16")
    options = parser.parse_args()
    session = Session(cache=user_cache_path("rankloom", appauthor=False), offline=True, dtype=options.dtype)
    print("| test split | before | after | difference | p |\n|---|---:|---:|---:|---:|")
    for name in COLLECTIONS:
        before, after = (per_query(model, name, session) for model in (options.before, options.model))
        gain = float(np.mean(after) - np.mean(before))
        p = paired_t(after, before).p_value
        print(f"| {name} | {np.mean(before):.4f} | {np.mean(after):.4f} | {gain:+.4f} | {p:.2g} |", flush=True)


if __name__ == "__main__":
    main()
