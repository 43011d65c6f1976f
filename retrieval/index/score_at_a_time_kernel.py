"""Exact top-k search over impacts: the largest contributions are added up first, and few documents are scored.

Anh and Moffat, Pruned Query Evaluation Using Pre-Computed Impacts (SIGIR 2006), for postings in order of impact; Lin
and Trotman, Anytime Ranking for Impact-Ordered Indexes (ICTIR 2015), for adding whole numbers; the bound on what is
left is that of Fagin's threshold algorithm. A block of documents at a time, so that its sums stay in the cache:

1. Runs of postings whose contribution is above a limit are added to the sums of their documents. Sums are whole numbers
   in small units, contributions are rounded up, so a sum is an upper bound of what was added.
2. What was not added can lift a document by no more than the sum of the terms' next contributions. Documents whose sum
   and this rest stay below the k-th best score are left out.
3. The others are scored by their own terms: a float64 sum of float32 parts, rounded to float32. Its order is that of
   the document's terms, whatever the query, the segment or the pruning. (Where the largest part is less than 2 ** 24
   times the smallest, as with weights of models, such a sum is exact in any order.)

The limit is the one for which the rest is a fixed share of the k-th best score. Before there are k hits, the documents
of the largest sums are scored. Nothing is left out that could tie with the last hit, so results are those of scoring
everything, unless the rest is multiplied by less than 1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankloom.retrieval.index.columns import LARGE
from rankloom.retrieval.index.compiled import compiled, nested, reassociated
from rankloom.retrieval.index.impact_columns import BLOCK_SHIFT, LEVELS
from rankloom.retrieval.index.top_k_kernel import NO_KEY, keep_best, offer, score_of

_SHARE = 0.2  # of the k-th best score that is left unadded: less costs additions, more costs documents to be scored
_HALVINGS = 10  # in the search for the limit
_FIRST = 4096  # postings added before the first documents are scored
_LANES = np.uint64(64)  # sums compared at once
_FETCHED = 32  # documents whose memory is asked for at once
_LARGEST_SUM = 0xFFFF
_ROUNDING = 1e-6  # what float32 may lose of a score


class Queries(NamedTuple):
    """A batch of queries, terms by their numbers in the segment.

    Args:
        offsets: Where the terms of each query start, int64 of shape (queries + 1,).
        terms: Numbers, -1 for a term that the segment has not; int64.
        weights: float32, of the same shape.
    """

    offsets: NDArray[np.int64]
    terms: NDArray[np.int64]
    weights: NDArray[np.float32]


class Scratch(NamedTuple):
    """Memory for one thread.

    Args:
        sums: Of the documents of a block, 0 between blocks; unsigned, of shape (2 ** BLOCK_SHIFT,).
        found: Room for documents of a block, int32 of the same shape.
        scored: Which of them have been scored, 0 between blocks; uint8 of the same shape.
        weights: Of the query by term, 0 between queries; float32 of shape (terms,).
    """

    sums: NDArray[Any]
    found: NDArray[np.int32]
    scored: NDArray[np.uint8]
    weights: NDArray[np.float32]


class _Rows(NamedTuple):
    """The terms of one query that the segment has, one a row.

    Args:
        terms: Numbers.
        weights: float32.
        groups: The next group of each.
        runs: The next run in the block.
        ends: One past the last run in the block.
        postings: Where the next run's postings start.
        bounds: The next run's contribution, 0 where there is none or it is negative.
        unit: How many units of a sum a score of 1 is, in place 0; a contribution is rounded up to the next unit.
    """

    terms: Any
    weights: Any
    groups: Any
    runs: Any
    ends: Any
    postings: Any
    bounds: Any
    unit: Any


@nested
def _begin(columns: Any, queries: Any, query: Any, scratch: Any) -> Any:
    """The rows of a query; notes them in the scratch memory."""
    first, last = queries.offsets[query], queries.offsets[query + 1]
    terms, weights = np.empty(last - first, dtype=np.int64), np.empty(last - first, dtype=np.float32)
    count, total = 0, 0.0
    for place in range(first, last):
        term = queries.terms[place]
        if term >= 0:
            terms[count], weights[count] = term, queries.weights[place]
            scratch.weights[term] = weights[count]
            count += 1
            highest = 0
            for group in range(columns.term_groups[term], columns.term_groups[term + 1]):
                highest = max(highest, int(columns.run_levels[columns.group_runs[group]]))
            total += max(0.0, np.float64(queries.weights[place]) * LEVELS[highest])
    terms, weights = terms[:count], weights[:count]
    room = np.float64((np.int64(1) << (8 * scratch.sums.itemsize)) - 2 - count)
    unit = np.array([room / total if total > 0.0 else 0.0])
    nothing = np.zeros(count, dtype=np.int64)
    return _Rows(
        terms, weights, columns.term_groups[terms], nothing, nothing.copy(), nothing.copy(), np.zeros(count), unit
    )


@nested
def _enter(columns: Any, rows: Any, block: Any) -> Any:
    """Find the runs of a block, blocks ascending; returns whether there are any."""
    found = False
    for row in range(len(rows.terms)):
        group = rows.groups[row]
        rows.runs[row] = rows.ends[row] = 0
        rows.bounds[row] = 0.0
        if group < columns.term_groups[rows.terms[row] + 1] and columns.group_blocks[group] == block:
            rows.runs[row], rows.ends[row] = columns.group_runs[group], columns.group_runs[group + 1]
            rows.postings[row] = columns.group_postings[group]
            rows.groups[row] = group + 1
            level = columns.run_levels[rows.runs[row]]
            rows.bounds[row] = max(0.0, np.float64(rows.weights[row]) * LEVELS[level])
            found = True
    return found


@nested
def _add(sums: Any, postings: Any, start: Any, end: Any, units: Any) -> None:
    """Add a contribution to the sums of some documents."""
    for place in range(np.uint64(start), np.uint64(end)):  # unsigned, for else it is checked for signs
        sums[postings[place]] += units


@nested
def _add_above(columns: Any, rows: Any, sums: Any, limit: Any) -> Any:
    """Add all runs whose contribution is above a limit; returns how many postings they have."""
    levels, counts, postings = columns.run_levels, columns.run_counts, columns.postings
    bounds, unit, added = rows.bounds, rows.unit[0], 0
    for row in range(len(bounds)):
        if bounds[row] <= limit:
            continue
        run, end, start = rows.runs[row], rows.ends[row], rows.postings[row]
        weight, bound = np.float64(rows.weights[row]), bounds[row]
        while run < end and bound > limit:
            stop = start + np.int64(counts[run]) + 1
            _add(sums, postings, start, stop, sums.dtype.type(np.int64(bound * unit) + 1))
            added += stop - start
            start = stop
            run += 1
            bound = max(0.0, weight * LEVELS[levels[run]]) if run < end else 0.0
        rows.runs[row], rows.postings[row], bounds[row] = run, start, bound
    return added


@nested
def _rest(bounds: Any, most: Any) -> Any:
    """What the runs that were not added can add to a score, no term more than `most`."""
    rest = 0.0
    for bound in bounds:
        rest += min(most, bound)
    return rest


@nested
def _limit(bounds: Any, allowed: Any) -> Any:
    """The limit up to which contributions can be left out, if together they may be as much as allowed."""
    if _rest(bounds, np.inf) <= allowed:
        return np.inf
    low, high = 0.0, allowed
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _rest(bounds, middle) <= allowed:
            low = middle
        else:
            high = middle
    return low


@nested
def _highest(sums: Any) -> Any:
    """The largest sum."""
    highest = sums.dtype.type(0)
    for start in range(np.uint64(0), np.uint64(len(sums)), _LANES):
        lanes, more = sums[start : start + _LANES], np.uint8(0)
        for lane in range(64):  # a constant, and no branch, so that it is one comparison of many numbers
            more |= np.uint8(lanes[lane] > highest)
        if more:
            for lane in range(64):
                highest = max(highest, lanes[lane])
    return highest


@nested
def _count_reaching(sums: Any, low: Any) -> Any:
    """How many documents have a sum of at least so much."""
    count, least = np.int64(0), sums.dtype.type(low)
    for start in range(np.uint64(0), np.uint64(len(sums)), _LANES):
        lanes, here = sums[start : start + _LANES], np.uint8(0)
        for lane in range(64):  # as above
            here += np.uint8(lanes[lane] >= least)
        count += np.int64(here)
    return count


@nested
def _reaching(sums: Any, low: Any, found: Any) -> Any:
    """The documents whose sum is at least so much, and how many they are."""
    count, least = 0, sums.dtype.type(low)
    for start in range(np.uint64(0), np.uint64(len(sums)), _LANES):
        lanes, any_here = sums[start : start + _LANES], np.uint8(0)
        for lane in range(64):  # as above
            any_here |= np.uint8(lanes[lane] >= least)
        if any_here:
            for lane in range(64):
                if lanes[lane] >= least:
                    found[count] = np.int64(start) + lane
                    count += 1
    return count


@reassociated
def _small_score(terms: Any, values: Any, start: Any, end: Any, weights: Any) -> Any:
    """The score of a document of no large values."""
    score = 0.0
    for place in range(np.uint64(start), np.uint64(end)):
        score += np.float64(weights[terms[place]] * np.float32(values[place]))
    return score


@nested
def _large_score(terms: Any, values: Any, start: Any, end: Any, weights: Any, positions: Any, large_values: Any) -> Any:
    """The score of a document of any values."""
    score = 0.0
    for place in range(start, end):
        value = np.int32(values[place])
        if value == LARGE:
            value = large_values[np.searchsorted(positions, place)]
        score += np.float64(weights[terms[place]] * np.float32(value))
    return score


@nested
def _has_large(values: Any, start: Any, end: Any) -> Any:
    """Whether a value of a document is 255 or more."""
    large = False
    for place in range(start, end):
        large |= values[place] == LARGE
    return large


@compiled
def score_documents(columns: Any, weights: Any, documents: Any, scores: Any) -> None:
    """The scores of some documents, from the query's weights by term; as a search gives them, before rounding."""
    terms, values, large = columns.document_terms, columns.document_values, columns.large_positions
    for number in range(len(documents)):
        start, end = columns.document_starts[documents[number]], columns.document_starts[documents[number] + 1]
        if len(large) and _has_large(values, start, end):
            scores[number] = _large_score(terms, values, start, end, weights, large, columns.large_values)
        else:
            scores[number] = _small_score(terms, values, start, end, weights)


