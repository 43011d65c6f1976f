"""Recipes of every kind: the table of kinds, reading a recipe, carrying it out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from rankloom.config import PipelineBuilder
from rankloom.errors import ConfigError, nearest
from rankloom.session import Session
from rankloom.training.contrastive_config import ContrastiveRecipe
from rankloom.training.cross_encoder_config import CrossEncoderRecipe
from rankloom.training.distillation_config import DistillationRecipe
from rankloom.training.duo_config import DuoRecipe
from rankloom.training.idcm_config import IDCMRecipe
from rankloom.training.inference_free_config import InferenceFreeRecipe
from rankloom.training.multi_vector_config import MultiVectorRecipe
from rankloom.training.pg_rank_config import PgRankRecipe
from rankloom.training.pretraining_config import PretrainingRecipe
from rankloom.training.prf_config import PrfRecipe
from rankloom.training.provence_config import ProvenceRecipe
from rankloom.training.rank_r1_config import RankR1Recipe
from rankloom.training.recipe_config import Recipe
from rankloom.training.training_folder import Trained
from rankloom.yaml_file import Locations, Place, apply_overrides, read_yaml


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of recipe.

    Args:
        recipe: What its YAML may say.
        module: Where its `train(recipe, session, *, output) -> Trained` is; imported when it is carried out.
    """

    recipe: type[Recipe]
    module: str


KINDS = {
    "contrastive": Kind(ContrastiveRecipe, "rankloom.training.contrastive"),
    "cross_encoder": Kind(CrossEncoderRecipe, "rankloom.training.cross_encoder"),
    "distillation": Kind(DistillationRecipe, "rankloom.training.distillation_recipe"),
    "duo": Kind(DuoRecipe, "rankloom.training.duo"),
    "idcm": Kind(IDCMRecipe, "rankloom.training.idcm"),
    "inference_free": Kind(InferenceFreeRecipe, "rankloom.training.inference_free"),
    "multi_vector": Kind(MultiVectorRecipe, "rankloom.training.multi_vector"),
    "pg_rank": Kind(PgRankRecipe, "rankloom.training.pg_rank"),
    "prf": Kind(PrfRecipe, "rankloom.training.prf"),
    "pretraining": Kind(PretrainingRecipe, "rankloom.training.pretraining"),
    "provence": Kind(ProvenceRecipe, "rankloom.training.provence"),
    "rank_r1": Kind(RankR1Recipe, "rankloom.training.rank_r1"),
}


def read_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe of any kind.

    Args:
        path: The YAML file; its `kind` tells what it may say.
        overrides: Assignments such as `training.steps=100`.

    Returns:
        An instance of the kind's own class.

    Raises:
        NotFoundError: There is no such file.
        ConfigError: All that is wrong with its types, each with file and line; or a pipeline that can not be made.
    """
    read, locations = read_yaml(path)
    values = apply_overrides(read, list(overrides))
    recipe_class = _kind(values, locations).recipe
    try:
        recipe = recipe_class.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(_problem(one, recipe_class, locations) for one in error.errors())) from None
    recipe.check(PipelineBuilder({}, locations=locations))
    return recipe


def carry_out(recipe: Recipe, session: Session, *, output: Path) -> Trained:
    """Train by a recipe, or go on with what was begun.

    Args:
        recipe: What to do.
        session: Where indexes and examples are kept, and whether the network may be used.
        output: Folder of checkpoints, the model and the manifest.

    Raises:
        NotFoundError: A source or a model is not there.
        DataError: The sources give nothing to learn from, or the folder holds the training of another recipe.
        MissingExtraError: The extra `train` is not installed.
    """
    trained: Trained = import_module(KINDS[recipe.kind].module).train(recipe, session, output=output)
    return trained


def _kind(values: dict[str, Any], locations: Locations) -> Kind:
    """The kind that a recipe names."""
    named = values.get("kind")
    if isinstance(named, str) and named in KINDS:
        return KINDS[named]
    close = nearest(str(named), KINDS)
    raise ConfigError(
        f"{locations.where(('kind',))}: a recipe needs a `kind`",
        value=named,
        accepted=", ".join(KINDS),
        fix=f"did you mean {close!r}?" if close else None,
    )


def _problem(error: Any, recipe_class: type[Recipe], locations: Locations) -> str:
    """One thing that is wrong, with file and line."""
    place = tuple(error["loc"])
    name = ".".join(map(str, place))
    where = locations.where(place)
    if error["type"] == "extra_forbidden":
        close = nearest(str(place[-1]), _names(recipe_class, place[:-1]))
        return f"{where}: there is no {name!r}" + (f"; did you mean {close!r}?" if close else "")
    return f"{where}: {name}: {error['msg']}; got {error['input']!r}"


def _names(part: type[BaseModel], place: Place) -> list[str]:
    """What may stand at a place of a recipe."""
    for step in place:
        if step in part.model_fields:  # numbers of a list stand for the model that the list is of
            part = next(_models(part.model_fields[str(step)].annotation), part)
    return list(part.model_fields)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)
