"""Long documents as windows that a model reads whole.

The windows of a document are pieces of its text, so that each can be shown and cited, and overlap where that is asked
for. Dai and Callan: Deeper Text Understanding for IR with Contextual Neural Language Modeling, SIGIR 2019 (MaxP).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Any


def windows(
    text: str, tokenizer: Any, *, window: int, stride: int, fits: Callable[[str], bool]
) -> list[tuple[int, int]]:
    """Where the pieces of a text begin and end, in characters; in order, and together they hold every token of it.

    Pieces begin and end between words, unless a word is longer than a window: a piece that is tokenised again then
    gives the tokens that it had within the text.

    Args:
        text: Any text; a short one is its only piece.
        tokenizer: A fast tokenizer.
        window: Most tokens of a piece, special tokens and prompt apart.
        stride: Tokens from the beginning of one piece to that of the next, at most `window`.
        fits: Whether the model reads a piece whole. A piece that it does not (a word that was cut may have more
            tokens than before) is made shorter.
    """
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    spans = encoded["offset_mapping"]
    if not spans or (len(spans) <= window and fits(text)):
        return [(0, len(text))]
    # Where a piece may begin: never inside a character that takes several tokens.
    apart = [0, *(place for place in range(1, len(spans)) if spans[place][0] >= spans[place - 1][1]), len(spans)]
    words = encoded.word_ids()
    between = {place for place in apart if place in (0, len(spans)) or words[place] != words[place - 1]}
    pieces = []
    begin = 0
    while True:
        end = _last(apart, between, begin, begin + window)
        while not fits(text[spans[begin][0] : spans[end - 1][1]]):
            shorter = _last(apart, between, begin, end - 1)
            if shorter >= end:
                break  # one token that does not fit: the encoder tells what it leaves out
            end = shorter
        pieces.append((spans[begin][0], spans[end - 1][1]))
        if end == len(spans):
            return pieces
        begin = _last(apart, between, begin, min(begin + stride, end))


def _last(apart: list[int], between: set[int], begin: int, end: int) -> int:
    """The last place up to `end` where a piece may be cut, and beyond `begin`: between words if there is such a one."""
    first, beyond = bisect_right(apart, begin), bisect_right(apart, end)
    if first == beyond:
        return apart[first]
    return next((apart[i] for i in range(beyond - 1, first - 1, -1) if apart[i] in between), apart[beyond - 1])