@nested
def _fetch(starts: Any, terms: Any, values: Any, found: Any, first: Any, last: Any, base: Any) -> Any:
    """Touch the memory of some documents: it is slow to answer, but answers many questions at once."""
    touched = 0
    for number in range(first, last):
        document = base + found[number]
        start, end = starts[document], starts[document + 1]
        for place in range(start, end, 32):
            touched += terms[place]
        for place in range(start, end, 64):
            touched += values[place]
    return touched


@nested
def _least_sum(threshold: Any, rest: Any, unit: Any) -> Any:
    """The least sum of a document that may reach a score."""
    if threshold == -np.inf:
        return 1
    least = (threshold - abs(threshold) * _ROUNDING - rest * (1.0 + _ROUNDING)) * unit
    return min(max(1, np.int64(np.floor(max(0.0, least)))), _LARGEST_SUM)


@nested
def _score(
    columns: Any, rows: Any, codes: Any, block: Any, count: Any, rest: Any, k: Any, scratch: Any, keys: Any, best: Any
) -> None:
    """Score the documents found whose sum and the rest reach the k-th best score; `best` is changed."""
    # taken out of their tuples once: numba counts references each time, and this loop is hot
    starts, terms, values = columns.document_starts, columns.document_terms, columns.document_values
    large, large_values = columns.large_positions, columns.large_values
    sums, found, scored, weights = scratch.sums, scratch.found, scratch.scored, scratch.weights
    unit, size, worst = rows.unit[0], best[0], best[1]
    threshold = np.float64(score_of(worst)) if worst > NO_KEY else -np.inf
    least = _least_sum(threshold, rest, unit)
    for number in range(count):
        if number % _FETCHED == 0:
            last = min(count, number + _FETCHED)
            best[2] += _fetch(starts, terms, values, found, number, last, block << BLOCK_SHIFT)  # so that it is done
        place = np.int64(found[number])
        document = (block << BLOCK_SHIFT) + place
        if scored[place] or sums[place] < least:
            continue
        start, end = starts[document], starts[document + 1]
        if len(large) and _has_large(values, start, end):
            score = _large_score(terms, values, start, end, weights, large, large_values)
        else:
            score = _small_score(terms, values, start, end, weights)
        if np.float32(score) < threshold:
            continue
        code, before = codes[document] if len(codes) else np.int32(document), worst
        if code >= 0:
            size, worst = offer(score, code, keys, size, k, worst)
        if worst != before:
            threshold = np.float64(score_of(worst))
            least = _least_sum(threshold, rest, unit)
    if size >= k:  # also where few are kept beyond k, so that blocks to come are pruned
        keep_best(keys, size, k)
        size, worst = k, keys[k - 1]
    best[0], best[1] = size, worst


