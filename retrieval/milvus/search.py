"""Searching a collection: requests that fit, scores that are larger for better hits, and ties at the cut."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rankloom.errors import StageError
from rankloom.extras import require
from rankloom.order import Scores
from rankloom.retrieval.milvus.collection import MilvusCollection
from rankloom.retrieval.milvus.connection import STAGE
from rankloom.retrieval.milvus.contents import ID, Field
from rankloom.retrieval.milvus.rows import from_key

#: Hits that Milvus returns for a query at most.
MOST = 16_384
_MARGIN = 64  # hits more than asked for, so that ties at the cut can be settled
_AT_ONCE = 200_000  # hits in one answer: with ids of 100 bytes, twice, they fill 40 MB
_RRF = 60  # of Cormack et al., and Milvus' default
_METRICS: dict[Field, str] = {"dense": "IP", "sparse": "IP", "bm25": "BM25"}


class Found(NamedTuple):
    """Hits of a query, best first as Milvus has them.

    Args:
        doc_ids: At most as many as asked for.
        scores: float32 of shape (hits,), larger for better hits.
        settled: Whether a document that is not among them can not have the score of the last that counts.
    """

    doc_ids: list[str]
    scores: Scores
    settled: bool = True


def search(
    collection: MilvusCollection, field: Field, asked: Sequence[Any], k: int, options: dict[str, int]
) -> list[Found]:
    """The best k documents of each query and all that share the score of the last of these.

    Args:
        collection: Where to look.
        field: What to look in.
        asked: For each query a vector, weights of dimensions, or a text, as the field wants it.
        k: How many documents, at least 1.
        options: Milvus' search parameters.
    """

    def ask(numbers: Sequence[int], depth: int) -> list[Found]:
        given = {**options, "ef": max(options["ef"], depth)} if "ef" in options else options
        answer = collection.connection.ask(
            "search",
            collection.name,
            data=[asked[number] for number in numbers],
            anns_field=field,
            limit=depth,
            output_fields=[ID],  # without, Milvus Lite returns whole texts
            search_params={"metric_type": _METRICS[field], "params": given},
        )
        return [_found(hits, field) for hits in answer]

    return settled(ask, len(asked), k)


def hybrid_search(
    collection: MilvusCollection,
    asked: Mapping[Field, Sequence[Any]],
    candidates: int,
    options: Mapping[Field, Mapping[str, int]],
) -> list[Found]:
    """The candidates of several fields, fused by Milvus with reciprocal ranks (k = 60); all of them, best first.

    Args:
        collection: Where to look.
        asked: For each field what each query asks, see `search`.
        candidates: How many documents each field gives.
        options: Milvus' search parameters of each field.
    """
    library = require("pymilvus", extra=STAGE, stage=STAGE)
    count = len(next(iter(asked.values())))
    most = min(len(asked) * candidates, MOST)
    found: list[Found] = []
    for start in range(0, count, _at_once(most)):
        part = slice(start, start + _at_once(most))
        requests = [
            library.AnnSearchRequest(
                data=list(data[part]),
                anns_field=field,
                param={"metric_type": _METRICS[field], "params": options[field]},
                limit=candidates,
            )
            for field, data in asked.items()
        ]
        answer = collection.connection.ask(
            "hybrid_search",
            collection.name,
            reqs=requests,
            ranker=library.RRFRanker(_RRF),
            limit=most,
            output_fields=[ID],
        )
        found += [_found(hits, None) for hits in answer]
    return found


def settled(ask: Callable[[Sequence[int], int], list[Found]], count: int, k: int) -> list[Found]:
    """Answers that reach below the score of the k-th hit, as far as Milvus goes.

    Args:
        ask: The hits of some queries, by their numbers, to a depth.
        count: How many queries there are.
        k: The cut.
    """
    results: dict[int, Found] = {}
    pending, depth = list(range(count)), min(k + _MARGIN, MOST)
    while pending:
        deeper = []
        for start in range(0, len(pending), _at_once(depth)):
            numbers = pending[start : start + _at_once(depth)]
            for number, found in zip(numbers, ask(numbers, depth), strict=True):
                whole = len(found.doc_ids) < depth or found.scores[-1] < found.scores[k - 1]
                if whole or depth == MOST:
                    results[number] = found._replace(settled=whole)
                else:
                    deeper.append(number)
        pending, depth = deeper, min(4 * depth, MOST)
    return [results[number] for number in range(count)]


def _at_once(depth: int) -> int:
    """How many queries' hits fit one answer."""
    return max(1, _AT_ONCE // depth)


def _found(hits: Any, field: Field | None) -> Found:
    """Hits as ids and scores, larger for better ones.

    Milvus Lite gives distances for BM25, which are negative and smallest for the best; a server gives scores. BM25
    scores are sums of positive parts, so that the sign tells which it is.

    Raises:
        StageError: The hits are not in order of their scores, best first.
    """
    scores = np.array([hit["distance"] for hit in hits], dtype=np.float32)
    if field == "bm25" and (scores < 0).any():
        scores = -scores
    if (np.diff(scores) > 0).any():
        raise StageError(
            "Milvus gave hits whose scores rise from the best to the worst: they are distances, or it is broken",
            stage=STAGE,
            value=scores[:3].tolist(),
        )
    return Found([from_key(hit["id"]) for hit in hits], scores)
