"""The YAML of a recipe that trains a ranker for nDCG by policy gradient (Neural PG-RANK)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rankloom.eval.strict import Strict
from rankloom.training.contrastive_config import MinedRecipe, TrainedEncoder


class RankingBiEncoder(TrainedEncoder):
    """A sentence encoder: a document's score is the similarity of two vectors.

    Args:
        architecture: `bi_encoder`.
        temperature: What scores are divided by before they make a policy; 0.05 suits cosines. The higher it is, the
            more the rankings that are drawn differ from the one by score.
    """

    architecture: Literal["bi_encoder"]
    temperature: float = Field(default=0.05, gt=0)


class RankingCrossEncoder(Strict):
    """A cross-encoder, which reads a query and a document together.

    Args:
        architecture: `cross_encoder`.
        model: One that ranks already: an adapter of `rankloom train`, whose changes and head are trained further and
            which leaves an adapter; or a model of sentence-transformers, all of whose weights are.
        temperature: What scores are divided by before they make a policy; 1 suits logits.
    """

    architecture: Literal["cross_encoder"]
    model: str
    temperature: float = Field(default=1.0, gt=0)


class PolicyGradient(Strict):
    """The loss; see `rankloom.training.plackett_luce`.

    Args:
        samples: Rankings drawn of each list; the default is ours.
        k: Depth of the nDCG that is learnt; 10 as in the paper.
    """

    samples: int = Field(default=16, ge=2)
    k: int = Field(default=10, ge=1)


class PgRankRecipe(MinedRecipe):
    """A recipe for a ranker that ranks already, trained further for nDCG itself.

    Each query makes one list, of `negatives.positives` relevant documents at most and of negatives up to
    `negatives.count` + 1 documents.

    Args:
        kind: `pg_rank`.
        encoder: What is trained.
        loss: By what.
    """

    kind: Literal["pg_rank"]
    encoder: Annotated[RankingBiEncoder | RankingCrossEncoder, Field(discriminator="architecture")]
    loss: PolicyGradient = PolicyGradient()

    @model_validator(mode="after")
    def _something_to_order(self) -> Self:
        """A list holds a document that is not relevant."""
        if not self.negatives.positives <= self.negatives.count:
            raise ValueError("`negatives.positives` are at most `negatives.count`, so that a list holds a negative")
        return self
