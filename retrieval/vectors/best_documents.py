"""From the rows that a search finds to the documents of a ranking: the best row of a document counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import DataError
from rankloom.order import Codes, Offsets, Scores, in_order
from rankloom.retrieval.vectors.contents import Contents
from rankloom.retrieval.vectors.exact_search import ExactSearch
from rankloom.retrieval.vectors.vector_parts import VectorParts

_GATHERED = 1 << 24  # numbers of vectors that are fetched at a time to be scored anew: 64 MiB


class Hits(NamedTuple):
    """Documents found for a batch of queries, best first; ties by document id.

    Args:
        offsets: Where each query's hits start, int64 of shape (queries + 1,).
        codes: Document codes, int32 of shape (hits,).
        scores: Inner products, float32 of shape (hits,).
    """

    offsets: Offsets
    codes: Codes
    scores: Scores

    def of(self, query: int) -> tuple[Codes, Scores]:
        """The hits of one query."""
        part = slice(int(self.offsets[query]), int(self.offsets[query + 1]))
        return self.codes[part], self.scores[part]


def best_documents(
    contents: Contents, queries: NDArray[np.float32], k: int, *, rescore: int, effort: Mapping[str, int]
) -> Hits:
    """The best k documents of each query, each by its best row.

    Where a document has several rows, the search goes deeper until it has met k documents or every row.

    Args:
        contents: What is searched.
        queries: float32 of shape (queries, dimensions).
        k: How many documents for each query, at least 1.
        rescore: How many rows found by an approximate search are scored anew by the stored vectors: at least k, or 0.
        effort: Search settings of the kind.
    """
    k = min(k, len(contents.ids))
    if not k or not len(queries):
        nothing = np.zeros(0, dtype=np.int32)
        return Hits(np.zeros(len(queries) + 1, dtype=np.int64), nothing, nothing.astype(np.float32))
    depth = max(k, rescore)
    if contents.one_row_each:
        return _cut(_rows_found(contents, queries, depth, rescore=rescore, effort=effort), k)
    settled: dict[int, tuple[Codes, Scores]] = {}
    pending, depth = np.arange(len(queries)), min(2 * depth, contents.live_rows)
    while len(pending):
        found = _rows_found(contents, queries[pending], depth, rescore=rescore and depth, effort=effort)
        hits = _cut(_first_of_each(found), k)
        full = (np.diff(hits.offsets) >= k) | (np.diff(found.offsets) < depth) | (depth >= contents.live_rows)
        for place in np.flatnonzero(full).tolist():
            settled[int(pending[place])] = hits.of(place)
        pending, depth = pending[~full], min(4 * depth, contents.live_rows)
    parts = [settled[number] for number in range(len(queries))]
    offsets = np.cumsum([0, *(len(codes) for codes, _ in parts)], dtype=np.int64)
    return Hits(offsets, np.concatenate([codes for codes, _ in parts]), np.concatenate([scores for _, scores in parts]))


def checked_queries(queries: NDArray[np.float32], dimensions: int, *, stage: str) -> NDArray[np.float32]:
    """Queries as a search takes them: float32, contiguous.

    Raises:
        DataError: They are not of shape (queries, dimensions), or a number is not finite.
    """
    with np.errstate(over="ignore"):  # what float32 does not hold is infinite, and refused below
        given = np.ascontiguousarray(queries, dtype=np.float32)
    if np.ndim(queries) != 2 or given.shape[1] != dimensions:
        raise DataError(
            "the queries do not fit the index",
            stage=stage,
            value=f"an array of shape {np.shape(queries)}",
            accepted=f"float32 of shape (queries, {dimensions})",
            fix="encode queries by the index's encoder; a single one is `vector[None]`",
        )
    bad = np.flatnonzero(~np.isfinite(given).all(axis=1))
    if len(bad):
        raise DataError(
            "a query's vector holds a number that is not finite",
            stage=stage,
            value=f"query {int(bad[0])}",
            accepted="finite numbers that float32 holds",
        )
    return given


def _rows_found(
    contents: Contents, queries: NDArray[np.float32], depth: int, *, rescore: int, effort: Mapping[str, int]
) -> Hits:
    """The best rows, in order, as the codes of their documents; a document may stand several times."""
    if isinstance(contents.search, ExactSearch):
        scores, found = contents.search.best(queries, depth, contents.owners)
        codes = found.astype(np.int32)
    else:
        scores, codes = _approximate(contents, queries, depth, rescore=rescore, effort=effort)
    there = codes >= 0
    if there.all() and (scores[:, 1:] < scores[:, :-1]).all():  # in order already, and no two alike
        return Hits(np.arange(len(codes) + 1) * codes.shape[1], codes.ravel(), scores.ravel())
    offsets = np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int64)
    return Hits(offsets, *in_order(offsets, codes[there], scores[there]))


def _approximate(
    contents: Contents, queries: NDArray[np.float32], depth: int, *, rescore: int, effort: Mapping[str, int]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """The rows that an index of FAISS finds, as scores and codes of documents; -1 where there are no more.

    `flat` looks at every row in full, so that nothing excuses it from the order of ties; but FAISS cuts between equal
    scores as it pleases. Queries where it did are searched exactly.
    """
    flat = contents.search.kind == "flat"
    scores, rows = contents.search.search(queries, depth + flat, live=contents.live, effort=effort)
    if rescore:
        scores = _scored(contents.vectors, queries, rows)
    codes = np.where(rows >= 0, contents.owners[rows], np.int32(-1))
    if flat:
        tied = np.flatnonzero((rows[:, depth] >= 0) & (scores[:, depth - 1] == scores[:, depth]))
        scores, codes = scores[:, :depth], codes[:, :depth]
        if len(tied):
            scores[tied], codes[tied] = contents.exact.best(queries[tied], depth, contents.owners)
    return scores, codes


def _scored(vectors: VectorParts, queries: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Scores of rows by the stored vectors: in float64, rounded once; they depend on nothing but the two vectors."""
    from rankloom.retrieval.vectors.scan_kernel import score_gathered

    scores = np.empty(rows.shape, dtype=np.float32)
    wide = queries.astype(np.float64)
    step = max(1, _GATHERED // (rows.shape[1] * vectors.dimensions))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        gathered = vectors.take(np.maximum(rows[part], 0).ravel())
        score_gathered(gathered, wide[part], scores[part])
    return scores


def _cut(hits: Hits, k: int) -> Hits:
    """The first k hits of each query."""
    counts = np.diff(hits.offsets)
    if counts.max(initial=0) <= k:
        return hits
    kept = np.arange(len(hits.codes)) - np.repeat(hits.offsets[:-1], counts) < k
    offsets = np.concatenate([[0], np.cumsum(np.minimum(counts, k))]).astype(np.int64)
    return Hits(offsets, hits.codes[kept], hits.scores[kept])


def _first_of_each(hits: Hits) -> Hits:
    """The hits without those of documents that stand further up."""
    counts = np.diff(hits.offsets)
    queries = np.repeat(np.arange(len(counts)), counts)
    _, first = np.unique((queries << 32) + hits.codes, return_index=True)
    first.sort()
    kept = np.bincount(queries[first], minlength=len(counts))
    return Hits(np.concatenate([[0], np.cumsum(kept)]).astype(np.int64), hits.codes[first], hits.scores[first])
