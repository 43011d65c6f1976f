"""Finding terms in a sorted table of strings."""

from __future__ import annotations

from typing import Any

from rankloom.retrieval.index.compiled import compiled


@compiled
def find_strings(offsets: Any, text: Any, wanted_ends: Any, wanted: Any, numbers: Any) -> None:
    """The places of strings in a table that is sorted by bytes, -1 for those that are not in it.

    Args:
        offsets: Where each string of the table starts and, last, where the last ends; int64.
        text: The bytes of the table, uint8.
        wanted_ends: One past the last byte of each string to be found, int64 of shape (wanted,).
        wanted: Their bytes, uint8.
        numbers: Receives the places, int64 of shape (wanted,).
    """
    begin = 0
    for number in range(len(wanted_ends)):
        end = wanted_ends[number]
        low, high, found = 0, len(offsets) - 1, -1
        while low < high:
            middle = (low + high) >> 1
            start, stop, place = offsets[middle], offsets[middle + 1], begin
            while start < stop and place < end and text[start] == wanted[place]:
                start += 1
                place += 1
            if place == end and start == stop:
                found = middle
                break
            if start == stop or (place < end and text[start] < wanted[place]):
                low = middle + 1
            else:
                high = middle
        numbers[number] = found
        begin = end
