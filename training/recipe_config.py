"""What recipes of every kind share: sources, teachers, and how long is trained, as typed models."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from rankloom.config import PipelineBuilder
from rankloom.errors import ConfigError
from rankloom.eval.strict import Strict
from rankloom.session import DType
from rankloom.training.distillation import SCALE

#: Names of splits that are measured on: `dev`, `dev-small`, `validation`.
_NOT_TRAINED_ON = re.compile(r"(test|dev|val|valid|validation|development|eval)([-_.].*)?", re.IGNORECASE)


class Pairs(Strict):
    """A file of records with a question and its answer.

    Args:
        file: JSON Lines, or a JSON array; relative to the data folder (RANKLOOM_DATA).
        query: The field of the query; `question.text` is the field `text` of the record in `question`.
        document: The field of the document: a text, or a list of texts that are joined. A name after a list is that of
            a field of all its records: `evidence.text`.
    """

    file: str
    query: str
    document: str


class Source(Strict):
    """What sources of all kinds say.

    Args:
        name: What to call it.
        licence: Under which texts and judgements may be used; written on the model card.
        limit: How many queries are drawn; all by default. Those that ask the same are one.
        validation: How many of its queries are held out to measure on.
    """

    name: str
    licence: str
    limit: int | None = Field(default=None, ge=2)
    validation: int = Field(default=0, ge=0)


class TrainingSource(Source):
    """Where queries and documents come from.

    Args:
        collection: A collection with a training split, such as `scifact/train`.
        pairs: Or a file of pairs.
    """

    collection: str | None = None
    pairs: Pairs | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        """A source is a collection or a file."""
        if (self.collection is None) == (self.pairs is None):
            raise ValueError("a source is either a `collection` or `pairs`")
        named, _, after_folder = (self.collection or "").partition(":")
        split = [after_folder] if after_folder else named.split("/")[1:][-2:]  # of two parts in `dev/small`
        if any(measured_on(part) for part in split):
            raise ValueError("a test or development split is not to be trained on")
        return self


def measured_on(split: str) -> bool:
    """Whether a split is one to measure on, by its name: such as `test`, `dev`, or `validation`."""
    return _NOT_TRAINED_ON.fullmatch(split) is not None


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

    def check(self, builder: PipelineBuilder) -> None:
        """Refuse an ensemble of unknown teachers, and pipelines that can not be made.

        Raises:
            ConfigError: With file and line.
        """
        for name in self.ensemble:
            if name not in self.stages:
                raise ConfigError(
                    f"{builder.locations.where(('teachers', 'ensemble'))}: there is no such teacher",
                    value=name,
                    accepted=", ".join(self.stages),
                )
        for name, stage in self.stages.items():
            builder.check(stage, at=("teachers", "stages", name))
        builder.check(self.candidates, at=("teachers", "candidates"))


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
    """What every recipe says; each kind adds its own.

    Args:
        kind: One of `rankloom.training.recipes.KINDS`.
        name: Of the model.
        output: Folder of what training leaves behind.
        seed: Of every draw.
        training: Steps, batches, rates.
    """

    kind: str
    name: str
    output: str
    seed: int = 7
    training: Training

    def check(self, builder: PipelineBuilder) -> None:
        """Check what types do not tell, such as the pipelines that a kind names.

        Args:
            builder: Checks pipelines, and knows the lines of the file.

        Raises:
            ConfigError: With file and line.
        """


class TaughtRecipe(Recipe):
    """What recipes with teachers say.

    Args:
        sources: What is trained on.
        teachers: What the student learns from.
    """

    #: Whether an example's documents after the first are negatives, so that none may be known to be relevant.
    negatives: ClassVar[bool] = False

    sources: list[TrainingSource] = Field(min_length=1)
    teachers: Teachers

    def check(self, builder: PipelineBuilder) -> None:
        """Check the teachers."""
        self.teachers.check(builder)
