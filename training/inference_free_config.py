"""The YAML of a recipe for an inference-free sparse retriever."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rankloom.encoders import DEFAULT_MODEL
from rankloom.eval.strict import Strict
from rankloom.training.recipe_config import TaughtRecipe

LossName = Literal["kl", "margin_mse", "info_nce"]


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


class InferenceFreeRecipe(TaughtRecipe):
    """A recipe for an inference-free sparse retriever.

    Args:
        kind: `inference_free`.
        student: What is trained.
        loss: Name of a loss -> its share.
        penalty: On the length of documents.
    """

    kind: Literal["inference_free"]
    student: Student = Student()
    loss: dict[LossName, float] = Field(default={"kl": 1.0})
    penalty: Penalty = Penalty()
