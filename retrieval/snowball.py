"""Words of many languages, stemmed by the Snowball stemmers (snowballstem.org)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, ClassVar

from rankloom.checks import choice
from rankloom.fingerprint import digest
from rankloom.retrieval.word_break import split_words

_MOST_KEPT_STEMS = 1 << 18  # a collection's words, most of which come often


class SnowballAnalyzer:
    """Words by Unicode's rules, in lower case, without stop words, stemmed for one language.

    Args:
        language: A name of Snowball's, such as `german`, `french` or `russian`.
        stop_words: Lower-case words to leave out; none by default, for BM25 gives frequent words little weight anyway.

    Raises:
        UsageError: There is no stemmer for the language; names those that there are.

    Example:
        >>> SnowballAnalyzer("german")("Die Häuser am Fluss")
        ['die', 'haus', 'am', 'fluss']
    """

    #: Words can be analysed one by one, upper or lower case; see `rankloom.retrieval.index.units`.
    by_word: ClassVar[bool] = True

    def __init__(self, language: str, *, stop_words: Iterable[str] = ()) -> None:
        self.language = choice(language, languages(), stage="analyzer", parameter="language")
        self.stop_words = frozenset(stop_words)
        self._stem = lru_cache(_MOST_KEPT_STEMS)(_stemmer(language).stemWord)

    def __call__(self, text: str) -> list[str]:
        """The terms of a text, in order."""
        words = map(str.lower, split_words(text))
        return [self._stem(word) for word in words if word not in self.stop_words]

    def fingerprint(self) -> str:
        """A digest of the language, its stemmer's version and the stop words."""
        from importlib.metadata import version

        return digest("snowball", 1, self.language, version("snowballstemmer"), sorted(self.stop_words))

    def __repr__(self) -> str:
        """The call that makes an equal analyzer."""
        stop_words = f", stop_words={sorted(self.stop_words)!r}" if self.stop_words else ""
        return f"SnowballAnalyzer({self.language!r}{stop_words})"


def languages() -> list[str]:
    """The languages that have a stemmer, sorted.

    >>> "finnish" in languages()
    True
    """
    import snowballstemmer

    return sorted(snowballstemmer.algorithms())


def _stemmer(language: str) -> Any:
    """A stemmer. It keeps state while it works, so each analyzer has its own."""
    import snowballstemmer

    return snowballstemmer.stemmer(language)
