"""Sentences of a text, as character offsets.

Sentence ends are found by syntok (Leitner), which knows abbreviations, initials, brackets and quotations of English,
Spanish and German and leaves offsets intact. Added here: a blank line or the mark of a list item ends a sentence, and
so does a full stop of Chinese or Japanese, which no space follows. Texts of scripts that mark no sentences stay whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from syntok import segmenter
from syntok.tokenizer import Tokenizer

# A bullet or a number at the start of a line, as in "- milk", "2. eggs" or "(c) flour".
_LIST_MARK = re.compile(r"\s*+(?:[-*+•‣▪●○·–—]|\(?(?:\d{1,3}|[a-z])[.)])\s")  # noqa: RUF001
_IDEOGRAPHIC_END = re.compile(r"[。！？｡]+[」』）】〉》”’\"')]*")  # noqa: RUF001
_TOKENIZER = Tokenizer(emit_hyphen_or_underscore_sep=True, replace_not_contraction=False)


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Offsets of a text's sentences.

    Args:
        text: Any string.

    Returns:
        Start and end of each sentence, in order, without overlap and without spaces at either end. Whatever is not
        space lies in one of them; a text of nothing but spaces has none.

    Example:
        >>> text = "Dr. Smith left at 5 p.m. It rained."
        >>> [text[start:end] for start, end in split_sentences(text)]
        ['Dr. Smith left at 5 p.m.', 'It rained.']
    """
    cuts = sorted({0, len(text), *_cuts(text)})
    spans = (_stripped(text, start, end) for start, end in pairwise(cuts))
    return [(start, end) for start, end in spans if start < end]


def _cuts(text: str) -> Iterator[int]:
    """Where one sentence ends and another may begin."""
    for start, end in pairwise([*_blocks(text), len(text)]):
        yield start
        goes_on = False  # syntok also ends a sentence at some semicolons
        for sentence in segmenter.segment(_TOKENIZER.tokenize(text[start:end])):
            if not goes_on:
                yield start + sentence[0].offset
            goes_on = sentence[-1].value == ";"
    for stop in _IDEOGRAPHIC_END.finditer(text):
        yield stop.end()


def _blocks(text: str) -> Iterator[int]:
    """Starts of the parts that no sentence crosses: the text's, of what follows blank lines, of list items."""
    yield 0
    start, blank_before = 0, False
    for line in text.splitlines(keepends=True):
        blank = line.isspace()
        if start and not blank and (blank_before or _LIST_MARK.match(line)):
            yield start
        start, blank_before = start + len(line), blank


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """A span without the spaces at its ends."""
    inner = text[start:end]
    return start + len(inner) - len(inner.lstrip()), end - (len(inner) - len(inner.rstrip()))
