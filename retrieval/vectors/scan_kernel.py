"""Kernels of exact search: which rows may be among the best, and what their scores are.

A scan knows each inner product to within a slack. It keeps, for every query, the rows whose upper bound reaches the
k-th largest lower bound seen so far; no other row can be among the best k.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rankloom.retrieval.index.compiled import compiled, nested, reassociated
from rankloom.retrieval.index.top_k_kernel import keep_best, key_of, score_of

_CHUNK = 32  # rows looked at together; most chunks hold no survivor and cost a comparison each
_NEW = 32  # survivors that are worth tightening a threshold for, at least


@reassociated
def _whole_row(codes: Any, query: Any, products: Any) -> None:
    """Inner products of rows of small whole numbers with one query."""
    for row in range(len(codes)):
        total = np.int32(0)
        for place in range(len(query)):
            total += np.int32(codes[row, place]) * np.int32(query[place])
        products[row] = total


@compiled
def whole_products(codes: Any, queries: Any, products: Any, begin: Any, end: Any) -> None:
    """Inner products of int8 rows, `begin` to `end`, with int16 queries; int32 of shape (queries, rows)."""
    for query in range(len(queries)):
        _whole_row(codes[begin:end], queries[query], products[query, begin:end])


@reassociated
def _wide_row(matrix: Any, rows: Any, query: Any, scores: Any) -> None:
    """Scores of some rows: products with a float64 query, summed in float64, rounded once to float32."""
    for place in range(len(rows)):
        row = rows[place]
        if 0 <= row < len(matrix):
            total = 0.0
            for column in range(len(query)):
                total += np.float64(matrix[row, column]) * query[column]
            scores[place] = np.float32(total)


@nested
def _reaching(
    products: Any, scales: Any, lengths: Any, errors: Any, scale: Any, error: Any, length: Any, threshold: Any
) -> Any:
    """How many of some rows have an upper bound that reaches a threshold."""
    reach = np.int32(0)
    for row in range(len(products)):
        middle = np.float32(products[row]) * (scale * scales[row])
        reach += np.int32(middle + (error * lengths[row] + length * errors[row]) >= threshold)
    return reach


@nested
def _tightened(lowers: Any, uppers: Any, rows: Any, size: Any, k: Any, threshold: Any, scratch: Any) -> Any:
    """Drop the rows that can no longer be among the best k; how many are left, and the new threshold."""
    if size <= k:
        return size, threshold
    scratch[:size] = lowers[:size]
    keep_best(scratch, size, k)
    threshold = max(threshold, scratch[k - 1])
    left = 0
    for place in range(size):
        if uppers[place] >= threshold:
            rows[left], lowers[left], uppers[left] = rows[place], lowers[place], uppers[place]
            left += 1
    return left, threshold


@compiled
def collect(
    products: Any,  # (queries, rows of this block)
    first: Any,  # number of the block's first row
    measures: Any,  # float32 (3, rows of this block): scale, length and error of each row
    labels: Any,  # int32 (rows of this block): below 0 for a row that must not be found
    query_measures: Any,  # float32 (queries, 3): the same of each query
    k: Any,
    rows: Any,  # int32 (queries, capacity), and so the next two, float32
    lowers: Any,
    uppers: Any,
    sizes: Any,  # int64 (queries)
    tightened: Any,  # int64 (queries): sizes after the last tightening
    thresholds: Any,  # float32 (queries)
    begin: Any,
    end: Any,
) -> None:
    """Take in the rows of a block that may be among the best k of queries `begin` to `end`."""
    scales, lengths, errors = measures[0], measures[1], measures[2]
    scratch = np.empty(rows.shape[1], dtype=np.float32)
    count, enough = products.shape[1], max(k >> 1, _NEW)
    for query in range(begin, end):
        scale, error, length = query_measures[query]
        line, size, threshold, mark = products[query], sizes[query], thresholds[query], tightened[query]
        for start in range(0, count, _CHUNK):
            part = slice(start, min(start + _CHUNK, count))
            chunk = line[part], scales[part], lengths[part], errors[part]
            if not _reaching(*chunk, scale, error, length, threshold):
                continue
            for row in range(part.start, part.stop):
                middle = np.float32(line[row]) * (scale * scales[row])
                slack = error * lengths[row] + length * errors[row]
                if middle + slack >= threshold and labels[row] >= 0:
                    rows[query, size] = first + row
                    lowers[query, size], uppers[query, size] = middle - slack, middle + slack
                    size += 1
            if size - mark >= enough:
                size, threshold = _tightened(lowers[query], uppers[query], rows[query], size, k, threshold, scratch)
                mark = size
        tightened[query] = mark
        sizes[query], thresholds[query] = size, threshold


@compiled
def tighten(
    k: Any, rows: Any, lowers: Any, uppers: Any, sizes: Any, tightened: Any, thresholds: Any, begin: Any, end: Any
) -> None:
    """Drop what can no longer be among the best k of queries `begin` to `end`."""
    scratch = np.empty(rows.shape[1], dtype=np.float32)
    for query in range(begin, end):
        size, threshold = _tightened(
            lowers[query], uppers[query], rows[query], sizes[query], k, thresholds[query], scratch
        )
        sizes[query], thresholds[query], tightened[query] = size, threshold, size


@compiled
def score_rows(matrix: Any, first: Any, rows: Any, sizes: Any, queries: Any, scores: Any, begin: Any, end: Any) -> None:
    """Scores of those rows that lie in a matrix whose first row has the number `first`.

    Args:
        matrix: float32 (rows, dimensions).
        first: Number of its first row.
        rows: Row numbers, (queries, capacity).
        sizes: How many of them count, (queries,).
        queries: float64 (queries, dimensions).
        scores: Where scores go, float32 (queries, capacity): float64 products, rounded once.
        begin: First query.
        end: One past the last.
    """
    for query in range(begin, end):
        size = sizes[query]
        _wide_row(matrix, rows[query, :size] - first, queries[query], scores[query, :size])


@compiled
def score_gathered(matrix: Any, queries: Any, scores: Any) -> None:
    """Scores of rows that lie one after another, as many for each query as `scores` is wide."""
    depth = scores.shape[1]
    rows = np.arange(depth)
    for query in range(len(queries)):
        _wide_row(matrix[query * depth : (query + 1) * depth], rows, queries[query], scores[query])


@nested
def _unpacked(keys: Any, size: Any, scores: Any, labels: Any) -> None:
    """The best keys in order, as scores and labels; whatever there is room for."""
    count = min(size, len(labels))
    if count < size:
        keep_best(keys, size, count)
    kept = np.sort(keys[:count])
    for place in range(count):
        key = kept[count - 1 - place]
        scores[place] = score_of(key)
        labels[place] = np.int64(0xFFFFFFFF) - (key & np.int64(0xFFFFFFFF))


@compiled
def unpacked(keys: Any, size: Any, scores: Any, labels: Any) -> None:
    """The best keys in order, as scores and labels; whatever there is room for."""
    _unpacked(keys, size, scores, labels)


@compiled
def best_labels(
    rows: Any, scores: Any, sizes: Any, labels: Any, best_scores: Any, best: Any, begin: Any, end: Any
) -> None:
    """The best of scored rows in order: by score, then by label; float32 and int64 of shape (queries, depth)."""
    for query in range(begin, end):
        keys = np.empty(sizes[query], dtype=np.int64)
        for place in range(sizes[query]):
            keys[place] = key_of(scores[query, place], labels[rows[query, place]])
        _unpacked(keys, len(keys), best_scores[query], best[query])


@compiled
def best_keys(matrix: Any, labels: Any, query: Any, keys: Any, size: Any, k: Any) -> Any:
    """Score all rows of a matrix and keep the k best keys, which may be in any order; returns how many there are."""
    rows, scores = np.arange(len(matrix)), np.empty(len(matrix), dtype=np.float32)
    _wide_row(matrix, rows, query, scores)
    for row in range(len(matrix)):
        if labels[row] >= 0:
            keys[size] = key_of(scores[row], labels[row])
            size += 1
            if size == len(keys):
                keep_best(keys, size, k)
                size = k
    return size
