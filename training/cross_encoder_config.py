"""The YAML of a recipe for a cross-encoder, trained on judged queries with mined negatives."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from rankloom.encoders import DEFAULT_MODEL
from rankloom.eval.strict import Strict
from rankloom.training.contrastive_config import LowRank, MinedRecipe

PairLoss = Literal["softmax", "ranknet", "listnet", "lambda", "pg_rank"]


class TrainedCrossEncoder(Strict):
    """The cross-encoder that is trained.

    Args:
        model: The sentence encoder whose transformer it starts from: a name, or a folder. Its head begins at random.
        max_tokens: Tokens that are read of a query and a document together.
        lora: Train low-rank changes and the head, and leave an adapter; none trains all weights and leaves a whole
            model.
        start: An adapter of an earlier training with the same sizes, to go on from; none begins anew.
    """

    model: str = DEFAULT_MODEL
    max_tokens: int = Field(default=256, ge=16)
    lora: LowRank | None = LowRank()
    start: str | None = None


class JudgeDistillation(Strict):
    """Learning from the judge of negatives too: how it weighs the documents of a query against each other.

    Hinton et al.: Distilling the Knowledge in a Neural Network, 2015 (arXiv:1503.02531). Where the judge is the model
    that training starts from, training keeps what that model knows of queries which are unlike those trained on.

    Args:
        share: Of the loss; the rest is learnt from which document is relevant.
        temperature: What the judge's scores are divided by before the softmax. 0.05 suits cosines:
            sentence-transformers trains by the same.
    """

    share: float = Field(default=0.5, gt=0, lt=1)
    temperature: float = Field(default=0.05, gt=0)


class PairRecipe(MinedRecipe):
    """What recipes for models that read a query and documents share.

    Args:
        encoder: What is trained.
    """

    encoder: TrainedCrossEncoder = TrainedCrossEncoder()


class CrossEncoderRecipe(PairRecipe):
    """A recipe for a cross-encoder.

    Args:
        kind: `cross_encoder`.
        loss: By what it learns to put the relevant document of a query before its negatives. `softmax`: cross entropy
            over them (LCE; Gao et al.: Rethink Training of BERT Rerankers in Multi-Stage Retrieval Pipeline, ECIR 2021,
            arXiv:2101.08751). `ranknet`, `listnet` and `lambda` (LambdaLoss) are those of sentence-transformers.
            `pg_rank` is for a cross-encoder that ranks already; see `rankloom.training.plackett_luce`.
        judged: Learn from the scores of `negatives.judge` beside the loss, which is `softmax` or `pg_rank` then.
    """

    kind: Literal["cross_encoder"]
    loss: PairLoss = "softmax"
    judged: JudgeDistillation | None = None

    @model_validator(mode="after")
    def _has_judge(self) -> Self:
        """Scores to learn from are there, and a loss that goes with them."""
        if self.judged is not None and self.negatives.judge is None:
            raise ValueError("`judged` learns from `negatives.judge`, and there is none")
        if self.judged is not None and self.loss not in ("softmax", "pg_rank"):
            raise ValueError("`judged` goes with the losses `softmax` and `pg_rank`")
        return self
