"""How language models are written in YAML: a map of one word, the backend's, and what that is told.

    model: {openai_compatible: {name: gpt-4o-mini, url: "https://api.openai.com/v1", key: OPENAI_API_KEY}}
    model: {local: Qwen/Qwen3-0.6B}          # a bare value is for the first parameter
    model: {replay: transcript.jsonl}

Other packages register backends under the entry-point group `rankloom.language_models` (`word = "module:Class"`); one
of a module on the path can also be named outright as `module:Class`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from rankloom import signature_schema
from rankloom.errors import ConfigError
from rankloom.language_model import LanguageModel
from rankloom.named_classes import class_of, known_words
from rankloom.parameter_kinds import HoldsModel
from rankloom.signature_schema import marked, signature_model

GROUP = "rankloom.language_models"
BUILT_IN: dict[str, str] = {
    "openai_compatible": "rankloom.language_models.openai_compatible:OpenAICompatible",
    "local": "rankloom.language_models.local:Local",
    "replay": "rankloom.language_models.replay:Replay",
    "recorder": "rankloom.language_models.recorder:Recorder",
}


@cache
def model_words() -> dict[str, str]:
    """All words of backends and their `module:Class`."""
    return known_words(BUILT_IN, group=GROUP, kind="language model")


def backend(word: str) -> type[LanguageModel]:
    """The class a word stands for.

    Raises:
        ConfigError: The word is unknown, or names no language model.

    Example:
        >>> backend("replay").__name__
        'Replay'
    """
    return class_of(word, model_words(), LanguageModel, kind="language model")  # type: ignore[type-abstract]  # as above


@cache
def parameters(word: str) -> type[BaseModel]:
    """A typed model of what a backend may be told; unknown keys are refused.

    Raises:
        ConfigError: The word is unknown.
    """
    return signature_model(word, backend(word))


def parted(spec: Any) -> tuple[str, Mapping[str, Any]]:
    """The word of a language model and what it is told, by name.

    Raises:
        ConfigError: It is not a map of one word, or the word takes no bare value.
    """
    if not isinstance(spec, Mapping) or len(spec) != 1:
        raise ConfigError(
            "a language model is a map with one key, the word of its backend",
            value=spec,
            accepted=", ".join(sorted(model_words())),
            fix="such as {replay: transcript.jsonl}",
        )
    word, given = next(iter(spec.items()))
    if given is None:
        return word, {}
    if isinstance(given, Mapping):
        return word, given
    first = next(iter(parameters(word).model_fields), None)
    if first is None:
        raise ConfigError(f"{word} takes no value", value=given)
    return word, {first: given}


def inner_models(word: str) -> tuple[str, ...]:
    """The parameters of a backend that hold another language model."""
    return marked(parameters(word), HoldsModel())


def located(spec: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A language model with its files and models as they are found from the folder of the configuration.

    Raises:
        NotFoundError: A file is not there.
        ConfigError: Something is in two places, or it is not a map of one word.
    """
    word, given = parted(spec)
    found = signature_schema.located(parameters(word), given, folder, stage=word)
    for name in inner_models(word):
        if name in found:
            found[name] = located(found[name], folder)
    return {word: found}


def written_name(spec: Any) -> str:
    """What ledgers call a language model, given how it is written; empty if it can not be told."""
    if not isinstance(spec, Mapping) or len(spec) != 1:
        return ""
    word, given = parted(spec)
    inner = next((given[name] for name in inner_models(word) if name in given), None)
    return written_name(inner) if inner is not None else backend(word).named_by(given)


def language_model_schema() -> dict[str, Any]:
    """The JSON schema of every backend, by its word."""
    return {word: parameters(word).model_json_schema() for word in sorted(model_words())}
