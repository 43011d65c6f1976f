"""Checks of parameters: each error names the stage, the parameter, the value and what is accepted."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral, Real

from rankloom.errors import UsageError, nearest
from rankloom.records import Documents


def choice(value: str, accepted: Iterable[str], *, stage: str, parameter: str) -> str:
    """The value, if it is one of the accepted words.

    Raises:
        UsageError: It is not; names the nearest accepted word.
    """
    words = list(accepted)
    if value not in words:
        close = nearest(str(value), words)
        fix = f"did you mean {close!r}?" if close else None
        raise UsageError(f"unknown {parameter}", stage=stage, value=value, accepted=", ".join(words), fix=fix)
    return value


def whole(value: int, *, least: int, stage: str, parameter: str) -> int:
    """The value, if it is a whole number of at least `least`.

    Raises:
        UsageError: It is not.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise UsageError(
            f"{parameter} is out of range", stage=stage, value=value, accepted=f"a whole number of at least {least}"
        )
    return int(value)


def between(value: float, low: float, high: float, *, stage: str, parameter: str) -> float:
    """The value, if it is a number from `low` to `high`, both included.

    Raises:
        UsageError: It is not, or it is NaN.
    """
    if not isinstance(value, Real) or not low <= value <= high:
        raise UsageError(
            f"{parameter} is out of range", stage=stage, value=value, accepted=f"a number from {low} to {high}"
        )
    return float(value)


def same_corpus(corpus: Documents | None, made_from: str, *, stage: str) -> None:
    """Refuse documents that an index was not made from: hits would show texts that nobody searched.

    Args:
        corpus: The documents, if there are any.
        made_from: Fingerprint of the corpus that the index was made from; empty if it does not tell.
        stage: Who asks, for the error.

    Raises:
        UsageError: They are others.
    """
    if corpus is not None and made_from not in ("", corpus.fingerprint()):
        raise UsageError(
            "the index was made from another corpus",
            stage=stage,
            value=corpus,
            fix="pass the corpus= that the index was built from, or build it again",
        )
