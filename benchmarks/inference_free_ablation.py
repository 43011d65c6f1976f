"""What the parts of the inference-free recipe are worth: trainings of one length, compared at equal FLOPS.

    python benchmarks/inference_free_ablation.py --steps 60
    python benchmarks/inference_free_ablation.py --adapter mini/inference-free --tokens 256

The first trains rows by `configs/training/inference_free.yaml` with one change each. All start from the same student,
and only its head is trained, so that the backbone reads every document once for all rows. The second measures an
adapter that is there already. Test splits are measured on, which nothing was trained or tuned on. FLOPS is the mean
number of terms that a query and a document share. At equal FLOPS, every row's weights below a threshold of its own are
dropped, until it has the FLOPS of the sparsest trained row; no judgement is looked at for that. p is that of a paired
t-test at equal FLOPS against the recipe as it is, over queries, not corrected for the number of rows. Only terms of
the test queries are computed of all documents, which is all that scores need; `terms` is the mean of 160 documents.
RANKLOOM_DATA names the folder of the data.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from platformdirs import user_cache_path

from rankloom import Query, Session
from rankloom.encoders import SentenceEncoder, readable
from rankloom.eval import load_collection
from rankloom.eval.significance import paired_t
from rankloom.models import resolve_model
from rankloom.progress import Silent
from rankloom.retrieval import LearnedSparse
from rankloom.retrieval.sparse_adapter import document_modules, load_adapter, restore, trained
from rankloom.training.examples import document_texts, prepared
from rankloom.training.fit import fit
from rankloom.training.inference_free import Student
from rankloom.training.recipes import read_recipe

RECIPE = Path(__file__).parents[1] / "configs" / "training" / "inference_free.yaml"
RECIPE_AS_IT_IS = "ensemble, idf-aware"
ARMS: dict[str, list[str]] = {
    "untrained": ["training.steps=0"],
    RECIPE_AS_IT_IS: [],
    "ensemble, plain FLOPS": ["penalty.idf_power=0.0"],
    "dense teacher, idf-aware": ["teachers.ensemble=[dense]"],
    "BM25 teacher, idf-aware": ["teachers.ensemble=[bm25]"],
}
COLLECTIONS = ("scifact/test", "nfcorpus/test")
BATCH, SAMPLE = 16, 160
Weights = list[dict[int, float]]


class Measured(NamedTuple):
    """Weights of a collection's queries, of its documents for the queries' terms, and a document's mean terms."""

    queries: Weights
    documents: Weights
    terms: float


def remember_states(encoder: Any) -> None:
    """Let a backbone that is not trained read each batch once."""
    transformer, _ = document_modules(encoder)
    read, memory = transformer.forward, {}

    def forward(features: dict[str, Any], **more: Any) -> dict[str, Any]:
        key = features["input_ids"].numpy().tobytes()
        if key not in memory:
            transformer.eval()
            with torch.no_grad():
                memory[key] = read(dict(features), **more)["token_embeddings"].bfloat16()
        return {**features, "token_embeddings": memory[key]}

    transformer.forward = forward


def weights(encoder: Any, texts: list[str], task: str, columns: torch.Tensor | None = None) -> Weights:
    """Term numbers and weights of each text; only those of some columns, if given."""
    _, head = document_modules(encoder)
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    found: Weights = [{} for _ in texts]
    every = torch.arange(len(head.bias)) if columns is None else columns
    for start in range(0, len(order), BATCH):
        places = order[start : start + BATCH]
        features = encoder.preprocess([readable(texts[place]) for place in places], task=task)
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16), head.only(every):
            rows = encoder(features, task=task)["sentence_embedding"].float().numpy()
        for place, row in zip(places, rows, strict=True):
            held = np.flatnonzero(row)
            found[place] = dict(zip(held.tolist(), row[held].tolist(), strict=True))
    return found


def measured(encoder: Any, name: str, session: Session) -> Measured:
    """What an encoder makes of a collection."""
    collection = load_collection(name, session=session)
    encoder.eval()
    queries = weights(encoder, [query.text for query in collection.queries], "query")
    columns = torch.tensor(sorted({term for terms in queries for term in terms}))
    texts = [document.contents for document in collection.corpus]
    drawn = np.random.default_rng(7).permutation(len(texts))[:SAMPLE].tolist()
    terms = np.mean([len(one) for one in weights(encoder, [texts[place] for place in drawn], "document")])
    return Measured(queries, weights(encoder, texts, "document", columns), float(terms))


def flops(found: Measured) -> float:
    """Mean number of terms that a query and a document share."""
    asked = np.zeros(1 << 16)
    for terms in found.queries:
        asked[list(terms)] += 1 / len(found.queries)
    return float(np.mean([asked[list(terms)].sum() for terms in found.documents]))


