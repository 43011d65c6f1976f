"""Exact top-k search over blocks of documents, best blocks first.

Block-Max Pruning (Mallia, Suel and Tonellotto, Faster Learned Sparse Retrieval with Block-Max Pruning, SIGIR 2024):
the bounds of a query's terms are added up for every block of documents, blocks are visited in descending order of
their sums, and the search ends when no block left can hold a document that would enter the top k. Within a block the
terms come in the query's order, heaviest first; once the rest can lift no new document into the top k, only
the documents seen so far are looked up in the longer lists (MaxScore).

A score is a float64 sum of float32 parts, rounded to float32, added in the query's order whatever is pruned. Nothing is
pruned that could tie with the last hit, so results are those of scoring everything.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankloom.retrieval.index.columns import LARGE
from rankloom.retrieval.index.compiled import compiled, inlined

_BUCKETS = 64  # steps of a block's bound that blocks are sorted by
_LANES = 16  # documents compared with the threshold at once
_TABLED = 16  # values below are looked up in tables
_FEW = 32  # documents of a block that are listed rather than sought among all
_LOOK_UP = 8  # postings that can be added up in the time that looking up one document takes
_LEAST = 1e-30  # a bound that is not 0, so that a block without any term can be told apart
_NO_KEY = np.int64(-(2**63))
_UNTOUCHED = np.int64(-(2**63))  # the bits of -0.0, which no sum that parts were added to can have


class Scoring(NamedTuple):
    """How a posting becomes a part of the score.

    Saturated: `weight - weight / (1 + value * inverse[norm] + shift) + bonus`. Linear: `weight * value`.

    Args:
        linear: Which of the two.
        inverse: By length byte, float32 of shape (256,).
        shift: See the formula.
        bounds: For each bound byte, the largest `value * inverse[norm] + shift` (linear: value) behind it, float64 of
            shape (256,).
    """

    linear: bool
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
def _key(score: Any, code: Any) -> Any:
    """One integer that orders by score, then by descending document code."""
    bits = np.int64(np.float32(score).view(np.int32))
    if bits < 0:
        bits = -(bits & np.int64(0x7FFFFFFF))
    return (bits << np.int64(32)) | (np.int64(0xFFFFFFFF) - np.int64(code))


@inlined
def _score_of(key: Any) -> Any:
    """The score in a key."""
    bits = key >> np.int64(32)
    if bits < 0:
        return -np.int32(-bits).view(np.float32)
    return np.int32(bits).view(np.float32)


@compiled
def keep_best(keys: Any, size: Any, k: Any) -> None:
    """Move the k largest of the first `size` keys to the front, the smallest of them to place k - 1 (quickselect)."""
    low, high, target = 0, size - 1, k - 1
    while low < high:
        a, b, c = keys[low], keys[(low + high) >> 1], keys[high]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = low, high
        while i <= j:
            while keys[i] > pivot:
                i += 1
            while keys[j] < pivot:
                j -= 1
            if i <= j:
                keys[i], keys[j] = keys[j], keys[i]
                i += 1
                j -= 1
        if target <= j:
            high = j
        elif target >= i:
            low = i
        else:
            return


@compiled
def _large_value(positions: Any, values: Any, position: Any) -> Any:
    """The value that the byte 255 at a position stands for."""
    low, high = 0, len(positions)
    while low < high:
        middle = (low + high) >> 1
        if positions[middle] < position:
            low = middle + 1
        else:
            high = middle
    return values[low] if low < len(positions) and positions[low] == position else np.int32(LARGE)


@inlined
def _part(linear: Any, inverse: Any, raised: Any, value: Any, norm: Any, weight: Any, bonus: Any) -> Any:
    """What a posting adds to the score."""
    if linear:
        return weight * np.float32(value) + np.float32(0)  # never -0.0
    saturated = np.float32(1) + (np.float32(value) * inverse[norm] + raised)
    return (weight - weight / saturated) + bonus


@inlined
def _find(postings: Any, start: Any, count: Any, document: Any) -> Any:
    """The position of a document in a group, or -1; counting those before it needs no branch."""
    before = np.int32(0)
    for place in range(np.uint64(start), np.uint64(start + count)):  # unsigned, for else it is checked for signs
        before += np.int32(postings[place] < document)
    position = start + np.int64(before)
    return position if before < count and postings[position] == document else -1


@compiled
def _bound_blocks(
    columns: Any,
    scoring: Any,
    queries: Any,
    query: Any,
    by_byte: Any,
    parts: Any,
    bounds: Any,
    starts: Any,
    groups: Any,
) -> None:
    """Add up the bounds of a query's terms for every block, and note where each term's group of the block is."""
    keys, counts, reaches, begin = (
        columns.group_keys,
        columns.group_counts,
        columns.group_bounds,
        queries.offsets[query],
    )
    linear, inverse, raised, limits = scoring.linear, scoring.inverse, scoring.shift, scoring.bounds
    for block in range(len(bounds)):
        bounds[block] = 0
    for place in range(begin, queries.offsets[query + 1]):
        term, row = queries.terms[place], place - begin
        for block in range(len(bounds)):
            groups[row, block] = -1
        if term < 0:
            continue
        weight, bonus = queries.weights[place], queries.bonuses[place]
        for value in range(1, _TABLED):
            for norm in range(1 if linear else 256):
                parts[row, value, norm] = _part(linear, inverse, raised, value, norm, weight, bonus)
        for byte in range(256):
            part = weight * limits[byte] if linear else weight - weight / (1.0 + limits[byte]) + bonus
            by_byte[row, byte] = max(_LEAST, part + 3e-7 * abs(weight))  # what float32 parts may lose
        start = columns.term_bytes[term]
        for group in range(columns.term_groups[term], columns.term_groups[term + 1]):
            key = np.int64(keys[group])
            home = key >> 1
            bounds[home] += by_byte[row, reaches[group]]
            starts[row, home] = start
            groups[row, home] = group
            start += (np.int64(counts[group]) + 1) << (key & 1)


@compiled
def _sorted_blocks(bounds: Any, order: Any) -> Any:
    """Put the blocks that hold any term into roughly descending order of their bounds; returns how many there are."""
    highest, places = _LEAST, np.empty(_BUCKETS + 1, dtype=np.int64)
    for block in range(len(bounds)):
        highest = max(highest, np.float64(bounds[block]))
    scale = (_BUCKETS - 1) / highest
    for bucket in range(_BUCKETS + 1):
        places[bucket] = 0
    for block in range(len(bounds)):
        if bounds[block] > 0:
            places[_BUCKETS - np.int64(bounds[block] * scale)] += 1
    for bucket in range(_BUCKETS):
        places[bucket + 1] += places[bucket]
    count = places[_BUCKETS]
    for block in range(len(bounds)):
        if bounds[block] > 0:
            own = _BUCKETS - 1 - np.int64(bounds[block] * scale)
            order[places[own]] = block
            places[own] += 1
    return count


@compiled
def _offer(score: Any, code: Any, keys: Any, size: Any, k: Any, worst: Any) -> Any:
    """Take in a hit that may be among the best k; returns how many keys there are, and the k-th so far."""
    key = _key(score, code)
    if key <= worst:
        return size, worst
    keys[size] = key
    size += 1
    if size == len(keys):
        keep_best(keys, size, k)
        return k, keys[k - 1]
    return size, worst


@compiled
def _reaching(sums: Any, threshold: Any, seen: Any) -> Any:
    """The documents of a block whose sum may round to a threshold or more, and how many they are."""
    count, low = 0, threshold - abs(threshold) * 1e-7
    for start in range(0, len(sums), _LANES):
        here = 0
        for lane in range(_LANES):  # without a branch, so that it is one comparison of many numbers
            here += sums[start + lane] >= low
        if here:
            for document in range(start, start + _LANES):
                seen[count] = document
                count += sums[document] >= low
    return count


@compiled
def _search_query(
    columns: Any,
    scoring: Any,
    queries: Any,
    query: Any,
    codes: Any,
    shift: Any,
    reach: Any,
    k: Any,
    scratch: Any,
    keys: Any,
    size: Any,
    worst: Any,
) -> Any:
    """One query over one segment; returns the number of keys and the k-th so far."""
    # taken out of their tuples once: numba counts references each time, and these loops are hot
    postings, norms, large, values = columns.postings, columns.norms, columns.large_positions, columns.large_values
    group_keys, group_counts, group_bounds = columns.group_keys, columns.group_counts, columns.group_bounds
    linear, inverse, raised = scoring.linear, scoring.inverse, scoring.shift
    weights, bonuses = queries.weights, queries.bonuses
    begin = queries.offsets[query]
    terms = queries.offsets[query + 1] - begin
    by_byte, parts, bounds, starts, groups, order = scratch
    _bound_blocks(columns, scoring, queries, query, by_byte, parts, bounds, starts, groups)
    found = _sorted_blocks(bounds, order)
    # a bound is a float32 sum itself, and so are scores; what may prune is stretched by more than both can lose
    stretch = np.float64(1 + 1e-6 + 1.2e-7 * terms) * reach
    edge = 1.0 + 1.0 / (_BUCKETS - 1)
    sums = np.empty(1 << shift, dtype=np.float64)
    bits = sums.view(np.int64)
    seen = np.empty((1 << shift) + 1, dtype=np.int64)
    rest = np.empty(terms + 1, dtype=np.float64)
    rest[terms] = 0.0
    for lane in range(len(sums)):
        sums[lane] = -0.0
    threshold = np.float64(_score_of(worst)) if worst > _NO_KEY else -np.inf
    for turn in range(found):
        block = order[turn]
        bound = np.float64(bounds[block]) * stretch
        if bound < threshold:
            if bound + np.float64(bounds[order[0]]) * stretch * (edge - 1.0) * 2.0 < threshold:
                break  # and so is every block that follows
            continue
        first = np.int64(block) << shift
        for row in range(terms - 1, -1, -1):
            group = groups[row, block]
            rest[row] = rest[row + 1] + (by_byte[row, group_bounds[group]] * stretch if group >= 0 else 0.0)
        split, few = 0, 0  # documents that only hold terms from `split` on can not enter the top k
        while split < terms and rest[split] >= threshold:
            if groups[split, block] >= 0:
                few += int(group_counts[groups[split, block]]) + 1
            split += 1
        listed = few <= _FEW and split < terms
        count = 0
        for row in range(terms):
            group = groups[row, block]
            if group < 0:
                continue
            start, held = starts[row, block], np.int64(group_counts[group]) + 1
            valued = np.int64(group_keys[group]) & 1
            weight, bonus = weights[begin + row], bonuses[begin + row]
            if listed and row < split:
                for place in range(start, start + held):
                    document = np.int64(postings[place])
                    if bits[document] == _UNTOUCHED:
                        seen[count] = document
                        count += 1
                        sums[document] = 0.0
            if listed and row >= split:  # only documents that may still enter the top k matter
                kept = 0
                for number in range(count):
                    seen[kept] = seen[number]
                    kept += sums[seen[number]] + rest[row] >= threshold
                count = kept
                if count == 0:
                    break
            if listed and row >= split and held > count * _LOOK_UP:
                for number in range(count):
                    document = seen[number]
                    place = _find(postings, start, held, document)
                    if place >= 0:
                        value = np.int64(postings[place + held]) if valued else np.int64(1)
                        if value == LARGE:
                            value = np.int64(_large_value(large, values, place + held))
                        norm = norms[first + document]
                        sums[document] += np.float64(_part(linear, inverse, raised, value, norm, weight, bonus))
            elif linear and valued:
                for place in range(start, start + held):
                    document, value = np.int64(postings[place]), np.int64(postings[place + held])
                    if value == LARGE:
                        value = np.int64(_large_value(large, values, place + held))
                    sums[document] += np.float64(weight * np.float32(value) + np.float32(0))
            elif valued == 0:
                for place in range(start, start + held):
                    document = np.int64(postings[place])
                    sums[document] += np.float64(parts[row, 1, norms[first + document]])
            else:
                for place in range(start, start + held):
                    document, value = np.int64(postings[place]), np.int64(postings[place + held])
                    if value < _TABLED:
                        sums[document] += np.float64(parts[row, value, norms[first + document]])
                    else:
                        if value == LARGE:
                            value = np.int64(_large_value(large, values, place + held))
                        norm = norms[first + document]
                        sums[document] += np.float64(_part(linear, inverse, raised, value, norm, weight, bonus))
        if not listed:
            count = _reaching(sums, threshold, seen)
        for number in range(count):
            if np.float32(sums[seen[number]]) >= threshold and bits[seen[number]] != _UNTOUCHED:
                whole = first + seen[number]
                code = codes[whole] if len(codes) else np.int32(whole)
                if code >= 0:
                    size, worst = _offer(sums[seen[number]], code, keys, size, k, worst)
        for lane in range(len(sums)):  # a loop, for `sums[:] =` is not made into one of whole vectors
            sums[lane] = -0.0
        threshold = np.float64(_score_of(worst)) if worst > _NO_KEY else -np.inf
    return size, worst


@compiled
def search(
    columns: Any,
    scoring: Any,
    queries: Any,
    codes: Any,
    shift: Any,
    reach: Any,
    k: Any,
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
        shift: Binary logarithm of the size of a block.
        reach: What bounds are multiplied by; 1 gives exact results, less prunes more.
        k: How many hits are wanted.
        keys: The best hits so far, see `_key`; int64 of shape (queries, more than k).
        sizes: How many keys each query has, int64 of shape (queries,).
        worsts: The k-th best key so far, the least int64 while there are fewer; int64 of shape (queries,).
    """
    terms, blocks = 0, ((len(columns.norms) - 1) >> shift) + 1
    for query in range(len(sizes)):
        terms = max(terms, int(queries.offsets[query + 1] - queries.offsets[query]))
    scratch = (
        np.empty((terms, 256), dtype=np.float32),
        np.empty((terms, _TABLED, 256), dtype=np.float32),
        np.empty(blocks, dtype=np.float32),
        np.empty((terms, blocks), dtype=np.int64),
        np.empty((terms, blocks), dtype=np.int32),
        np.empty(blocks, dtype=np.int32),
    )
    for query in range(len(sizes)):
        sizes[query], worsts[query] = _search_query(
            columns, scoring, queries, query, codes, shift, reach, k, scratch, keys[query], sizes[query], worsts[query]
        )
