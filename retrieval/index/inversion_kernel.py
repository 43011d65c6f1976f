"""From documents to postings and back: counting, sorting by term, packing into runs."""

from __future__ import annotations

from typing import Any

import numpy as np

from rankloom.retrieval.index.columns import BLOCK_SHIFT, BLOCKS, DENSE, LARGE, STRETCH_SHIFT
from rankloom.retrieval.index.compiled import compiled, nested
from rankloom.retrieval.index.runs_kernel import value_at


@compiled
def count_terms(
    unit_ends: Any,
    units: Any,
    unit_terms: Any,
    term_ends: Any,
    stamps: Any,
    places: Any,
    first: Any,
    terms: Any,
    values: Any,
    distinct: Any,
    lengths: Any,
) -> Any:
    """Count the terms of a block of documents.

    Args:
        unit_ends: One past the last unit of each document, int64 of shape (documents,).
        units: The units of all documents, int32.
        unit_terms: The terms of all units, one unit after another; int32.
        term_ends: One past the last term of each unit, int64 of shape (known units,).
        stamps: For each term, the last document that held it; int64, not yet `first` or more.
        places: For each term, where its count is; int64.
        first: The number of the first document.
        terms: Receives the terms, int32.
        values: Receives how often each occurs, int32.
        distinct: Receives how many different terms each document has, int64 of shape (documents,).
        lengths: Receives how many terms each has, int64 of shape (documents,).

    Returns:
        How many terms and values there are.
    """
    size, begin = 0, 0
    for document in range(len(unit_ends)):
        stamp, before, length = first + document, size, 0
        for place in range(begin, unit_ends[document]):
            unit = units[place]
            start = term_ends[unit - 1] if unit else 0
            for number in range(start, term_ends[unit]):
                term = unit_terms[number]
                length += 1
                if stamps[term] == stamp:
                    values[places[term]] += 1
                else:
                    stamps[term] = stamp
                    places[term] = size
                    terms[size] = term
                    values[size] = 1
                    size += 1
        begin = unit_ends[document]
        distinct[document] = size - before
        lengths[document] = length
    return size


@compiled
def sort_by_term(
    distinct: Any, terms: Any, values: Any, numbers: Any, starts: Any, documents: Any, sorted_values: Any
) -> None:
    """Bring postings from the order of documents into the order of terms, then documents.

    Args:
        distinct: Terms of each document, int64 of shape (documents,).
        terms: Terms of all documents, int32 of shape (postings,).
        values: int32 of the same shape.
        numbers: The place of each term in the order wanted, int32.
        starts: Receives where each term starts in that order, int64 of shape (terms + 1,).
        documents: Receives the documents, int32 of shape (postings,).
        sorted_values: Receives the values.
    """
    starts[:] = 0
    for place in range(len(terms)):
        starts[numbers[terms[place]] + 1] += 1
    for number in range(len(starts) - 1):
        starts[number + 1] += starts[number]
    cursor, place = starts[:-1].copy(), 0
    for document in range(len(distinct)):
        for _ in range(distinct[document]):
            number = numbers[terms[place]]
            target = cursor[number]
            documents[target] = document
            sorted_values[target] = values[place]
            cursor[number] = target + 1
            place += 1


@nested
def _bound_run(documents: Any, values: Any, norms: Any, inverse: Any, reaches: Any, bounds: Any) -> None:
    """Write the bounds of a run's blocks; `reaches` is room for as many float64 numbers."""
    for block in range(BLOCKS):
        reaches[block] = 0.0
    for place in range(len(documents)):
        document = documents[place]
        reach = np.float64(values[place]) * np.float64(inverse[norms[document]])
        block = (document >> BLOCK_SHIFT) & (BLOCKS - 1)
        reaches[block] = max(reaches[block], reach)
    for block in range(BLOCKS):
        reach = reaches[block]
        bounds[block] = np.uint8(min(255.0, np.ceil(255.0 * reach / (1.0 + reach))))