@nested
def _score_first(
    columns: Any, rows: Any, codes: Any, block: Any, k: Any, scratch: Any, sums: Any, keys: Any, best: Any
) -> None:
    """Before there are k hits: score the documents of the largest contributions."""
    limit, added = 0.0, 0
    for bound in rows.bounds:
        limit = max(limit, bound)
    if limit == 0.0:
        return
    enough, smallest = max(_FIRST, 16 * k), limit * 1e-3
    while added < enough and limit > smallest:
        limit *= 0.7
        added += _add_above(columns, rows, sums, limit)
    low, count = np.int64(_highest(sums)), 0
    if low == 0:
        return  # no document holds anything; all places would reach 0, those beyond the last document, too
    while count < 2 * k and low > 1:
        low = max(np.int64(1), low * 7 // 8)
        count = _count_reaching(sums, low)
    count = _reaching(sums, low, scratch.found)
    _score(columns, rows, codes, block, count, np.inf, k, scratch, keys, best)
    for number in range(count):
        scratch.scored[scratch.found[number]] = 1


@nested
def _search_block(
    columns: Any, rows: Any, codes: Any, block: Any, size: Any, reach: Any, k: Any, scratch: Any, keys: Any, best: Any
) -> None:
    """Search one block of so many documents; `best`: how many keys there are, the k-th best."""
    share = _SHARE / (1.0 + k / 100.0)
    sums = scratch.sums[: min(len(scratch.sums), (size + 63) & -64)]
    first = best[1] == NO_KEY
    if first:
        _score_first(columns, rows, codes, block, k, scratch, sums, keys, best)
    threshold = np.float64(score_of(best[1])) if best[1] > NO_KEY else -np.inf
    limit = _limit(rows.bounds, share * threshold / reach) if threshold > 0.0 else -np.inf
    _add_above(columns, rows, sums, limit)
    rest = _rest(rows.bounds, np.inf) * reach
    count = _reaching(sums, _least_sum(threshold, rest, rows.unit[0]), scratch.found)
    _score(columns, rows, codes, block, count, rest, k, scratch, keys, best)
    for place in range(len(sums)):  # a loop, for `sums[:] =` is not made into one of whole vectors
        sums[place] = 0
    for place in range(len(sums) if first else 0):
        scratch.scored[place] = 0


@compiled
def search(
    columns: Any, queries: Any, codes: Any, reach: Any, k: Any, keys: Any, sizes: Any, worsts: Any, scratch: Any
) -> None:
    """Search one segment for a batch of queries, going on from what others have left in `keys` and the next two.

    Args:
        columns: The segment.
        queries: The queries.
        codes: What a document is called in the result, -1 for a deleted one; int32. Empty: its number.
        reach: What bounds are multiplied by; 1 gives exact results, less leaves out more.
        k: How many hits are wanted.
        keys: The best hits so far, see `top_k_kernel.key_of`; int64 of shape (queries, more than k).
        sizes: How many keys each query has, int64 of shape (queries,).
        worsts: The k-th best key so far, the least int64 while there are fewer; int64 of shape (queries,).
        scratch: Memory, as it was before afterwards.
    """
    documents = len(columns.document_starts) - 1
    best = np.zeros(3, dtype=np.int64)
    for query in range(len(sizes)):
        rows = _begin(columns, queries, query, scratch)
        best[0], best[1] = sizes[query], worsts[query]
        for block in range((documents + (1 << BLOCK_SHIFT) - 1) >> BLOCK_SHIFT):
            if _enter(columns, rows, block):
                size = min(1 << BLOCK_SHIFT, documents - (block << BLOCK_SHIFT))
                _search_block(columns, rows, codes, block, size, reach, k, scratch, keys[query], best)
        sizes[query], worsts[query] = best[0], best[1]
        for term in rows.terms:
            scratch.weights[term] = 0.0
