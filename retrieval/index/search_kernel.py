"""Exact top-k search, a stretch of documents at a time.

The parts of every term are added up for the documents of one stretch, whose sums fit into the processor's cache, in
long runs without a branch. Beside them the terms' bounds are added up for every block of the stretch, and only blocks
whose bounds reach the top k are looked into, sixty-four sums in a step: the bounds of Block-Max indexes (Ding and
Suel, Faster Top-k Document Retrieval Using Block-Max Indexes, SIGIR 2011) over the accumulators of term-at-a-time
search. Skipping single postings instead was measured to be slower: a branch that is guessed wrong costs as much as
ten postings.

A score is a float64 sum of float32 parts, rounded to float32, added in the query's order whatever is left out. Nothing
is left out that could tie with the last hit, so results are those of scoring everything.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba.cpython.unsafe.numbers import trailing_zeros
from numpy.typing import NDArray

from rankloom.retrieval.index.columns import BLOCK_SHIFT, BLOCKS, DENSE, LARGE, STRETCH_SHIFT
from rankloom.retrieval.index.compiled import compiled, inlined, nested
from rankloom.retrieval.index.runs_kernel import large_value
from rankloom.retrieval.index.top_k_kernel import NO_KEY, offer, score_of

_BLOCK = np.uint64(1 << BLOCK_SHIFT)
_LANES = np.uint64(64)  # sums that are compared with the threshold at once; fewer are not made into vectors
_ONE = np.uint64(1)  # unsigned numbers index without a check for signs, which would double the time of short loops
_TABLED = 16  # values below are looked up in tables
_LEAST = 1e-30  # a bound that is not 0, so that a block without any term can be told apart
_ROUNDING = 3e-7  # what float32 may lose of a number in five roundings, each of 2 ** -24 at most
_trailing_zeros: Any = trailing_zeros  # an instruction of the processor, which numba has no public name for
_UNTOUCHED = np.int64(-(2**63))  # the bits of -0.0, which no sum that parts were added to can have


class Scoring(NamedTuple):
    """How a posting becomes a part of the score.

    `weight - weight / (1 + value * inverse[norm] + shift) + bonus`.

    Args:
        inverse: By length byte, float32 of shape (256,).
        shift: See the formula.
        bounds: For each bound byte, the largest `value * inverse[norm] + shift` behind it, float64 of shape (256,).
    """

    inverse: NDArray[np.float32]
    shift: np.float32
    bounds: NDArray[np.float64]


class Queries(NamedTuple):
    """A batch of queries, terms by their numbers in the segment.

    Args:
        offsets: Where the terms of each query start, int64 of shape (queries + 1,).
        terms: Numbers, -1 for a term that the segment has not; int64.
        weights: float32, of the same shape.
        bonuses: What a document gets for holding the term at all; float32, of the same shape.
    """

    offsets: NDArray[np.int64]
    terms: NDArray[np.int64]
    weights: NDArray[np.float32]
    bonuses: NDArray[np.float32]


@inlined
def _part(inverse: Any, raised: Any, value: Any, norm: Any, weight: Any, bonus: Any) -> Any:
    """What a posting adds to the score."""
    saturated = np.float32(1) + (np.float32(value) * inverse[norm] + raised)
    return (weight - weight / saturated) + bonus


@nested
def _weigh(scoring: Any, weight: Any, bonus: Any, parts: Any, limits: Any) -> None:
    """Write a term's parts by value and length byte, and what is behind each bound byte."""
    inverse, raised, bounds = scoring.inverse, scoring.shift, scoring.bounds
    for value in range(1, _TABLED):
        for norm in range(256):
            parts[value, norm] = _part(inverse, raised, value, norm, weight, bonus)
    limits[0] = 0.0
    for byte in range(1, 256):
        part = weight - weight / (1.0 + bounds[byte]) + bonus
        limits[byte] = max(_LEAST, part + _ROUNDING * (abs(weight) + abs(bonus)))  # what float32 parts may gain


