"""What each stage may be told in YAML, read from the signature of its constructor."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from rankloom.fusion import fuse, interpolate, rrf
from rankloom.registry import stage_class, stage_words
from rankloom.stage import Stage

#: Words that take `inputs:`, a list of pipelines, besides their keyword parameters.
FUSIONS: dict[str, Callable[..., Stage]] = {"interpolate": interpolate, "rrf": rrf, "fuse": fuse}
_GIVEN = frozenset({"corpus", "session", "retriever", "index"})  # the builder gives these; YAML can not hold them


def builder(word: str) -> Callable[..., Stage]:
    """What makes the stage a word stands for: a fusion function, `for_corpus`, or the constructor."""
    if word in FUSIONS:
        return FUSIONS[word]
    found = stage_class(word)
    return getattr(found, "for_corpus", found)


@cache
def parameters(word: str) -> type[BaseModel]:
    """A typed model of what a word may be told; unknown keys are refused.

    Raises:
        ConfigError: The word is unknown.
    """
    fields: dict[str, Any] = {}
    if word in FUSIONS:
        fields["inputs"] = (_inputs(FUSIONS[word]), ...)
    for name, parameter in inspect.signature(builder(word), eval_str=True).parameters.items():
        if name in _GIVEN or (word in FUSIONS and parameter.kind is not inspect.Parameter.KEYWORD_ONLY):
            continue
        required = parameter.default is inspect.Parameter.empty
        annotation = Any if parameter.annotation is inspect.Parameter.empty else parameter.annotation
        fields[name] = (annotation, ... if required else parameter.default)
    config = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True, protected_namespaces=())
    return create_model(word.replace(":", "_"), __config__=config, **fields)


def _inputs(fusion: Callable[..., Stage]) -> Any:
    """The type of `inputs`: as many as the fusion has positional parameters, or one or more."""
    kinds = [parameter.kind for parameter in inspect.signature(fusion).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return Annotated[list[Any], Field(min_length=1)]
    count = kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return Annotated[list[Any], Field(min_length=count, max_length=count)]


def first_parameter(word: str) -> str | None:
    """The parameter that a bare value is for: `{top: 100}` means `{top: {k: 100}}`."""
    return next(iter(parameters(word).model_fields), None)


def stage_schema() -> dict[str, Any]:
    """The JSON schema of every stage, by its word."""
    words = sorted({*stage_words(), *FUSIONS})
    return {word: parameters(word).model_json_schema() for word in words}
