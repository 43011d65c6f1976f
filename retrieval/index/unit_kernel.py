"""Cutting text into units: stretches that can be analysed once, however often they occur.

English text is cut where no token can go across (white space and most punctuation); each stretch is looked up in a
hash table and becomes a number. What terms a unit stands for is the analyzer's business, and asked once for each unit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankloom.retrieval.index.compiled import compiled, inlined, nested

#: What a byte is, in `KINDS`.
BREAK, WORD, INNER, FOREIGN, SPACE = 0, 1, 2, 3, 4
LONGEST = 255  # bytes; a longer stretch without white space is left whole, for the analyzer to cut


def _kinds() -> NDArray[np.uint8]:
    """The kind of each byte: word characters, those that may stand inside a word, white space, parts of others."""
    kinds = np.full(256, BREAK, dtype=np.uint8)
    kinds[128:] = FOREIGN
    kinds[[ord(letter) for letter in "_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"]] = WORD
    kinds[[ord(mark) for mark in ":.',;"]] = INNER
    kinds[[ord(space) for space in " \t\n\v\f\r\x1c\x1d\x1e\x1f"]] = SPACE
    return kinds


KINDS = _kinds()
LOWER = np.array([byte + 32 if 65 <= byte <= 90 else byte for byte in range(256)], dtype=np.uint8)


class UnitTable(NamedTuple):
    """The units met so far.

    Args:
        slots: A hash table: the number of a unit plus 1, or 0; int32, its size a power of two.
        hashes: The hash of each unit (FNV-1a), uint64.
        ends: One past the last byte of each unit, after the first entry, which is 0; int64 of shape (room + 1,).
        text: The bytes of all units, uint8.
    """

    slots: NDArray[np.int32]
    hashes: NDArray[np.uint64]
    ends: NDArray[np.int64]
    text: NDArray[np.uint8]


@inlined
def _same(table: Any, unit: Any, text: Any, start: Any, end: Any, lower: Any) -> Any:
    """Whether a unit is this stretch of text."""
    begin = table.ends[unit]
    if table.ends[unit + 1] - begin != end - start:
        return False
    for offset in range(end - start):
        if table.text[begin + offset] != lower[text[start + offset]]:
            return False
    return True


@nested
def _number(table: Any, known: Any, text: Any, start: Any, end: Any, digest: Any, lower: Any) -> Any:
    """The number of the unit that stands at a place; one more than all known for a new one, which is taken in."""
    mask = len(table.slots) - 1
    slot = np.int64(digest >> np.uint64(20)) & mask
    while table.slots[slot]:
        unit = table.slots[slot] - 1
        if table.hashes[unit] == digest and _same(table, unit, text, start, end, lower):
            return unit
        slot = (slot + 1) & mask
    begin = table.ends[known]
    for offset in range(end - start):
        table.text[begin + offset] = lower[text[start + offset]]
    table.ends[known + 1] = begin + end - start
    table.hashes[known] = digest
    table.slots[slot] = known + 1
    return known


@inlined
def _ascii_unit(text: Any, place: Any, stop: Any, kinds: Any) -> Any:
    """The next unit of a stretch of ASCII: where it starts, one past its last word character, and where to go on."""
    while place < stop and kinds[text[place]] != WORD:
        place += 1
    start = last = place
    while place < stop and kinds[text[place]] != BREAK:
        if kinds[text[place]] == WORD:
            last = place + 1
        place += 1
    return start, last, place


@inlined
def _digest(text: Any, start: Any, end: Any, lower: Any) -> Any:
    """The hash of a stretch of text (FNV-1a)."""
    digest = np.uint64(14695981039346656037)
    for place in range(start, end):
        digest = (digest ^ np.uint64(lower[text[place]])) * np.uint64(1099511628211)
    return digest


@compiled
def cut(
    text: Any,
    ends: Any,
    first: Any,
    table: Any,
    known: Any,
    kinds: Any,
    lower: Any,
    same: Any,
    units: Any,
    unit_ends: Any,
) -> Any:
    """Cut documents into units, until one might not fit into the table.

    Args:
        text: UTF-8 of all documents, uint8.
        ends: Where each document starts and, last, where the last ends; int64 of shape (documents + 1,).
        first: The document to begin with.
        table: The units known, and room for more.
        known: How many are known.
        kinds: `KINDS`.
        lower: `LOWER`.
        same: The bytes as they are, for stretches that are not of ASCII.
        units: Receives the units of all documents from `first` on, int32, as long as the text.
        unit_ends: Receives one past the last unit of each document, int64 of shape (documents,).

    Returns:
        The document to go on with, and how many units are known.
    """
    size = unit_ends[first - 1] if first else 0
    for document in range(first, len(ends) - 1):
        place, end = ends[document], ends[document + 1]
        # at most a unit for every second byte
        if known + (end - place) // 2 + 1 > len(table.hashes) or table.ends[known] + end - place > len(table.text):
            return document, known
        while place < end:
            while place < end and kinds[text[place]] == SPACE:
                place += 1
            stop, foreign = place, False
            while stop < end and kinds[text[stop]] != SPACE:
                foreign |= text[stop] > 127
                stop += 1
            whole = foreign or stop - place > LONGEST
            table_of_bytes = same if whole else lower
            while place < stop:
                if whole:
                    start, last, place = place, stop, stop
                else:
                    start, last, place = _ascii_unit(text, place, stop, kinds)
                if last > start:
                    digest = _digest(text, start, last, table_of_bytes)
                    unit = _number(table, known, text, start, last, digest, table_of_bytes)
                    known = max(known, unit + 1)
                    units[size] = unit
                    size += 1
        unit_ends[document] = size
    return len(ends) - 1, known


@compiled
def fill_slots(table: Any, known: Any) -> None:
    """Enter the first `known` units into empty slots."""
    mask = len(table.slots) - 1
    for unit in range(known):
        slot = np.int64(table.hashes[unit] >> np.uint64(20)) & mask
        while table.slots[slot]:
            slot = (slot + 1) & mask
        table.slots[slot] = unit + 1
