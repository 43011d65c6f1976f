"""Scores of labels from what a server tells of the likeliest tokens (`logprobs`, `top_logprobs`)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from rankloom.errors import UsageError
from rankloom.language_models.retrying import GarbledReplyError

_BELOW = 1.0  # how far below the least of a list a label stands that is not in it (our own choice)
_NOTHING = -100.0  # what every label gets where nothing is told of any
_LAST_WORD = re.compile(r"\w+$")
_MARKS = "[](){}\"'*.:,"  # that stand around labels


class Place(NamedTuple):
    """What a server tells of one token of an output.

    Args:
        token: The token that was written.
        likeliest: The likeliest tokens at its place, with their log probabilities.
    """

    token: str
    likeliest: Sequence[tuple[str, float]]


class LabelScore(NamedTuple):
    """What is known of a label.

    Args:
        log_probability: Its own, or, if it is not listed, less than the least of the list.
        listed: Whether it is among the likeliest tokens.
    """

    log_probability: float
    listed: bool


class NoLogprobsError(Exception):
    """A reply without log probabilities: the server has none to offer."""


def written_first(labels: Sequence[str], *, stage: str) -> str:
    """What a model writes before the token that tells labels apart: what they all begin with, such as `Passage`.

    Args:
        labels: Labels as an answer says them.
        stage: Who asks, for the error.

    Raises:
        UsageError: Fewer than two labels, or labels of which one begins another, so that no token tells them apart.

    Example:
        >>> written_first(["Passage A", "Passage B"], stage="mine"), written_first(["Yes", "No"], stage="mine")
        ('Passage', '')
    """
    own = [_bare(label) for label in labels]
    begun = any(other.startswith(one) for place, one in enumerate(own) for other in own[:place] + own[place + 1 :])
    if len(own) < 2 or begun:
        raise UsageError(
            "a server's list of its likeliest tokens does not tell these texts apart",
            stage=stage,
            value=list(labels),
            accepted="several labels, none of which begins another",
            fix="take fewer labels (a lower highest grade), let the model write its answers (scoring: generation), or "
            "take a model on this machine (local)",
        )
    return _bare(_LAST_WORD.sub("", _common_start(own)))


def label_scores(labels: Sequence[str], output: Sequence[Place], *, stage: str) -> list[LabelScore]:
    """The score of each label: of the token of its own, at the place where the output begins, or after what all share.

    White space and marks around labels and tokens do not count, case does. Probabilities of several tokens that name
    one label, with and without a space before, are added. A label that no listed token names gets less than the least
    of the list. Nothing is told of any label where the model writes neither what all share nor, instead of it, a label
    alone.

    Args:
        labels: Labels as an answer says them; see `written_first`.
        output: What was written, token by token.
        stage: Who asks, for errors.

    Raises:
        UsageError: As `written_first`.

    Example:
        >>> output = [Place(" Yes", [(" Yes", -0.1), ("yes", -3.0)])]
        >>> label_scores(["Yes", "No"], output, stage="mine")
        [LabelScore(log_probability=-0.1, listed=True), LabelScore(log_probability=-4.0, listed=False)]
    """
    shared = written_first(labels, stage=stage)
    names = [_bare(_bare(label).removeprefix(shared)) for label in labels]
    listed = _where_they_differ(shared, names, output)
    if not listed:
        return [LabelScore(_NOTHING, listed=False) for _ in labels]
    floor = min(value for _, value in listed) - _BELOW
    found = []
    for name in names:
        values = [value for token, value in listed if _bare(token) == name]
        found.append(LabelScore(_added(values), listed=True) if values else LabelScore(floor, listed=False))
    return found


def places_of(choice: Any) -> list[Place]:
    """What a reply tells of the tokens of an output.

    Args:
        choice: One of a reply's `choices`, as the `openai` package gives it.

    Raises:
        NoLogprobsError: It tells nothing.
        GarbledReplyError: It can not be read.
    """
    told = getattr(getattr(choice, "logprobs", None), "content", None)
    if told is None:
        raise NoLogprobsError
    try:
        places = []
        for one in told:
            likeliest = {str(other.token): float(other.logprob) for other in one.top_logprobs}
            likeliest.setdefault(str(one.token), float(one.logprob))
            places.append(Place(str(one.token), list(likeliest.items())))
    except (AttributeError, TypeError, ValueError) as error:
        raise GarbledReplyError(f"the reply can not be read (its logprobs are of another form: {told!r})") from error
    if any(not math.isfinite(value) for place in places for _, value in place.likeliest):
        raise GarbledReplyError("the reply can not be read (a logprob is no number)")
    return places


def _where_they_differ(shared: str, names: Sequence[str], output: Sequence[Place]) -> Sequence[tuple[str, float]]:
    """The likeliest tokens after what all labels share; where a label stands without it, those at its place."""
    written = ""
    for place in output:
        if _bare(written) == shared and _bare(place.token):
            return place.likeliest
        if not _bare(written) and _bare(place.token) in names:
            return place.likeliest
        written += place.token
    return ()


def _common_start(texts: Sequence[str]) -> str:
    """What all texts begin with."""
    first, last = min(texts), max(texts)  # what these two share, those between them share
    same = (place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return first[: next(same, len(first))]


def _bare(text: str) -> str:
    """A label or token without white space and marks around it."""
    return text.strip().strip(_MARKS).strip()


def _added(values: Sequence[float]) -> float:
    """The logarithm of the sum of probabilities, given their logarithms; at most 0."""
    top = max(values)
    return min(0.0, top + math.log(sum(math.exp(value - top) for value in values)))
