"""What each stage may be told in YAML, read from the signature of its constructor."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field

from rankloom import signature_schema
from rankloom.fusion import fuse, interpolate, rrf
from rankloom.language_models import words as model_words
from rankloom.parameter_kinds import HoldsModel, HoldsSteps
from rankloom.registry import stage_class, stage_words
from rankloom.signature_schema import Mark, marked, marks, signature_model
from rankloom.stage import Stage

#: Words that take `inputs:`, a list of pipelines, besides their keyword parameters.
FUSIONS: dict[str, Callable[..., Stage]] = {"interpolate": interpolate, "rrf": rrf, "fuse": fuse}
#: Objects, which YAML can not hold; the builder gives them, or only Python can.
_GIVEN = frozenset({"corpus", "session", "retriever", "index", "encoder", "sentences", "qrels"})
#: Those of them that a collection knows, and what they are called; stages that only judgements can tell what to do.
LABELS = {"sentences": "labels of sentences", "qrels": "judgements"}


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
    make = builder(word)
    if word not in FUSIONS:
        return signature_model(word, make, without=_GIVEN)
    named = inspect.signature(make).parameters.values()
    positional = [one.name for one in named if one.kind is not inspect.Parameter.KEYWORD_ONLY]
    return signature_model(word, make, without={*_GIVEN, *positional}, first={"inputs": _inputs(make)})


def _inputs(fusion: Callable[..., Stage]) -> Any:
    """The type of `inputs`: as many as the fusion has positional parameters, or one or more."""
    kinds = [parameter.kind for parameter in inspect.signature(fusion).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return Annotated[list[Any], Field(min_length=1)]
    count = kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return Annotated[list[Any], Field(min_length=count, max_length=count)]


def labels_read(word: str) -> list[str]:
    """Which of `LABELS` the stage is to be given."""
    return [name for name in LABELS if name in inspect.signature(stage_class(word)).parameters]


def inner_parameters(word: str) -> tuple[str, ...]:
    """The parameters of a word that hold steps, besides the `inputs` of a fusion."""
    return marked(parameters(word), HoldsSteps())


def model_parameters(word: str) -> tuple[str, ...]:
    """The parameters of a word that hold a language model."""
    return marked(parameters(word), HoldsModel())


def kinds(word: str) -> dict[str, Mark]:
    """The parameters of a word that name models, files or folders."""
    return marks(parameters(word))


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
    found = signature_schema.located(parameters(word), values, folder, stage=word)
    for name in model_parameters(word):
        if isinstance(found.get(name), Mapping):
            found[name] = model_words.located(found[name], folder)
    return found


def first_parameter(word: str) -> str | None:
    """The parameter that a bare value is for: `{top: 100}` means `{top: {k: 100}}`."""
    return next(iter(parameters(word).model_fields), None)


def stage_schema() -> dict[str, Any]:
    """The JSON schema of every stage, by its word."""
    words = sorted({*stage_words(), *FUSIONS})
    return {word: parameters(word).model_json_schema() for word in words}