def pruned(found: Measured, most: float) -> Measured:
    """The heaviest weights of documents, by one threshold, so many that the FLOPS are at most these."""
    asked = np.zeros(1 << 16)
    for terms in found.queries:
        asked[list(terms)] += 1 / len(found.queries)
    pairs = np.array([(weight, asked[term]) for terms in found.documents for term, weight in terms.items()])
    pairs = pairs[np.argsort(-pairs[:, 0], kind="stable")]
    kept = int(np.searchsorted(np.cumsum(pairs[:, 1]) / len(found.documents), most + 1e-9, side="right"))
    least = 0.0 if kept == len(pairs) else float(pairs[kept, 0])
    heavy = [{term: weight for term, weight in terms.items() if weight > least} for terms in found.documents]
    return found._replace(documents=heavy)


def ndcg(found: Measured, name: str, session: Session) -> list[float]:
    """nDCG@10 of weighted terms, of each query."""
    collection = load_collection(name, session=session)
    named = zip(collection.corpus.ids, found.documents, strict=True)
    index = LearnedSparse.of_terms({one: {str(term): weight for term, weight in terms.items()} for one, terms in named})
    asked = [
        Query(query.id, query.text, terms={str(term): weight for term, weight in terms.items()})
        for query, terms in zip(collection.queries, found.queries, strict=True)
    ]
    return list(collection.evaluate(index.run(asked, session=session), ["nDCG@10"]).per_query["nDCG@10"].values())


def students(steps: int, tokens: int, session: Session) -> Iterator[tuple[str, Any]]:
    """Each row's name and its encoder, trained."""
    common = [f"training.steps={steps}", f"training.checkpoint={steps}", "student.rank=0"]
    recipe = read_recipe(RECIPE, common)
    with tempfile.TemporaryDirectory() as folder:
        sources, examples = prepared(recipe, session, Path(folder))
        texts = document_texts(sources)
        student = Student(recipe, session, texts)
        student.start(texts, [], Path(folder) / "start.json")
        remember_states(student.encoder)
        first = {name: one.detach().clone() for name, one in trained(student.encoder).items()}
        transformer, _ = document_modules(student.encoder)
        for arm, changes in ARMS.items():
            restore(student.encoder, first)
            changed = read_recipe(RECIPE, [*common, *changes])
            transformer.max_seq_length = changed.student.max_tokens
            if changed.training.steps:
                fit(student.encoder, examples.training, changed, Path(folder) / arm, Silent())
            transformer.max_seq_length = tokens
            yield arm, student.encoder


def adapter(name: str, tokens: int, session: Session) -> Iterator[tuple[str, Any]]:
    """An adapter's name and its encoder."""
    found = resolve_model(name, offline=True, stage="benchmark")
    backbone = SentenceEncoder(str(found.backbone.path if found.backbone else name)).load(session)
    encoder = load_adapter(found.path, backbone.model)
    document_modules(encoder)[0].max_seq_length = tokens
    yield name, encoder


def report(name: str, by_arm: dict[str, Measured], session: Session) -> None:
    """Print one collection's table."""
    least = min(flops(one) for arm, one in by_arm.items() if arm != "untrained")
    equal = {arm: ndcg(pruned(one, least), name, session) for arm, one in by_arm.items()}
    print(f"\n| {name} | nDCG@10 | FLOPS | terms | nDCG@10 at {least:.2f} FLOPS | p |\n|---|---:|---:|---:|---:|---:|")
    for arm, one in by_arm.items():
        whole = np.mean(ndcg(one, name, session))
        compared = arm != RECIPE_AS_IT_IS and RECIPE_AS_IT_IS in equal
        p = f"{paired_t(equal[arm], equal[RECIPE_AS_IT_IS]).p_value:.2g}" if compared else ""
        print(f"| {arm} | {whole:.4f} | {flops(one):.2f} | {one.terms:.0f} | {np.mean(equal[arm]):.4f} | {p} |")


def main() -> None:
    """Measure every row and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--tokens", type=int, default=96, help="of a document that are read")
    parser.add_argument("--adapter", help="measure this and train nothing")
    options = parser.parse_args()
    session = Session(cache=user_cache_path("rankloom", appauthor=False), offline=True)
    found: dict[str, dict[str, Measured]] = {name: {} for name in COLLECTIONS}
    rows = (
        adapter(options.adapter, options.tokens, session)
        if options.adapter
        else students(options.steps, options.tokens, session)
    )
    for arm, encoder in rows:
        for name in COLLECTIONS:
            found[name][arm] = one = measured(encoder, name, session)
            print(arm, name, f"{np.mean(ndcg(one, name, session)):.4f} {flops(one):.2f} {one.terms:.0f}", flush=True)
    for name, by_arm in found.items():
        report(name, by_arm, session)


if __name__ == "__main__":
    main()
