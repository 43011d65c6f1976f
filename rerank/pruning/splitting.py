"""How texts are split into sentences: by the words `syntok` and `lines`, or by anybody's function.

A splitter only says where sentences begin. Whatever it leaves out belongs to the sentence before, so that sentences
and the spaces between them always give back the text.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from operator import index
from typing import Annotated, Any

from rankloom.errors import DataError, UsageError
from rankloom.fingerprint import digest
from rankloom.parameter_kinds import OrObject
from rankloom.rerank.pruning.sentences import SENTENCES_VERSION, cut, split_lines, split_sentences

Offsets = list[tuple[int, int]]
_STAGE = "splitter"


@dataclass(frozen=True, slots=True)
class Splitter:
    """A function that splits texts into sentences, under a name.

    Args:
        name: Stands for the function in fingerprints; a changed function needs a new name, or caches mix up results.
        function: Text -> its sentences in order: strings that stand in the text as they are, as those of
            `nltk.sent_tokenize` do, or pairs of character offsets (start, end).
        version: What tells the function from earlier ones of its name, also in fingerprints.

    Example:
        >>> clauses = Splitter("clauses", lambda text: text.split(", "))
        >>> clauses("air, sea, moon")
        [(0, 4), (5, 9), (10, 14)]
    """

    name: str
    function: Callable[[str], Iterable[str] | Iterable[tuple[int, int]]]
    version: str = ""

    def __call__(self, text: str) -> Offsets:
        """Offsets of a text's sentences, in order, without spaces at either end.

        Whatever is not space lies in one of them; a text of nothing but spaces has none.

        Raises:
            DataError: The function gave a sentence that does not follow the one before in the text, or something else
                than sentences.
        """
        given = self.function(text)
        if isinstance(given, str) or not isinstance(given, Iterable):
            problem = f"{self.name} gave no sentences"
            raise DataError(
                problem, stage=_STAGE, value=given, accepted="a list of strings, or of offsets (start, end)"
            )
        places, before = [], 0
        for sentence in given:
            start, end = self._found(sentence, text, before) if isinstance(sentence, str) else self._pair(sentence)
            if not before <= start <= end <= len(text):
                raise self._error("does not follow the one before", sentence, "offsets (start, end) in order")
            places.append(start)
            before = end
        return cut(text, places)

    def fingerprint(self) -> str:
        """A digest of the name and the version."""
        return digest(self.name, self.version) if self.version else digest(self.name)

    def _found(self, sentence: str, text: str, before: int) -> tuple[int, int]:
        """Offsets of a sentence that is given as a string."""
        start = text.find(sentence, before)
        if start < 0:
            raise self._error("does not stand in the text", sentence, "sentences just as they stand there, in order")
        return start, start + len(sentence)

    def _pair(self, sentence: Any) -> tuple[int, int]:
        """A sentence that is given as offsets."""
        try:
            start, end = map(index, sentence)
        except (TypeError, ValueError):
            accepted = "strings, or offsets (start, end)"
            raise self._error("is neither a string nor a pair of whole numbers", sentence, accepted) from None
        return start, end

    def _error(self, what: str, sentence: object, accepted: str) -> DataError:
        """The error of a sentence that can not be placed."""
        return DataError(f"a sentence that {self.name} gave {what}", stage=_STAGE, value=sentence, accepted=accepted)


#: What a parameter may say; see `splitter_of`.
AnySplitter = Annotated[str | Splitter, OrObject()]
#: The splitters that have a word.
SPLITTERS = {
    "syntok": Splitter("syntok", split_sentences, f"{SENTENCES_VERSION}, syntok {version('syntok')}"),
    "lines": Splitter("lines", split_lines),
}


def splitter_of(named: AnySplitter, *, stage: str) -> Splitter:
    """The splitter that a parameter stands for.

    A function, or any object that can be called, that is named as `module:function` counts in fingerprints with the
    source of that module, and of the one that it comes from, so that an edited one never gets its old results from a
    cache; what it calls elsewhere does not. One without a source, such as a compiled one, needs a `Splitter` with a
    version in its place; `module:name` may name that, too.

    Args:
        named: `syntok`, `lines`, `module:function` (such as `nltk.tokenize:sent_tokenize`), or a `Splitter`.
        stage: Who asks, for errors.

    Raises:
        UsageError: It is none of these, can not be imported, or has no source.
    """
    if isinstance(named, Splitter):
        return named
    accepted = f"{', '.join(SPLITTERS)}, module:function, or a Splitter with a name for your function"
    if not isinstance(named, str) or not (named in SPLITTERS or ":" in named):
        raise UsageError("unknown splitter", stage=stage, value=named, accepted=accepted)
    if named in SPLITTERS:
        return SPLITTERS[named]
    module, _, name = named.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"the splitter can not be imported: {error}", stage=stage, value=named) from error
    if isinstance(function, Splitter):
        return function
    if not callable(function):
        raise UsageError("the splitter is not a function", stage=stage, value=named, accepted=accepted)
    return Splitter(named, function, _source(module, function, stage=stage))


def _source(module: str, function: Callable[..., object], *, stage: str) -> str:
    """A digest of the sources of the module that names a function and of the one that it comes from.

    Whole modules, because a decorator, the class of an object, or what made a function belongs to it as well.

    Raises:
        UsageError: One has no source.
    """
    made_in = getattr(function, "__module__", None) or type(function).__module__
    try:
        return digest(*(inspect.getsource(importlib.import_module(one)) for one in dict.fromkeys((module, made_in))))
    except (ImportError, OSError, TypeError) as error:
        raise UsageError(
            f"the splitter has no source by which an edited one could be told ({error})",
            stage=stage,
            value=function,
            fix="let the name stand for a Splitter(name, function, version), whose version you raise",
        ) from error
