"""The YAML of a training recipe as typed models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from rankloom.config import PipelineBuilder
from rankloom.encoders import DEFAULT_MODEL
from rankloom.errors import ConfigError, nearest
from rankloom.eval.strict import Strict
from rankloom.session import DType
from rankloom.training.distillation import SCALE
from rankloom.yaml_file import Locations, apply_overrides, read_yaml

LossName = Literal["kl", "margin_mse", "info_nce"]


class Pairs(Strict):
    """A file of records with a question and its answer.

    Args:
        file: JSON Lines, or a JSON array; relative to the data folder (RANKLOOM_DATA).
        query: The field of the query.
        document: The field of the document: a text, or a list of texts that are joined.
    """

    file: str
    query: str
    document: str


class TrainingSource(Strict):
    """Where queries and documents come from.

    Args:
        name: What to call it.
        licence: Under which texts and judgements may be used; written on the model card.
        collection: A collection with a training split, such as `scifact/train`.
        pairs: Or a file of pairs.
        limit: How many pairs are drawn; all by default.
        validation: How many of its queries are held out to measure on.
    """

    name: str
    licence: str
    collection: str | None = None
    pairs: Pairs | None = None
    limit: int | None = Field(default=None, ge=2)
    validation: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        """A source is a collection or a file."""
        if (self.collection is None) == (self.pairs is None):
            raise ValueError("a source is either a `collection` or `pairs`")
        if self.collection is not None and self.collection.rpartition("/")[2] in ("test", "dev"):
            raise ValueError("a test or development split is not to be trained on")
        return self


class Teachers(Strict):
    """Who says how relevant a document is.

    Args:
        stages: Name -> a stage or pipeline, as in an experiment.
        ensemble: The names of those whose scores are mixed.
        candidates: The pipeline that finds the documents of an example.
        documents: How many documents an example has.
        scale: What mixed scores are multiplied by.
        dtype: Numbers that neural teachers compute with; half precision takes a third of the time.
    """

    stages: dict[str, Any]
    ensemble: list[str] = Field(min_length=1)
    candidates: Any
    documents: int = Field(default=4, ge=2)
    scale: float = Field(default=SCALE, gt=0)
    dtype: DType = "bfloat16"


class Student(Strict):
    """What is trained; see `AdapterSettings` and `warm_start`.

    Args:
        backbone: A sentence encoder.
        rank: Of the low-rank changes.
        alpha: The changes count alpha / rank.
        layers: How many layers are changed, from the top.
        logs: Logarithms of a weight: 1 as in SPLADE, 2 as in OpenSearch's v3 models.
        warm_start: Texts that the head is started with.
        terms: About how many terms a token has at the start.
        max_tokens: Tokens of a document that training reads.
        score_scale: What its scores are multiplied by in losses.
    """

    backbone: str = DEFAULT_MODEL
    rank: int = Field(default=16, ge=0)
    alpha: int = Field(default=32, ge=1)
    layers: int = Field(default=3, ge=0)
    logs: Literal[1, 2] = 1
    warm_start: int = Field(default=256, ge=8)
    terms: int = Field(default=10, ge=1)
    max_tokens: int = Field(default=128, ge=8)
    score_scale: float = Field(default=0.1, gt=0)


class Penalty(Strict):
    """The pressure on documents to be sparse; see `rankloom.training.flops.IdfFlops`.

    Args:
        weight: Once it has grown.
        grows_for: Share of the steps over which it grows, with the square of the step.
        idf_power: 1 penalises frequent terms more, 0 is plain FLOPS of what terms contribute.
        threshold: Documents of no more terms are left alone (the l0 mask); none are by default.
        sample: Share of the vocabulary's terms, beside those of the batch, that a step computes.
    """

    weight: float = Field(default=0.002, ge=0)
    grows_for: float = Field(default=1 / 3, gt=0, le=1)
    idf_power: float = 1.0
    threshold: int | None = Field(default=None, ge=1)
    sample: float = Field(default=1.0, gt=0, le=1)


class Training(Strict):
    """How it is trained.

    Args:
        steps: Of the optimiser; 0 leaves the student as it is started.
        queries: In one step.
        learning_rate: The largest.
        warm_up: Share of the steps over which the rate grows; it falls to 0 along a line afterwards.
        checkpoint: Steps between checkpoints.
        device: `auto` uses a GPU when there is one.
        bfloat16: Whether products are computed in half precision.
    """

    steps: int = Field(ge=0)
    queries: int = Field(default=8, ge=2)
    learning_rate: float = Field(default=5e-4, gt=0)
    warm_up: float = Field(default=0.1, ge=0, lt=1)
    checkpoint: int = Field(default=50, ge=1)
    device: str = "auto"
    bfloat16: bool = True


class Recipe(Strict):
    """A recipe for an inference-free sparse retriever.

    Args:
        name: Of the model.
        output: Folder of what training leaves behind.
        seed: Of every draw.
        sources: What is trained on.
        teachers: What the student learns from.
        student: What is trained.
        loss: Name of a loss -> its share.
        penalty: On the length of documents.
        training: Steps, batches, rates.
    """

    name: str
    output: str
    seed: int = 7
    sources: list[TrainingSource] = Field(min_length=1)
    teachers: Teachers
    student: Student = Student()
    loss: dict[LossName, float] = Field(default={"kl": 1.0})
    penalty: Penalty = Penalty()
    training: Training


def read_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe.

    Args:
        path: The YAML file.
        overrides: Assignments such as `training.steps=100`.

    Raises:
        NotFoundError: There is no such file.
        ConfigError: All that is wrong with its types, each with file and line; or a pipeline that can not be made.
    """
    values, locations = read_yaml(path)
    try:
        recipe = Recipe.model_validate(apply_overrides(values, list(overrides)))
    except ValidationError as error:
        raise ConfigError("\n".join(_problem(one, locations) for one in error.errors())) from None
    builder = PipelineBuilder({}, locations=locations)
    for name in recipe.teachers.ensemble:
        if name not in recipe.teachers.stages:
            raise ConfigError(
                f"{locations.where(('teachers', 'ensemble'))}: there is no such teacher",
                value=name,
                accepted=", ".join(recipe.teachers.stages),
            )
        builder.check(recipe.teachers.stages[name], at=("teachers", "stages", name))
    builder.check(recipe.teachers.candidates, at=("teachers", "candidates"))
    return recipe


def _problem(error: Any, locations: Locations) -> str:
    """One thing that is wrong, with file and line."""
    place = tuple(error["loc"])
    name = ".".join(map(str, place))
    where = locations.where(place)
    if error["type"] == "extra_forbidden":
        close = nearest(str(place[-1]), _names(place[:-1]))
        return f"{where}: there is no {name!r}" + (f"; did you mean {close!r}?" if close else "")
    return f"{where}: {name}: {error['msg']}; got {error['input']!r}"


def _names(place: Sequence[str | int]) -> list[str]:
    """What may stand at a place of a recipe."""
    parts: dict[str, type[Strict]] = {
        "sources": TrainingSource,
        "teachers": Teachers,
        "student": Student,
        "penalty": Penalty,
        "training": Training,
    }
    return list((parts[str(place[0])] if place else Recipe).model_fields)
