"""From documents to postings and back: counting, sorting by term, grouping by block."""

from __future__ import annotations

from typing import Any

import numpy as np

from rankloom.retrieval.index.columns import LARGE
from rankloom.retrieval.index.compiled import compiled, inlined


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
        distinct: Terms of each document, int32 of shape (documents,).
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


@inlined
def _group_at(
    place: Any, end: Any, documents: Any, values: Any, norms: Any, inverse: Any, linear: Any, shift: Any
) -> Any:
    """One past the last posting of the group that starts at a place, whether a value is not 1, and its bound."""
    block, stop, valued, reach = documents[place] >> shift, place, 0, 0.0
    while stop < end and documents[stop] >> shift == block:
        if values[stop] != 1:
            valued = 1
        if linear:
            reach = max(reach, min(np.float64(LARGE), np.float64(values[stop])))
        else:
            reach = max(reach, np.float64(values[stop]) * np.float64(inverse[norms[documents[stop]]]))
        stop += 1
    return stop, valued, np.uint8(reach if linear else min(255.0, np.ceil(255.0 * reach / (1.0 + reach))))


@compiled
def group(
    starts: Any, documents: Any, values: Any, norms: Any, inverse: Any, linear: Any, shift: Any, position: Any,
    term_groups: Any, term_bytes: Any, keys: Any, counts: Any, bounds: Any, postings: Any, large_positions: Any,
    large_values: Any,
) -> Any:  # fmt: skip
    """Write the groups of some terms; see `Columns` for what they are.

    Args:
        starts: Where the postings of each term start, int64 of shape (terms + 1,).
        documents: Ascending within a term, int32 of shape (postings,).
        values: int32 of shape (postings,).
        norms: Lengths of all documents as bytes.
        inverse: What the value is multiplied by before it saturates, by length byte; float32 of shape (256,).
        linear: Whether a bound is the value itself, or its saturation.
        shift: Binary logarithm of the size of a block.
        position: Where the first posting will stand in the segment.
        term_groups: Receives how many groups there are up to and with each term, int64 of shape (terms,).
        term_bytes: Receives how many bytes, likewise.
        keys: Receives a key for each group, as the other arrays receive what their names say.
        counts: uint8.
        bounds: uint8.
        postings: uint8.
        large_positions: int64.
        large_values: int32.

    Returns:
        How many groups, bytes and large values there are.
    """
    group_count, size, large = 0, 0, 0
    for term in range(len(starts) - 1):
        place, end = starts[term], starts[term + 1]
        while place < end:
            stop, valued, bound = _group_at(place, end, documents, values, norms, inverse, linear, shift)
            block, count = documents[place] >> shift, stop - place
            keys[group_count] = 2 * block + valued
            counts[group_count] = count - 1
            bounds[group_count] = bound
            group_count += 1
            for number in range(count):
                postings[size + number] = documents[place + number] - (block << shift)
                if valued:
                    value = values[place + number]
                    postings[size + count + number] = min(value, LARGE)
                    if value >= LARGE:
                        large_positions[large] = position + size + count + number
                        large_values[large] = value
                        large += 1
            size += count << valued
            place = stop
        term_groups[term] = group_count
        term_bytes[term] = size
    return group_count, size, large


@compiled
def ungroup(columns: Any, shift: Any, first_term: Any, last_term: Any, terms: Any, documents: Any, values: Any) -> Any:
    """The inverse of `group`: all postings of the terms from `first_term` to before `last_term`; returns how many."""
    size, large = 0, np.searchsorted(columns.large_positions, columns.term_bytes[first_term])
    for term in range(first_term, last_term):
        start = columns.term_bytes[term]
        for number in range(columns.term_groups[term], columns.term_groups[term + 1]):
            key, count = np.int64(columns.group_keys[number]), np.int64(columns.group_counts[number]) + 1
            for place in range(start, start + count):
                value = np.int32(columns.postings[place + count]) if key & 1 else np.int32(1)
                if value == LARGE:
                    value = columns.large_values[large]
                    large += 1
                terms[size] = term - first_term
                documents[size] = ((key >> 1) << shift) + columns.postings[place]
                values[size] = value
                size += 1
            start += count << (key & 1)
    return size


@compiled
def deleted_counts(columns: Any, shift: Any, deleted: Any, counts: Any, sums: Any) -> None:
    """For each term, in how many deleted documents it occurs; for each of these documents, the sum of its values."""
    large = 0
    for term in range(len(columns.term_documents)):
        start = columns.term_bytes[term]
        for number in range(columns.term_groups[term], columns.term_groups[term + 1]):
            key, count = np.int64(columns.group_keys[number]), np.int64(columns.group_counts[number]) + 1
            for place in range(start, start + count):
                document = ((key >> 1) << shift) + columns.postings[place]
                value = np.int64(columns.postings[place + count]) if key & 1 else np.int64(1)
                if value == LARGE:
                    value = np.int64(columns.large_values[large])
                    large += 1
                if deleted[document]:
                    counts[term] += 1
                    sums[document] += value
            start += count << (key & 1)
