"""Analyzers by name, as YAML and the command line name them, and the two plainest ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rankloom.errors import UsageError, nearest
from rankloom.fingerprint import digest
from rankloom.retrieval.analysis import Analyzer, EnglishAnalyzer
from rankloom.retrieval.snowball import SnowballAnalyzer, languages
from rankloom.retrieval.wordpiece import WordPieceAnalyzer

_WORDPIECE = "wordpiece:"


class WhitespaceAnalyzer:
    """What stands between white space, as it is; for texts that are analysed already.

    Example:
        >>> WhitespaceAnalyzer()("sky ##blue Sky")
        ['sky', '##blue', 'Sky']
    """

    def __call__(self, text: str) -> list[str]:
        """The terms of a text, in order."""
        return text.split()

    def fingerprint(self) -> str:
        """A digest of the rule."""
        return digest("whitespace", 1)

    def __repr__(self) -> str:
        """The call that makes an equal analyzer."""
        return "WhitespaceAnalyzer()"


class CustomAnalyzer:
    """A function of yours.

    Args:
        function: Takes any string, gives its terms.
        version: Names what the function does; give another when it changes, or indexes made with the old one are
            searched with the new.

    Raises:
        UsageError: The version is empty.

    Example:
        >>> CustomAnalyzer(lambda text: text.lower().split("-"), version="hyphens 1")("Wi-Fi")
        ['wi', 'fi']
    """

    def __init__(self, function: Callable[[str], Iterable[str]], *, version: str) -> None:
        if not version:
            raise UsageError("a custom analyzer needs a version", stage="analyzer", accepted="any words")
        self.function = function
        self.version = version

    def __call__(self, text: str) -> list[str]:
        """The terms of a text, in order."""
        return list(self.function(text))

    def fingerprint(self) -> str:
        """A digest of the version, which stands for the function."""
        return digest("custom", self.version)

    def __repr__(self) -> str:
        """The function and its version."""
        return f"CustomAnalyzer({self.function!r}, version={self.version!r})"


def analyzer_of(name: str | Analyzer) -> Analyzer:
    """The analyzer that a name stands for.

    Args:
        name: `english` (Lucene's), `whitespace`, a language of Snowball's such as `german`, or `wordpiece:PATH` with
            the path of a `tokenizer.json` or of a folder that holds one. An analyzer stands for itself. Snowball's own
            English is `SnowballAnalyzer("english")`.

    Raises:
        UsageError: There is no such analyzer; names the nearest.
        NotFoundError: There is no such tokenizer.

    Example:
        >>> analyzer_of("french")
        SnowballAnalyzer('french')
    """
    if not isinstance(name, str):
        return name
    if name.startswith(_WORDPIECE):
        return WordPieceAnalyzer(name.removeprefix(_WORDPIECE))
    if name == "english":
        return EnglishAnalyzer()
    if name == "whitespace":
        return WhitespaceAnalyzer()
    if name in (known := languages()):
        return SnowballAnalyzer(name)
    names = ["english", "whitespace", *(language for language in known if language != "english")]
    close = nearest(name, names)
    raise UsageError(
        "unknown analyzer",
        stage="analyzer",
        value=name,
        accepted=f"{', '.join(names)}, {_WORDPIECE}PATH",
        fix=f"did you mean {close!r}?" if close else None,
    )
