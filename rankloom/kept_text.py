"""The text that is left when sentences are dropped from it."""

from __future__ import annotations

from collections.abc import Iterable


def kept_text(text: str, spans: Iterable[tuple[int, int]]) -> str:
    r"""The kept sentences of a text, joined as they stand in it.

    Before each but the first stands a line break if it begins a line of the text, so that lists, tables and code stay
    readable; else a space if there is space before it; else nothing, as in scripts that put none between sentences.

    Args:
        text: The text.
        spans: Start and end of what is kept, in order.

    Example:
        >>> kept_text("Buy:\n- milk\n- eggs.  Not now.", [(0, 4), (12, 19), (21, 29)])
        'Buy:\n- eggs. Not now.'
    """
    parts: list[str] = []
    for start, end in spans:
        if parts:
            parts.append(_space_before(text, start))
        parts.append(text[start:end])
    return "".join(parts)


def _space_before(text: str, start: int) -> str:
    """What stands for the space before a place: a line break, a space or nothing."""
    before = start
    while before and text[before - 1].isspace():
        before -= 1
        if text[before] in "\n\r":
            return "\n"
    return " " if before < start else ""
