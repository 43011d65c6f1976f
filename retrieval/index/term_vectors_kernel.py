"""Term vectors: found by going through postings, or packed one document after another."""

from __future__ import annotations

from typing import Any

import numpy as np

from rankloom.retrieval.index.columns import STRETCH_SHIFT
from rankloom.retrieval.index.compiled import compiled, inlined
from rankloom.retrieval.index.runs_kernel import find, value_at

_LOOK_UP = 64  # postings that can be looked at in the time that seeking one document among them takes


@compiled
def scan(columns: Any, firsts: Any, wanted: Any, known: Any, places: Any, terms: Any, values: Any) -> Any:
    """The postings of some documents, in one pass over the runs of all terms.

    Args:
        columns: The segment.
        firsts: For each stretch, the place in `wanted` of the first document that is not before it; int64 of shape
            (stretches + 1,).
        wanted: The documents, ascending; int32.
        known: For each document, its place in `wanted`, or -1; int32.
        places: Receives the place in `wanted` of each posting's document, int32; terms ascend.
        terms: Receives the terms, int32.
        values: Receives the values, int32.

    Returns:
        How many postings there are; where there is less room, only the first are received.
    """
    size = 0
    for term in range(len(columns.term_runs) - 1):
        start, position = columns.term_places[term], columns.term_values[term]
        for run in range(columns.term_runs[term], columns.term_runs[term + 1]):
            stretch = np.int64(columns.run_stretches[run])
            other = start + np.int64(columns.run_ones[run])
            end = other + np.int64(columns.run_others[run])
            first = stretch << STRETCH_SHIFT
            sought = firsts[stretch + 1] - firsts[stretch]
            seek = end - start > sought * _LOOK_UP
            for turn in range(sought if seek else end - start):
                if seek:
                    number = firsts[stretch] + turn
                    found = find(columns.places, start, other, np.int64(wanted[number]) - first)
                    if found < 0:
                        found = find(columns.places, other, end, np.int64(wanted[number]) - first)
                else:
                    found = start + turn
                    number = np.int64(known[first + np.int64(columns.places[found])])
                if found < 0 or number < 0:
                    continue
                if size < len(terms):
                    value = value_at(columns, position + found - other) if found >= other else np.int32(1)
                    places[size], terms[size], values[size] = number, term, value
                size += 1
            start = end
            position += np.int64(columns.run_others[run])
    return size


@inlined
def _bytes_of(number: Any) -> Any:
    """How many bytes a number takes."""
    count = 1
    while number > 127:
        number >>= 7
        count += 1
    return count


@inlined
def _put(packed: Any, place: Any, number: Any) -> Any:
    """Write a number; returns the place after it."""
    while number > 127:
        packed[place] = (number & 127) | 128
        number >>= 7
        place += 1
    packed[place] = number
    return place + 1


@compiled
def by_document(starts: Any, documents: Any, values: Any, cursors: Any, terms: Any, moved: Any) -> None:
    """Bring postings from the order of terms into the order of documents, then terms.

    Args:
        starts: Where each term starts, int64 of shape (terms + 1,).
        documents: int32 of shape (postings,).
        values: int32 of the same shape.
        cursors: Where each document starts, int64; used up.
        terms: Receives the terms, int32 of shape (postings,).
        moved: Receives the values, int32 of the same shape.
    """
    for term in range(len(starts) - 1):
        for place in range(starts[term], starts[term + 1]):
            target = cursors[documents[place]]
            terms[target], moved[target] = term, values[place]
            cursors[documents[place]] = target + 1


@compiled
def measure(ends: Any, terms: Any, values: Any, starts: Any) -> None:
    """Where documents start once they are packed, and where the last ends; int64 of shape (documents + 1,)."""
    place, size = 0, 0
    starts[0] = 0
    for document in range(len(ends)):
        before = np.int64(0)
        while place < ends[document]:
            size += _bytes_of((np.int64(terms[place]) - before) << 1)
            before = np.int64(terms[place])
            if values[place] > 1:
                size += _bytes_of(np.int64(values[place]) - 2)
            place += 1
        starts[document + 1] = size


@compiled
def pack(ends: Any, terms: Any, values: Any, packed: Any) -> None:
    """Write documents as `PackedVectors` says; their terms ascend."""
    place, size = 0, 0
    for document in range(len(ends)):
        before = np.int64(0)
        while place < ends[document]:
            valued = np.int64(values[place] > 1)
            size = _put(packed, size, ((np.int64(terms[place]) - before) << 1) | valued)
            before = np.int64(terms[place])
            if valued:
                size = _put(packed, size, np.int64(values[place]) - 2)
            place += 1


@compiled
def unpack(starts: Any, packed: Any, documents: Any, ends: Any, terms: Any, values: Any) -> Any:
    """Read some documents; returns how many terms they have together.

    Args:
        starts: Of `PackedVectors`.
        packed: Of `PackedVectors`.
        documents: Which documents.
        ends: Receives one past the last term of each, int64 of shape (documents,).
        terms: Receives the terms, int32.
        values: Receives the values, int32.
    """
    size = 0
    for number in range(len(documents)):
        place, end, before = starts[documents[number]], starts[documents[number] + 1], np.int64(0)
        while place < end:
            code, bits = np.int64(0), 0
            while packed[place] > 127:
                code |= (np.int64(packed[place]) & 127) << bits
                bits += 7
                place += 1
            code |= np.int64(packed[place]) << bits
            place += 1
            value = np.int64(1)
            if code & 1:
                value, bits = np.int64(2), 0
                while packed[place] > 127:
                    value += (np.int64(packed[place]) & 127) << bits
                    bits += 7
                    place += 1
                value += np.int64(packed[place]) << bits
                place += 1
            before += code >> 1
            terms[size], values[size] = before, value
            size += 1
        ends[number] = size
    return size
