"""How well IDCM ranks held-out queries, with all windows and with those that the student chooses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rankloom import Run
from rankloom.config import PipelineBuilder
from rankloom.errors import DataError
from rankloom.eval.collections import load_collection
from rankloom.eval.measures import evaluate
from rankloom.qrels import Qrels
from rankloom.rerank.window_choice import aggregated, best_windows
from rankloom.session import Session
from rankloom.training.idcm_config import IDCMRecipe
from rankloom.training.idcm_fit import WindowLearner
from rankloom.training.idcm_reading import Reader, TeacherScores
from rankloom.training.pairs import SourceTexts, same_text
from rankloom.training.pool import Pool

_MEASURES = ("nDCG@10", "RR@10")


def validation_pool(
    recipe: IDCMRecipe, session: Session, *, trained_on: Sequence[SourceTexts] = ()
) -> tuple[Pool, int]:
    """Held-out queries with what the pipeline of the recipe's negatives finds for them; empty if none are named.

    Args:
        recipe: Names the collection.
        session: How the pipeline is carried out.
        trained_on: What is trained on; queries that ask the same are left out.

    Returns:
        The queries, and how many of the collection were left out.

    Raises:
        NotFoundError: The collection is not there.
        DataError: All of its queries are trained on.
    """
    pool, wanted = Pool(), recipe.validation
    if wanted is None:
        return pool, 0
    collection = load_collection(wanted.collection, session=session)
    known = {same_text(query.text) for source in trained_on for query in source.queries}
    unseen = [query for query in collection.queries if same_text(query.text) not in known]
    if not unseen:
        raise DataError("every query to measure on is trained on", stage="training", value=wanted.collection)
    places = np.random.default_rng(recipe.seed).permutation(len(unseen))[: wanted.queries]
    queries = [unseen[place] for place in places.tolist()]
    stage = PipelineBuilder({}).build(recipe.negatives.pipeline, corpus=collection.corpus, session=session)
    found = stage.run(queries, session=session)
    for query in queries:
        relevant = [doc_id for doc_id, grade in collection.qrels[query.id].items() if grade > 0]
        candidates = found[query.id].doc_ids[: wanted.documents]
        pool.put(collection.id, query.id, query.text, relevant)
        pool.candidates[f"{collection.id}\t{query.id}"] = [f"{collection.id}\t{one}" for one in candidates]
        for document in collection.corpus.get(candidates):
            pool.documents[f"{collection.id}\t{document.id}"] = document.contents
    return pool, len(collection.queries) - len(unseen)


def measured(reader: Reader, teacher: TeacherScores, learner: WindowLearner, pool: Pool) -> dict[str, float]:
    """Measures of the first stage, of all windows, and of those chosen; and how many of the best were chosen.

    All of them rank the same documents, the first stage's. What was chosen is told of documents that have more windows
    than are read, as all are chosen of the others.

    Args:
        reader: Of the model.
        teacher: Has read every candidate of each query.
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
        for doc_id in pool.candidates[query]:
            scores = teacher.of((text, pool.documents[doc_id]))
            chosen = best_windows(learner.scores((text, pool.documents[doc_id])).detach().cpu().numpy(), sample)
            own[1][doc_id] = aggregated(scores, weights)
            own[2][doc_id] = aggregated(scores[chosen], weights)
            if len(scores) > sample:
                kept.append(len(set(best_windows(scores, sample)) & set(chosen)) / sample)
        for ranking, found in zip(rankings.values(), own, strict=True):
            ranking[query] = found
    qrels: Qrels = {query: dict.fromkeys(sorted(pool.relevant[query]), 1) for query in pool.queries}
    results: dict[str, float] = {}
    for name, ranking in rankings.items():
        means = evaluate(Run.from_dict(ranking), qrels, list(_MEASURES)).means
        results |= {f"{measure}, {name}": round(means[measure], 4) for measure in _MEASURES}
    if kept:
        results[f"share of the teacher's {sample} best windows that are chosen"] = round(float(np.mean(kept)), 4)
    return results | {f"pairs of a query and a document of more than {sample} windows": len(kept)}