@nested
def _add_ones(places: Any, norms: Any, parts: Any, sums: Any, blocks: Any, sparse: Any) -> None:
    """Add a term's parts to the sums of the documents that hold it once.

    Args:
        places: Of a run, those whose value is 1.
        norms: Of the stretch's documents.
        parts: Of the value 1, by length byte.
        sums: By document of the stretch, float64.
        blocks: By block of the stretch, float64.
        sparse: Whether the run has no bounds, so that parts are added to those of their blocks one by one.
    """
    for place in range(np.uint64(len(places))):
        document = np.uint64(places[place])
        part = np.float64(parts[norms[document]])
        sums[document] += part
        if sparse:
            blocks[document >> np.uint64(BLOCK_SHIFT)] += max(_LEAST, part)


@nested
def _add_others(
    places: Any, values: Any, first: Any, large_positions: Any, large_values: Any, scale: Any, norms: Any, parts: Any,
    sums: Any, blocks: Any, sparse: Any,
) -> None:  # fmt: skip
    """`_add_ones` for places with values, which start at `first` of the column; `scale` is what `_part` asks for."""
    inverse, raised, weight, bonus = scale
    for place in range(np.uint64(len(places))):
        document, value = np.uint64(places[place]), np.uint64(values[place])
        norm = norms[document]
        if value < np.uint64(_TABLED):
            part = np.float64(parts[value, norm])
        else:
            whole = np.int64(value)
            if whole == LARGE:
                whole = np.int64(large_value(large_positions, large_values, first + np.int64(place)))
            part = np.float64(_part(inverse, raised, whole, norm, weight, bonus))
        sums[document] += part
        if sparse:
            blocks[document >> np.uint64(BLOCK_SHIFT)] += max(_LEAST, part)


@nested
def _take_best(sums: Any, blocks: Any, codes: Any, first: Any, keys: Any, size: Any, k: Any, worst: Any) -> Any:
    """Take in the documents of a stretch that may be among the best k, and clear its sums and bounds.

    Returns:
        How many keys there are, and the k-th so far.
    """
    bits = sums.view(np.int64)
    threshold = np.float64(score_of(worst)) if worst > NO_KEY else -np.inf
    low = threshold - abs(threshold) * _ROUNDING  # what may round to the threshold
    for block in range(np.uint64(BLOCKS)):
        if blocks[block] == 0.0:
            continue
        start = block << np.uint64(BLOCK_SHIFT)
        if blocks[block] >= low:
            for lanes in range(start, start + _BLOCK, _LANES):
                found = np.uint64(0)
                for lane in range(np.uint64(0), _LANES):
                    found |= np.uint64(sums[lanes + lane] >= low) << lane
                while found:
                    document = lanes + np.uint64(_trailing_zeros(found))
                    found &= found - _ONE
                    if bits[document] != _UNTOUCHED and np.float32(sums[document]) >= threshold:
                        whole = np.int64(document) + first
                        code = codes[whole] if len(codes) else np.int32(whole)
                        if code >= 0:
                            size, worst = offer(sums[document], code, keys, size, k, worst)
            threshold = np.float64(score_of(worst)) if worst > NO_KEY else -np.inf
            low = threshold - abs(threshold) * _ROUNDING
        for place in range(start, start + _BLOCK):
            sums[place] = -0.0
        blocks[block] = 0.0
    return size, worst


