"""Words as text feedback counts them: words and punctuation marks, as NLTK's `word_tokenize` roughly has them.

Texts are never put together from words again: what is cut out of one is a stretch of it, letter for letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_WORD_OR_MARK = re.compile(r"\w+|[^\w\s]")


def count_words(text: str) -> int:
    """How many words and punctuation marks a text has.

    Example:
        >>> count_words("Why is it blue?")
        5
    """
    return sum(1 for _ in _WORD_OR_MARK.finditer(text))


def first_words(text: str, size: int) -> tuple[str, int]:
    """The beginning of a text, and how many words are cut off.

    Args:
        text: Any text.
        size: How many words to keep, at least 1.

    Example:
        >>> first_words("The sky  is blue.", 3)
        ('The sky  is', 2)
    """
    ends = [match.end() for match in _WORD_OR_MARK.finditer(text)]
    return (text[: ends[size - 1]], len(ends) - size) if len(ends) > size else (text, 0)


def windows(text: str, size: int, stride: int) -> Iterator[str]:
    """Stretches of a text; the last is the first that reaches its end, and may be shorter.

    Args:
        text: Any text; one without words has no window.
        size: Words of a window, at least 1.
        stride: Words between the beginnings of two, at least 1.

    Example:
        >>> list(windows("a b c d e f", 4, 2))
        ['a b c d', 'c d e f']
    """
    places = [match.span() for match in _WORD_OR_MARK.finditer(text)]
    for start in range(0, len(places), stride):
        last = min(start + size, len(places))
        yield text[places[start][0] : places[last - 1][1]]
        if last == len(places):
            return
