"""Utilities of retrieved documents: from judgements, or from the answers that they lead to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import between, whole
from rankloom.errors import UsageError
from rankloom.eval.importance.lists import UNKNOWN, UtilityLists
from rankloom.records import Document, Query
from rankloom.rerank.source_weight import SourceOf, read_sources
from rankloom.run import Run

_STAGE = "utilities"


def utilities_from_qrels(
    run: Run,
    qrels: Mapping[str, Mapping[str, int]],
    *,
    depth: int = 100,
    source: str | SourceOf = "source",
    relevance_level: int = 1,
) -> UtilityLists:
    """Utility 1 for a relevant document and 0 for any other, so that V is expected precision at K.

    Args:
        run: A run with a ranking and texts; hits that may not count (`drop_self_hits`) must be out already.
        qrels: Query id -> document id -> grade.
        depth: Hits of each query to take; more than K, for hits move up when others are left out.
        source: The metadata key of a document's source, or a `SourceOf`.
        relevance_level: Least grade that is relevant.

    Returns:
        One list for each judged query, in the order of the judgements; empty for those that are not in the run.

    Raises:
        CompositionError: The run has no ranking or no texts.
        UsageError: There are no judgements, or the depth is not positive.

    Example:
        >>> run = Run.from_documents("sky", [Document("d1", "Bread.", metadata={"source": "forum"})])
        >>> lists = utilities_from_qrels(run, {"q1": {"d2": 1}})
        >>> lists.names, lists.utilities.tolist()
        (('forum',), [[0.0]])
    """
    judged = [query_id for query_id, grades in qrels.items() if grades]
    if not judged:
        raise UsageError("there are no judgements to learn from", stage=_STAGE)
    top = run.hits(stage=_STAGE).top(whole(depth, least=1, stage=_STAGE, parameter="depth"))
    places = {query_id: place for place, query_id in enumerate(run)}
    ids = [top.doc_ids(places[query_id]) if query_id in places else [] for query_id in judged]
    useful = [
        [float(qrels[query_id].get(doc_id, 0) >= relevance_level) for doc_id in doc_ids]
        for query_id, doc_ids in zip(judged, ids, strict=True)
    ]
    return _padded(
        useful,
        _sources(run, ids, source),
        query_ids=tuple(judged),
        missing=tuple(query_id for query_id, doc_ids in zip(judged, ids, strict=True) if not doc_ids),
        unjudged_queries=tuple(query_id for query_id in run if not qrels.get(query_id)),
    )


def utilities_from_answers(
    run: Run,
    utility: Callable[[Query, Document], float],
    *,
    depth: int = 10,
    source: str | SourceOf = "source",
    known: MutableMapping[tuple[str, str], float] | None = None,
) -> UtilityLists:
    """The utility of each document by itself, as a callable tells it.

    Args:
        run: A run with a ranking and texts.
        utility: From 0 to 1; for instance whether a language model that reads this one document answers correctly.
            Utilities are added up: what a vote over several answers would gain, this only approximates.
        depth: Hits of each query to take.
        source: The metadata key of a document's source, or a `SourceOf`.
        known: (query id, document id) -> utility of pairs that were asked before. They are not asked again, and each
            new one is put in as soon as it is there, so that nothing paid for is lost when a call fails.

    Returns:
        One list for each query of the run.

    Raises:
        CompositionError: The run has no ranking or no texts.
        UsageError: A utility is not between 0 and 1, or the depth is not positive.
    """
    top = run.hits(stage=_STAGE).top(whole(depth, least=1, stage=_STAGE, parameter="depth"))
    documents = run.texts(stage=_STAGE)
    known = {} if known is None else known
    ids = [top.doc_ids(number) for number in range(len(run))]
    useful: list[list[float]] = []
    for query, doc_ids in zip(run.queries, ids, strict=True):
        for doc_id in (doc_id for doc_id in doc_ids if (query.id, doc_id) not in known):
            asked = float(utility(query, documents.get([doc_id])[0]))
            known[query.id, doc_id] = between(asked, 0, 1, stage=_STAGE, parameter=f"utility of {doc_id}")
        useful.append([known[query.id, doc_id] for doc_id in doc_ids])
    return _padded(
        useful,
        _sources(run, ids, source),
        query_ids=tuple(run),
        missing=tuple(query.id for query, doc_ids in zip(run.queries, ids, strict=True) if not doc_ids),
    )


def _sources(run: Run, ids: Sequence[Sequence[str]], source: str | SourceOf) -> list[list[str | None]]:
    """The source of each document of each list; each document is read once."""
    unique = list(dict.fromkeys(doc_id for doc_ids in ids for doc_id in doc_ids))
    found = dict(zip(unique, read_sources(run.texts(stage=_STAGE), unique, source, stage=_STAGE), strict=True))
    return [[found[doc_id] for doc_id in doc_ids] for doc_ids in ids]


def _padded(
    useful: Sequence[Sequence[float]],
    sources: Sequence[Sequence[str | None]],
    *,
    query_ids: tuple[str, ...],
    missing: tuple[str, ...],
    unjudged_queries: tuple[str, ...] = (),
) -> UtilityLists:
    """Lists of different lengths as arrays."""
    names = sorted({source for some in sources for source in some if source is not None})
    place = {name: number for number, name in enumerate(names)}
    shape = (len(useful), max(map(len, useful), default=0))
    utilities = np.zeros(shape)
    places: NDArray[np.int64] = np.full(shape, UNKNOWN, dtype=np.int64)
    for row, (values, some) in enumerate(zip(useful, sources, strict=True)):
        utilities[row, : len(values)] = values
        places[row, : len(some)] = [UNKNOWN if source is None else place[source] for source in some]
    return UtilityLists(
        utilities=utilities,
        sources=places,
        mask=np.arange(shape[1]) < np.array([len(values) for values in useful], dtype=np.int64)[:, None],
        names=tuple(names),
        query_ids=query_ids,
        missing=missing,
        unjudged_queries=unjudged_queries,
    )
