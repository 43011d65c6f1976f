"""How well IDCM ranks held-out queries, with all windows and with those that the student chooses."""

from __future__ import annotations

import numpy as np

from rankloom import Run
from rankloom.config import PipelineBuilder
from rankloom.eval.collections import load_collection
from rankloom.eval.measures import evaluate
from rankloom.qrels import Qrels
from rankloom.rerank.window_choice import aggregated, best_windows
from rankloom.session import Session
from rankloom.training.idcm_config import IDCMRecipe
from rankloom.training.idcm_fit import WindowLearner
from rankloom.training.idcm_reading import Reader, TeacherScores
from rankloom.training.pool import Pool

_MEASURES = ("nDCG@10", "RR@10")


def validation_pool(recipe: IDCMRecipe, session: Session) -> Pool:
    """Held-out queries with what the pipeline of the recipe's negatives finds for them; empty if none are named.

    Args:
        recipe: Names the collection.
        session: How the pipeline is carried out.

    Raises:
        NotFoundError: The collection is not there.
    """
    pool, wanted = Pool(), recipe.validation
    if wanted is None:
        return pool
    collection = load_collection(wanted.collection, session=session)
    places = np.random.default_rng(recipe.seed).permutation(len(collection.queries))[: wanted.queries]
    queries = [collection.queries[place] for place in places.tolist()]
    stage = PipelineBuilder({}).build(recipe.negatives.pipeline, corpus=collection.corpus, session=session)
    found = stage.run(queries, session=session)
    for query in queries:
        relevant = [doc_id for doc_id, grade in collection.qrels[query.id].items() if grade > 0]
        candidates = found[query.id].doc_ids[: wanted.documents]
        pool.put(collection.id, query.id, query.text, relevant)
        pool.candidates[f"{collection.id}\t{query.id}"] = [f"{collection.id}\t{one}" for one in candidates]
        for document in collection.corpus.get(list(dict.fromkeys([*relevant, *candidates]))):
            pool.documents[f"{collection.id}\t{document.id}"] = document.contents
    return pool


def measured(reader: Reader, teacher: TeacherScores, learner: WindowLearner, pool: Pool) -> dict[str, float]:
    """Measures of the first stage, of all windows, and of those chosen; and how many of the best were chosen.

    Args:
        reader: Of the model.
        teacher: Has read every candidate and relevant document of each query.
        learner: Holds the student.
        pool: The queries; nothing is measured if it is empty.
    """
    if not len(pool):
        return {}
    model = reader.model
    weights, sample = model.weights.tolist(), model.sizes.sample
    rankings: dict[str, dict[str, dict[str, float]]] = {"first stage": {}, "all windows": {}, f"{sample} windows": {}}
    kept: list[float] = []
    for query, text in pool.queries.items():
        own: list[dict[str, float]] = [{}, {}, {}]
        for rank, doc_id in enumerate(pool.candidates[query]):
            own[0][doc_id] = -float(rank)
        for doc_id in among(pool, query):
            scores = teacher.of((text, pool.documents[doc_id]))
            chosen = best_windows(learner.scores((text, pool.documents[doc_id])).detach().cpu().numpy(), sample)
            own[1][doc_id] = aggregated(scores, weights)
            own[2][doc_id] = aggregated(scores[chosen], weights)
            kept.append(len(set(best_windows(scores, sample)) & set(chosen)) / len(chosen))
        for ranking, found in zip(rankings.values(), own, strict=True):
            ranking[query] = found
    qrels: Qrels = {query: dict.fromkeys(sorted(pool.relevant[query]), 1) for query in pool.queries}
    results: dict[str, float] = {}
    for name, ranking in rankings.items():
        means = evaluate(Run.from_dict(ranking), qrels, list(_MEASURES)).means
        results |= {f"{measure}, {name}": round(means[measure], 4) for measure in _MEASURES}
    return {**results, "share of the teacher's best windows that are chosen": round(float(np.mean(kept)), 4)}


def among(pool: Pool, query: str) -> list[str]:
    """The documents that a query is measured among."""
    return list(dict.fromkeys([*sorted(pool.relevant[query]), *pool.candidates[query]]))