@compiled
def pack(starts: Any, documents: Any, values: Any, norms: Any, inverse: Any, position: Any, packed: Any) -> Any:
    """Write the postings of some terms as runs; see `Columns` for what they are.

    Args:
        starts: Where the postings of each term start, int64 of shape (terms + 1,).
        documents: Ascending within a term, int32 of shape (postings,).
        values: int32 of shape (postings,).
        norms: Lengths of all documents as bytes.
        inverse: What the value is multiplied by before it saturates, by length byte; float32 of shape (256,).
        position: Where the first value will stand in the segment.
        packed: `Columns` that receive everything but places of terms and norms.

    Returns:
        How many runs, values, bounds and large values there are.
    """
    runs, size, bounded, large = 0, 0, 0, 0
    reaches = np.empty(BLOCKS, dtype=np.float64)
    for term in range(len(starts) - 1):
        place, end = starts[term], starts[term + 1]
        while place < end:
            stretch, stop, ones = documents[place] >> STRETCH_SHIFT, place, 0
            while stop < end and documents[stop] >> STRETCH_SHIFT == stretch:
                ones += values[stop] == 1
                stop += 1
            first, other = place, place + ones
            for number in range(place, stop):
                value = values[number]
                if value == 1:
                    packed.places[first] = documents[number] & ((1 << STRETCH_SHIFT) - 1)
                    first += 1
                    continue
                packed.places[other] = documents[number] & ((1 << STRETCH_SHIFT) - 1)
                other += 1
                packed.values[size] = min(value, LARGE)
                if value >= LARGE:
                    packed.large_positions[large] = position + size
                    packed.large_values[large] = value
                    large += 1
                size += 1
            if stop - place >= DENSE:
                row = packed.bounds[bounded : bounded + BLOCKS]
                _bound_run(documents[place:stop], values[place:stop], norms, inverse, reaches, row)
                bounded += BLOCKS
            packed.run_stretches[runs] = stretch
            packed.run_ones[runs] = ones
            packed.run_others[runs] = stop - place - ones
            runs += 1
            place = stop
        packed.term_runs[term + 1], packed.term_values[term + 1], packed.term_bounds[term + 1] = runs, size, bounded
    return runs, size, bounded, large


@compiled
def unpack(columns: Any, first_term: Any, last_term: Any, terms: Any, documents: Any, values: Any) -> None:
    """The inverse of `pack`: all postings of the terms from `first_term` to before `last_term`, documents ascending."""
    size = 0
    for term in range(first_term, last_term):
        start, position = columns.term_places[term], columns.term_values[term]
        for run in range(columns.term_runs[term], columns.term_runs[term + 1]):
            first = np.int32(columns.run_stretches[run]) << STRETCH_SHIFT
            one, other = start, start + np.int64(columns.run_ones[run])
            last, end = other, other + np.int64(columns.run_others[run])
            while one < last or other < end:
                terms[size] = term - first_term
                if other == end or (one < last and columns.places[one] < columns.places[other]):
                    documents[size] = first + columns.places[one]
                    values[size] = 1
                    one += 1
                else:
                    documents[size] = first + columns.places[other]
                    values[size] = value_at(columns, position)
                    other += 1
                    position += 1
                size += 1
            start = end


@compiled
def deleted_counts(columns: Any, deleted: Any, counts: Any, sums: Any) -> None:
    """For each term, in how many deleted documents it occurs; for each of these documents, the sum of its values."""
    for term in range(len(columns.term_runs) - 1):
        place, position = columns.term_places[term], columns.term_values[term]
        for run in range(columns.term_runs[term], columns.term_runs[term + 1]):
            first = np.int64(columns.run_stretches[run]) << STRETCH_SHIFT
            for _ in range(columns.run_ones[run]):
                document = first + np.int64(columns.places[place])
                counts[term] += deleted[document]
                sums[document] += deleted[document]
                place += 1
            for _ in range(columns.run_others[run]):
                document = first + np.int64(columns.places[place])
                if deleted[document]:
                    counts[term] += 1
                    sums[document] += value_at(columns, position)
                place += 1
                position += 1
