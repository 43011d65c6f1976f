"""Teachers: any stages of rankloom, asked for their scores of the documents that a student is to learn from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from zlib import crc32

import numpy as np

from rankloom.checks import whole
from rankloom.errors import UsageError
from rankloom.run import Run
from rankloom.stage import Stage
from rankloom.training.distillation import Example

_STAGE = "teachers"


def teach(
    candidates: Run,
    teachers: Mapping[str, Stage],
    *,
    relevant: Mapping[str, Mapping[str, int]] | None = None,
    documents: int = 8,
    negatives: bool = False,
    seed: int = 7,
) -> Iterator[Example]:
    """Examples for distillation: a sample of each query's candidates, scored by every teacher.

    A document that a teacher does not return scores as the worst that it returns for the query, so give teachers depth.
    Queries with fewer candidates than two are passed over: there is nothing to tell apart.

    Args:
        candidates: Hits with texts, such as the best 50 of a hybrid; the sample is drawn from them.
        teachers: Name -> a stage that starts from queries (a retriever, or a pipeline that ends in a reranker).
        relevant: Query id -> document id -> grade, of a training split. The best judged document, where it is among
            the candidates, comes first in its example; the others are drawn.
        documents: How many an example has at most.
        negatives: Whether the drawn ones are to be negatives; other relevant documents are left out then.
        seed: Of the sample; each query's is its own, so that examples do not depend on which other queries there are.

    Raises:
        UsageError: There are no teachers, or `documents` is below 2.
        CompositionError: The candidates have no hits or no texts.
    """
    whole(documents, least=2, stage=_STAGE, parameter="documents")
    if not teachers:
        raise UsageError("there are no teachers", stage=_STAGE)
    texts = candidates.texts(stage=_STAGE)
    scored = {name: stage.run(candidates.queries, session=candidates.session) for name, stage in teachers.items()}
    for query_id, hits in candidates.items():
        grades = (relevant or {}).get(query_id, {})
        among = _without_other_relevant(hits.doc_ids, grades) if negatives else hits.doc_ids
        drawn = _drawn(among, grades, documents, seed + crc32(query_id.encode()))
        scores = {name: _scores(run, query_id, drawn) for name, run in scored.items()}
        if len(drawn) > 1 and all(one is not None for one in scores.values()):
            contents = tuple(document.contents for document in texts.get(drawn))
            yield Example(hits.query.text, contents, {name: one for name, one in scores.items() if one is not None})


def _best(doc_ids: list[str], grades: Mapping[str, int]) -> str | None:
    """The best judged document that is there; None if none is relevant."""
    judged = [doc_id for doc_id in doc_ids if grades.get(doc_id, 0) > 0]
    return max(judged, key=lambda doc_id: grades[doc_id], default=None)


def _without_other_relevant(doc_ids: list[str], grades: Mapping[str, int]) -> list[str]:
    """The best judged document and those that are not known to be relevant."""
    best = _best(doc_ids, grades)
    return [doc_id for doc_id in doc_ids if doc_id == best or grades.get(doc_id, 0) <= 0]


def _drawn(doc_ids: list[str], grades: Mapping[str, int], count: int, seed: int) -> list[str]:
    """Documents of one example: the best judged one that is there, then others at random in the order of the hits."""
    best = _best(doc_ids, grades)
    others = [doc_id for doc_id in doc_ids if doc_id != best]
    room = count - (best is not None)
    places = np.random.default_rng(seed).permutation(len(others))[:room]
    return [*([] if best is None else [best]), *(others[place] for place in sorted(places.tolist()))]


def _scores(run: Run, query_id: str, doc_ids: list[str]) -> tuple[float, ...] | None:
    """A teacher's scores; None if it has no hit for the query."""
    hits = run[query_id]
    known = dict(zip(hits.doc_ids, hits.scores, strict=True))
    if not known:
        return None
    worst = min(known.values())
    return tuple(known.get(doc_id, worst) for doc_id in doc_ids)
