"""Analyzers: from text to index terms.

An index and the queries put to it must be analysed alike, so an analyzer has a fingerprint, an index keeps it, and a
retriever refuses to open an index with another analyzer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import ClassVar, Protocol

from rankloom.fingerprint import digest
from rankloom.retrieval.porter import stem
from rankloom.retrieval.word_break import split_words

# fmt: off
#: Lucene's 33 English stop words, the default of Lucene's and Anserini's English analyzers.
STOP_WORDS = frozenset({
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it", "no", "not", "of",
    "on", "or", "such", "that", "the", "their", "then", "there", "these", "they", "this", "to", "was", "will", "with",
})
# fmt: on

_LONGEST_KEPT_CHUNK = 64  # characters; longer ones hardly come twice
_MOST_KEPT_CHUNKS = 1 << 18  # some 50 MB of short strings
_POSSESSIVES = ("'s", "'S", "\u2019s", "\u2019S", "\uff07s", "\uff07S")


class Analyzer(Protocol):
    """Whatever turns a text into terms."""

    def __call__(self, text: str) -> list[str]:
        """The terms of a text in order, repeated as often as they occur. Any string has terms, if only none."""
        ...

    def fingerprint(self) -> str:
        """A digest of everything that can change the terms."""
        ...


class EnglishAnalyzer:
    """English as Anserini's default analyzer (Lucene's EnglishAnalyzer) sees it.

    Words by Unicode's rules, without a possessive 's, in lower case, without stop words, stemmed by Porter's
    algorithm. Agrees with Lucene token for token, but for characters that Unicode changed after version 12.1 and
    lone surrogates (which Lucene may lose a whole text over, and which are simply no letters here).

    Args:
        stop_words: Lower-case words to leave out; by default Lucene's 33.
        stem: Whether to stem.

    Example:
        >>> EnglishAnalyzer()("The patient's T-cells weren't activated in U.S. trials")
        ['patient', 't', 'cell', "weren't", 'activ', 'u.', 'trial']
    """

    #: Words can be analysed one by one, upper or lower case; see `rankloom.retrieval.index.units`.
    by_word: ClassVar[bool] = True

    def __init__(self, *, stop_words: Iterable[str] = STOP_WORDS, stem: bool = True) -> None:
        self.stop_words = frozenset(stop_words)
        self.stem = stem
        self._chunks = Chunks(self._terms)

    def __call__(self, text: str) -> list[str]:
        """The terms of a text, in order.

        Args:
            text: Any string, lone surrogates and control characters included.
        """
        # No token holds white space, except that U+202F (a narrow no-break space) joins words by Unicode's rules.
        chunks = text.split() if "\u202f" not in text else [text]
        return list(chain.from_iterable(map(self._chunks.__getitem__, chunks)))

    def fingerprint(self) -> str:
        """A digest of the rules and parameters."""
        return digest("english", 1, sorted(self.stop_words), self.stem)

    def __repr__(self) -> str:
        """The call that makes an equal analyzer."""
        stop_words = "" if self.stop_words == STOP_WORDS else f"stop_words={sorted(self.stop_words)!r}"
        return f"EnglishAnalyzer({', '.join(filter(None, [stop_words, '' if self.stem else 'stem=False']))})"

    def _terms(self, chunk: str) -> tuple[str, ...]:
        """The terms of one stretch of text."""
        words = (word[:-2] if word.endswith(_POSSESSIVES) else word for word in split_words(chunk))
        kept = (lowered for lowered in map(_lower, words) if lowered not in self.stop_words)
        return tuple(map(stem, kept) if self.stem else kept)


class Chunks(dict[str, tuple[str, ...]]):
    """Terms by stretch of text between white space: most stretches of a collection occur many times."""

    def __init__(self, analyse: Callable[[str], tuple[str, ...]]) -> None:
        super().__init__()
        self._analyse = analyse

    def __missing__(self, chunk: str) -> tuple[str, ...]:
        terms = self._analyse(chunk)
        if len(chunk) <= _LONGEST_KEPT_CHUNK:
            if len(self) >= _MOST_KEPT_CHUNKS:
                self.clear()
            self[chunk] = terms
        return terms


def _lower(word: str) -> str:
    """Lower case character by character, as Java does: no final sigma, and a dotted capital I becomes a plain i."""
    if word.isascii():
        return word.lower()
    return word.replace("\u03a3", "\u03c3").replace("\u0130", "i").lower()
