"""Sentences of a text, as character offsets.

Sentence ends are found by syntok (Leitner), which knows abbreviations, initials, brackets and quotations of English,
Spanish and German and leaves offsets intact. Added here: a blank line, the mark of a list item and the rows of a table
end sentences; so do the full stops of other scripts (Arabic, Devanagari, Ethiopic, Chinese ...), which need no space
after them; and code between fences stays whole. Texts of scripts that mark no sentences stay whole, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

import regex
from syntok import segmenter
from syntok.tokenizer import Tokenizer

SENTENCES_VERSION = 2  # raised when `split_sentences` splits a text in another way
# A bullet or a number at the start of a line, as in "- milk", "2. eggs" or "(c) flour".
_LIST_MARK = re.compile(r"\s*+(?:[-*+•‣▪●○·–—]|\(?(?:\d{1,3}|[a-z])[.)])\s")  # noqa: RUF001
# "| sky | blue |", or columns with tabs between them; not a tab before or within prose, such as a title's abstract.
_TABLE_ROW = re.compile(r"\s*+(?:\|.*\|\s*$|(?!.*\w{3}[.!?]\s+\S)\S[^\t]*+\t\s*+\S)")
_FENCE = re.compile(r"\s*+(?:```|~~~)")
# What Unicode calls the end of a sentence, but for those that syntok knows; a full-width point may stand in a number.
_STOP = regex.compile(r"(?V1)(?:[\p{STerm}--[.!?．]]|．(?!\p{Nd}))++[.!?…]*+[」』）】〉》”’\"')]*+")  # noqa: RUF001
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
    return cut(text, _cuts(text))


def split_lines(text: str) -> list[tuple[int, int]]:
    """Offsets of the lines of a text that are not blank, each without spaces at either end."""
    return cut(text, (match.end() for match in re.finditer(r"\n|\r", text)))


def cut(text: str, places: Iterable[int]) -> list[tuple[int, int]]:
    """Offsets of the parts of a text between some places, without spaces at either end and without blank ones."""
    cuts = sorted({0, len(text), *places})
    spans = (_stripped(text, start, end) for start, end in pairwise(cuts))
    return [(start, end) for start, end in spans if start < end]


def _cuts(text: str) -> Iterator[int]:
    """Where one sentence ends and another may begin."""
    blocks = [*_blocks(text), (len(text), True)]
    for (start, prose), (end, _) in pairwise(blocks):
        yield start
        if prose:
            yield from (start + place for place in _sentence_starts(text[start:end]))


def _sentence_starts(prose: str) -> Iterator[int]:
    """Where the sentences of a text without lists, tables and code begin."""
    goes_on = False  # syntok also ends a sentence at some semicolons
    for sentence in segmenter.segment(_TOKENIZER.tokenize(prose)):
        if not goes_on:
            yield sentence[0].offset
        goes_on = sentence[-1].value == ";"
    for stop in _STOP.finditer(prose):
        yield stop.end()


def _blocks(text: str) -> Iterator[tuple[int, bool]]:
    """Starts of the parts that no sentence crosses, and whether there are sentences in them: not in rows and in code.

    They are the text's start, what follows blank lines, list items, rows of tables, and code between fences.
    """
    lines = text.splitlines(keepends=True)
    fences = [number for number, line in enumerate(lines) if _FENCE.match(line)]
    code = dict(zip(fences[::2], fences[1::2], strict=False))  # one that is never closed is none
    start, begins, code_until = 0, True, -1
    for number, line in enumerate(lines):
        if number > code_until:
            row = _TABLE_ROW.match(line) is not None
            code_until = code.get(number, -1)
            alone = row or code_until >= 0
            if not line.isspace() and (begins or alone or _LIST_MARK.match(line)):
                yield start, not alone
            begins = alone or line.isspace()
        start += len(line)


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """A span without the spaces at its ends."""
    inner = text[start:end]
    return start + len(inner) - len(inner.lstrip()), end - (len(inner) - len(inner.rstrip()))
