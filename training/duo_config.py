"""The YAML of a recipe for a model that compares two documents, trained on judged queries with mined negatives."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from rankloom.training.contrastive_config import LowRank
from rankloom.training.cross_encoder_config import JudgeDistillation, PairRecipe, TrainedCrossEncoder


class TrainedDuo(TrainedCrossEncoder):
    """The model that is trained; see `TrainedCrossEncoder`. It is an adapter, which says that it compares.

    Args:
        max_tokens: Tokens that are read of a query and two documents together.
        lora: Low-rank changes, which are trained with the head.
        start: An adapter with the same sizes to go on from, also one of a cross-encoder.
    """

    max_tokens: int = Field(default=320, ge=16)
    lora: LowRank = LowRank()


class DuoRecipe(PairRecipe):
    """A recipe for a model of the stage `duo`.

    Args:
        kind: `duo`.
        encoder: What is trained.
        compared: Negatives of each example that its relevant document is compared with, the first of those mined. A
            step reads queries * compared * 2 pairs of documents, for each pair is read in both orders.
        judged: Learn from the scores of `negatives.judge` too: that share of what is to be told of a pair is the
            logistic function of the difference of its scores, over the temperature.
        depth: Documents of each held-out query that are measured, all against all.
    """

    kind: Literal["duo"]
    encoder: TrainedDuo = TrainedDuo()
    compared: int = Field(default=3, ge=1)
    judged: JudgeDistillation | None = None
    depth: int = Field(default=3, ge=2)

    @model_validator(mode="after")
    def _enough(self) -> Self:
        """So many negatives are mined, and scores to learn from are there."""
        if self.compared > self.negatives.count:
            raise ValueError("`compared` is more than `negatives.count`")
        if self.judged is not None and self.negatives.judge is None:
            raise ValueError("`judged` learns from `negatives.judge`, and there is none")
        return self
