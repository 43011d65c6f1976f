"""The YAML of a recipe for a cross-encoder, trained on judged queries with mined negatives."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

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


class CrossEncoderRecipe(MinedRecipe):
    """A recipe for a cross-encoder.

    Args:
        kind: `cross_encoder`.
        encoder: What is trained.
        loss: By what it learns to put the relevant document of a query before its negatives. `softmax`: cross entropy
            over them (LCE; Gao et al.: Rethink Training of BERT Rerankers in Multi-Stage Retrieval Pipeline, ECIR 2021,
            arXiv:2101.08751). `ranknet`, `listnet` and `lambda` (LambdaLoss) are those of sentence-transformers.
            `pg_rank` is for a cross-encoder that ranks already; see `rankloom.training.plackett_luce`.
    """

    kind: Literal["cross_encoder"]
    encoder: TrainedCrossEncoder = TrainedCrossEncoder()
    loss: PairLoss = "softmax"
