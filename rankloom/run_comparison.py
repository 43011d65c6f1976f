"""Comparing runs: to the last byte, or up to rounding."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict

import numpy as np

from rankloom.fingerprint import digest
from rankloom.ledger import Note
from rankloom.ranked_list import RankedList
from rankloom.records import Query
from rankloom.run import Run


def content(run: Run) -> dict[str, str]:
    """A digest of each part of a run's content: `queries`, and with a ranking `documents`, `scores` and `spans`.

    Notes, costs and history are left out. Two runs with the same digests hold the same bytes.

    Example:
        >>> one, other = Run.from_dict({"q": {"d": 1.0}}), Run.from_dict({"q": {"d": 2.0}})
        >>> [part for part in content(one) if content(one)[part] != content(other)[part]]
        ['scores']
    """
    parts = {"queries": digest([(query.id, query.fingerprint(), query.metadata) for query in run.queries])}
    if run.ranking is not None:
        ranking = run.ranking
        spans = None if ranking.spans is None else [[asdict(span) for span in hit or ()] for hit in ranking.spans]
        parts["documents"] = digest(ranking.ids.take(ranking.codes), ranking.offsets)
        parts["scores"] = digest(ranking.scores, ranking.kind, ranking.scored)
        parts["spans"] = digest(spans)
    return parts


def rankings(run: Run) -> Iterator[RankedList]:
    """Every query's ranked list; none if the run holds only queries."""
    if run.ranking is not None:
        yield from run.values()


def difference(one: Run, other: Run, tolerance: float) -> str:
    """Where two runs of the same queries differ by more than rounding, in words; empty if they do not.

    Hits may change places where their scores are closer than the tolerance.

    Args:
        one: A run.
        other: Another run of the same queries.
        tolerance: Largest difference of scores, weights and vector components up to 1, and in proportion above.

    Example:
        >>> difference(Run.from_dict({"q": {"d": 1.0}}), Run.from_dict({"q": {"d": 1.5}}), 1e-5)
        "q: hits [('d', 1.0)] and [('d', 1.5)]"
    """
    for mine, its in zip(one.queries, other.queries, strict=True):
        if not _close_queries(mine, its, tolerance):
            return f"{mine.id}: queries {mine!r} and {its!r}"
    for hits, others in zip(rankings(one), rankings(other), strict=True):
        first, second = _pairs(hits), _pairs(others)
        if not _close_hits(first, second, tolerance):
            return f"{hits.query.id}: hits {first} and {second}"
    return ""


def disorder(run: Run) -> str:
    """What is wrong with a run's rankings, in words; empty if they are in order, finite and free of duplicates.

    This looks at ids and scores alone, as a user would, and so checks `rankloom.order` as well.
    """
    for hits in rankings(run):
        doc_ids, scores = hits.doc_ids, hits.scores
        if not all(map(math.isfinite, scores)):
            return f"{hits.query.id}: a score is NaN or infinite"
        if len(set(doc_ids)) != len(doc_ids):
            return f"{hits.query.id}: a document stands twice"
        order = [(-score, doc_id) for doc_id, score in zip(doc_ids, scores, strict=True)]
        if order != sorted(order):
            return f"{hits.query.id}: not by score descending, then document id ascending"
    return ""


def same_notes(one: tuple[Note, ...], other: tuple[Note, ...]) -> bool:
    """Whether two ledgers say the same, in any order."""
    return sorted(map(repr, one)) == sorted(map(repr, other))


def _pairs(hits: RankedList) -> list[tuple[str, float]]:
    """Document ids and scores, best first."""
    return list(zip(hits.doc_ids, hits.scores, strict=True))


def _close_hits(one: list[tuple[str, float]], other: list[tuple[str, float]], tolerance: float) -> bool:
    """Whether two ranked lists are equal but for rounding.

    A document that only one list holds has been cut off from the other; its score must be that of the cut.
    """
    if len(one) != len(other):
        return False
    in_one, in_other = dict(one), dict(other)
    return all(
        _close(score, other_score, tolerance)
        and _close(score, in_other.get(doc_id, other[-1][1]), tolerance)
        and _close(other_score, in_one.get(other_doc_id, one[-1][1]), tolerance)
        for (doc_id, score), (other_doc_id, other_score) in zip(one, other, strict=True)
    )


def _close_queries(one: Query, other: Query, tolerance: float) -> bool:
    """Whether two queries are equal but for rounding of their weights and vectors."""
    if (one.id, one.text, one.terms is None) != (other.id, other.text, other.terms is None):
        return False
    terms, others = one.terms or {}, other.terms or {}
    if terms.keys() != others.keys() or one.vectors.keys() != other.vectors.keys():
        return False
    return _close_weights(terms, others, tolerance) and all(
        np.allclose(one.vectors[name], other.vectors[name], rtol=tolerance, atol=tolerance) for name in one.vectors
    )


def _close_weights(one: Mapping[str, float], other: Mapping[str, float], tolerance: float) -> bool:
    """Whether the same terms have the same weights but for rounding."""
    return all(_close(weight, other[term], tolerance) for term, weight in one.items())


def _close(one: float, other: float, tolerance: float) -> bool:
    """Whether two numbers are the same but for rounding."""
    return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)
