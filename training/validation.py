"""How well a student ranks, measured on queries that were held out from training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sentence_transformers.sparse_encoder.evaluation import SparseInformationRetrievalEvaluator

from rankloom.training.distillation import Example

_CUT = 10


def measured(encoder: Any, held_out: Sequence[Example]) -> dict[str, float]:
    """Measures of a student.

    Args:
        encoder: A sparse encoder of sentence-transformers.
        held_out: Queries and their documents, the relevant one first. All documents make one pool.

    Returns:
        `nDCG@10` in that pool, `terms` (mean number of a document's terms) and `FLOPS` (mean number of terms that a
        query and a document share); nothing if no query was held out.
    """
    if not held_out:
        return {}
    texts = list(dict.fromkeys(text for one in held_out for text in one.texts))
    places = {text: str(place) for place, text in enumerate(texts)}
    evaluator = SparseInformationRetrievalEvaluator(
        queries={str(number): one.query for number, one in enumerate(held_out)},
        corpus={place: text for text, place in places.items()},
        relevant_docs={str(number): {places[one.texts[0]]} for number, one in enumerate(held_out)},
        ndcg_at_k=[_CUT],
        accuracy_at_k=[1],
        precision_recall_at_k=[1],
        mrr_at_k=[1],
        map_at_k=[1],
        batch_size=16,
        write_csv=False,
        show_progress_bar=False,
    )
    encoder.eval()
    found = evaluator(encoder)
    return {
        "nDCG@10": round(found[f"dot_ndcg@{_CUT}"], 4),
        "terms": round(found["corpus_active_dims"], 1),
        "FLOPS": round(found["avg_flops"], 3),
    }