@nested
def _search_query(
    columns: Any, scoring: Any, queries: Any, query: Any, codes: Any, k: Any, scratch: Any, keys: Any,
    size: Any, worst: Any,
) -> Any:  # fmt: skip
    """One query over one segment; returns the number of keys and the k-th so far."""
    parts, limits, cursors, ends, sums, blocks = scratch
    # taken out of the tuple once: numba counts references each time
    run_stretches, run_ones, run_others = columns.run_stretches, columns.run_ones, columns.run_others
    places, values, bounds = columns.places, columns.values, columns.bounds
    large_positions, large_values = columns.large_positions, columns.large_values
    inverse, raised = scoring.inverse, scoring.shift
    begin = queries.offsets[query]
    terms = queries.offsets[query + 1] - begin
    weights, bonuses = queries.weights[begin : begin + terms], queries.bonuses[begin : begin + terms]
    for row in range(terms):
        term = queries.terms[begin + row]
        ends[row] = 0
        if term >= 0:
            _weigh(scoring, weights[row], bonuses[row], parts[row], limits[row])
            cursors[row, 0], ends[row] = columns.term_runs[term], columns.term_runs[term + 1]
            cursors[row, 1], cursors[row, 2] = columns.term_places[term], columns.term_values[term]
            cursors[row, 3] = columns.term_bounds[term]
        else:
            cursors[row, 0] = 0
    for stretch in range(((len(columns.norms) - 1) >> STRETCH_SHIFT) + 1):
        first = stretch << STRETCH_SHIFT
        norms = columns.norms[first:]
        for row in range(terms):
            run = cursors[row, 0]
            if run == ends[row] or run_stretches[run] != stretch:
                continue
            cursor = cursors[row]
            ones, others = np.int64(run_ones[run]), np.int64(run_others[run])
            start, postings = cursor[1], ones + others
            sparse = postings < DENSE
            _add_ones(places[start : start + ones], norms, parts[row, 1], sums, blocks, sparse)
            if others:
                scale = (inverse, raised, weights[row], bonuses[row])
                _add_others(
                    places[start + ones : start + postings], values[cursor[2] : cursor[2] + others], cursor[2],
                    large_positions, large_values, scale, norms, parts[row], sums, blocks, sparse,
                )  # fmt: skip
            if not sparse:
                row_bounds, by_byte = bounds[cursor[3] : cursor[3] + BLOCKS], limits[row]
                for block in range(np.uint64(BLOCKS)):
                    blocks[block] += by_byte[row_bounds[block]]
                cursor[3] += BLOCKS
            cursor[0] += 1
            cursor[1] += postings
            cursor[2] += others
        size, worst = _take_best(sums, blocks, codes, first, keys, size, k, worst)
    return size, worst


@compiled
def search(
    columns: Any,
    scoring: Any,
    queries: Any,
    codes: Any,
    k: Any,
    sums: Any,
    keys: Any,
    sizes: Any,
    worsts: Any,
) -> None:
    """Search one segment for a batch of queries, going on from what other segments have left in the last three.

    Args:
        columns: The segment.
        scoring: How postings become parts of scores.
        queries: The queries.
        codes: What a document is called in the result, -1 for a deleted one; int32. Empty: its number.
        k: How many hits are wanted.
        sums: Room for the sums of a stretch, all -0.0 before and after; float64 of shape (1 << STRETCH_SHIFT,).
        keys: The best hits so far, see `top_k_kernel.key_of`; int64 of shape (queries, more than k).
        sizes: How many keys each query has, int64 of shape (queries,).
        worsts: The k-th best key so far, the least int64 while there are fewer; int64 of shape (queries,).
    """
    terms = 0
    for query in range(len(sizes)):
        terms = max(terms, int(queries.offsets[query + 1] - queries.offsets[query]))
    scratch = (
        np.empty((terms, _TABLED, 256), dtype=np.float32),
        np.empty((terms, 256), dtype=np.float64),
        np.empty((terms, 4), dtype=np.int64),
        np.empty(terms, dtype=np.int64),
        sums,
        np.zeros(BLOCKS, dtype=np.float64),
    )
    for query in range(len(sizes)):
        sizes[query], worsts[query] = _search_query(
            columns, scoring, queries, query, codes, k, scratch, keys[query], sizes[query], worsts[query]
        )
