"""What a constructor or a function may be told, as a typed model that is read off its signature.

Stages and the backends of language models are written in YAML by the same rules, which stand here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Unpack, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, WithJsonSchema, create_model

from rankloom.errors import NotFoundError
from rankloom.parameter_kinds import HoldsModel, HoldsSteps, NamesModel, NamesPath, NamesServer, NamesVariable, OrObject
from rankloom.yaml_file import find_beside, places_tried

Mark = NamesModel | NamesPath | NamesServer | NamesVariable
_ONE_WORD = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 1,
    "description": "a language model: the word of a backend, and what it is told; see `language_models`",
}


def signature_model(
    name: str, make: Callable[..., Any], *, without: Collection[str] = (), first: Mapping[str, Any] | None = None
) -> type[BaseModel]:
    """A typed model of what something may be told; unknown keys are refused.

    Args:
        name: What errors call it.
        make: A class, or a function.
        without: Parameters that are left out.
        first: More fields, which stand before those of the signature: name -> type.
    """
    fields: dict[str, Any] = {name: (kind, ...) for name, kind in (first or {}).items()}
    for key, parameter in inspect.signature(make, eval_str=True).parameters.items():
        if get_origin(parameter.annotation) is Unpack:  # a dictionary of parameters that several stages take
            fields |= {name: (kind, None) for name, kind in get_type_hints(*get_args(parameter.annotation)).items()}
            continue
        if key in without:
            continue
        required = parameter.default is inspect.Parameter.empty
        fields[key] = (_written(parameter.annotation), ... if required else parameter.default)
    config = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True, protected_namespaces=())
    return create_model(name.replace(":", "_"), __config__=config, **fields)


def _written(annotation: Any) -> Any:
    """The type of a parameter as it is written: stages and language models are made later, by the builder."""
    if annotation is inspect.Parameter.empty:
        return Any
    if HoldsSteps() in get_args(annotation):
        return Annotated[Any, HoldsSteps()]  # a step or a list of steps
    if HoldsModel() in get_args(annotation):
        return Annotated[Any, HoldsModel(), WithJsonSchema(_ONE_WORD)]
    if OrObject() in get_args(annotation):
        return str
    return annotation


def marked(model: type[BaseModel], mark: object) -> tuple[str, ...]:
    """The parameters that bear a mark."""
    return tuple(name for name, field in model.model_fields.items() if mark in field.metadata)


def marks(model: type[BaseModel]) -> dict[str, Mark]:
    """The parameters that name models, files, servers or variables."""
    return {
        name: mark for name, field in model.model_fields.items() for mark in field.metadata if isinstance(mark, Mark)
    }


def located(model: type[BaseModel], values: Mapping[str, Any], folder: Path, *, stage: str) -> dict[str, Any]:
    """Parameters, those that name files or models as they are found from the folder of the configuration.

    What is in neither place stays as it is written, where it may be a name.

    Args:
        model: The types of the parameters.
        values: The parameters.
        folder: The folder of the file that holds them.
        stage: Whose they are, for errors.

    Raises:
        NotFoundError: A file or folder is in neither place; names both.
        ConfigError: Something is in both places.
    """
    found = dict(values)
    for name, mark in marks(model).items():
        value = values.get(name)
        if not isinstance(mark, NamesModel | NamesPath) or value in (None, model.model_fields[name].default):
            continue
        path = find_beside(str(value), folder)
        if path is not None:
            found[name] = str(path)
        elif isinstance(mark, NamesPath) and not (mark.or_name or mark.new):
            raise NotFoundError(
                f"there is no such file or folder; looked for: {places_tried(str(value), folder)}",
                stage=stage,
                value=str(value),
            )
    return found
