"""What each stage may be told in YAML, read from the signature of its constructor."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Unpack, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from rankloom.errors import NotFoundError
from rankloom.fusion import fuse, interpolate, rrf
from rankloom.parameter_kinds import HoldsSteps, NamesModel, NamesPath
from rankloom.registry import stage_class, stage_words
from rankloom.stage import Stage
from rankloom.yaml_file import find_beside, places_tried

#: Words that take `inputs:`, a list of pipelines, besides their keyword parameters.
FUSIONS: dict[str, Callable[..., Stage]] = {"interpolate": interpolate, "rrf": rrf, "fuse": fuse}
#: Objects, which YAML can not hold; the builder gives them, or only Python can.
_GIVEN = frozenset({"corpus", "session", "retriever", "index", "encoder"})


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
        if get_origin(parameter.annotation) is Unpack:  # a dictionary of parameters that several stages take
            fields |= {key: (kind, None) for key, kind in get_type_hints(*get_args(parameter.annotation)).items()}
            continue
        if name in _GIVEN or (word in FUSIONS and parameter.kind is not inspect.Parameter.KEYWORD_ONLY):
            continue
        required = parameter.default is inspect.Parameter.empty
        annotation = Any if parameter.annotation is inspect.Parameter.empty else parameter.annotation
        if HoldsSteps() in get_args(annotation):
            annotation = Annotated[Any, HoldsSteps()]  # a step or a list of steps, of which the builder makes stages
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


def inner_parameters(word: str) -> tuple[str, ...]:
    """The parameters of a word that hold steps, besides the `inputs` of a fusion."""
    fields = parameters(word).model_fields
    return tuple(name for name, field in fields.items() if HoldsSteps() in field.metadata)


def kinds(word: str) -> dict[str, NamesModel | NamesPath]:
    """The parameters of a word that name models, files or folders."""
    fields = parameters(word).model_fields
    return {
        name: mark
        for name, field in fields.items()
        for mark in field.metadata
        if isinstance(mark, NamesModel | NamesPath)
    }


def located(word: str, values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Parameters of a step, those that name files or models as they are found from the folder of the configuration.

    What is in neither place stays as it is written, where it may be a name.

    Args:
        word: The word of the step.
        values: Its parameters.
        folder: The folder of the file that holds them.

    Raises:
        NotFoundError: A file or folder is in neither place; names both.
        ConfigError: Something is in both places.
    """
    found = dict(values)
    for name, mark in kinds(word).items():
        value = values.get(name)
        if value is None or value == parameters(word).model_fields[name].default:
            continue
        path = find_beside(str(value), folder)
        if path is not None:
            found[name] = str(path)
        elif isinstance(mark, NamesPath) and not mark.or_name:
            raise NotFoundError(
                f"there is no such file or folder; looked for: {places_tried(str(value), folder)}",
                stage=word,
                value=str(value),
            )
    return found


def first_parameter(word: str) -> str | None:
    """The parameter that a bare value is for: `{top: 100}` means `{top: {k: 100}}`."""
    return next(iter(parameters(word).model_fields), None)


def stage_schema() -> dict[str, Any]:
    """The JSON schema of every stage, by its word."""
    words = sorted({*stage_words(), *FUSIONS})
    return {word: parameters(word).model_json_schema() for word in words}
