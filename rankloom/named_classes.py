"""Words that stand for classes: those of this package, and those that other packages bring by entry points."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import TypeVar

from rankloom.errors import ConfigError, nearest

_log = logging.getLogger("rankloom")
Named = TypeVar("Named")


def known_words(built_in: Mapping[str, str], *, group: str, kind: str) -> dict[str, str]:
    """All known words and their `module:Class`; a word that is taken, by this package above all, can not be taken over.

    What has a word that is taken is named in a warning, and can still be had as `module:Class`.

    Args:
        built_in: The words of this package.
        group: The entry points of other packages.
        kind: What the classes are, in a word.
    """
    words = dict(built_in)
    for point in sorted(entry_points(group=group), key=lambda point: (point.name, point.value)):
        if words.setdefault(point.name, point.value) != point.value:
            _log.warning("the %s %s can not be called %r: %s is", kind, point.value, point.name, words[point.name])
    return words


def class_of(word: str, words: Mapping[str, str], base: type[Named], *, kind: str) -> type[Named]:
    """The class a word stands for.

    Args:
        word: A known word, or `module:Class`.
        words: The known words and their `module:Class`.
        base: What the class must inherit.
        kind: What it is, in a word.

    Raises:
        ConfigError: The word is unknown, or what it names can not be imported or is something else.
    """
    target = word if ":" in word else words.get(word)
    if target is None:
        close = nearest(word, words)
        raise ConfigError(
            f"unknown {kind}",
            value=word,
            accepted=", ".join(sorted(words)),
            fix=f"did you mean {close!r}?" if close else None,
        )
    module, _, name = target.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"the {kind} can not be imported: {error}", value=target) from error
    if not isinstance(found, type) or not issubclass(found, base):
        raise ConfigError(
            f"this is not a {kind}", value=target, accepted=f"a subclass of {base.__module__}.{base.__qualname__}"
        )
    return found
