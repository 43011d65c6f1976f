"""The YAML of a recipe for a multi-vector encoder whose vectors are reduced while it is trained."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from rankloom.encoders import DEFAULT_MODEL
from rankloom.errors import UsageError
from rankloom.eval.strict import Strict
from rankloom.reduction import reductions
from rankloom.training.contrastive_config import Contrast, LowRank, MinedRecipe


class TrainedTokenEncoder(Strict):
    """The encoder that is trained; see `rankloom.token_layout.TokenLayout`.

    Args:
        model: The sentence encoder whose transformer it starts from: a name, or a folder.
        dimensions: Of a token's vector, by a linear projection; none keeps the transformer's.
        query_tokens: How many are read of a query.
        document_tokens: How many are read of a document.
        expand_queries: Whether queries are filled up to `query_tokens` with [MASK].
        skip_punctuation: Whether documents have no vectors for punctuation.
        query_prefix: What stands before a query; by default what the sentence encoder wants there.
        document_prefix: What stands before a document; by default what the sentence encoder wants there.
        lora: Train low-rank changes and leave an adapter; none trains all weights and leaves a whole model.
        start: Documents that the projection is started with; see `rankloom.training.projection_start`.
    """

    model: str = DEFAULT_MODEL
    dimensions: int | None = Field(default=128, ge=2)
    query_tokens: int = Field(default=32, ge=4)
    document_tokens: int = Field(default=180, ge=8)
    expand_queries: bool = False
    skip_punctuation: bool = True
    query_prefix: str | None = None
    document_prefix: str | None = None
    lora: LowRank | None = LowRank()
    start: int = Field(default=512, ge=1)


class MultiVectorRecipe(MinedRecipe):
    """A recipe for a multi-vector encoder, trained on judged queries.

    Args:
        kind: `multi_vector`.
        encoder: What is trained.
        reduction: What becomes of the vectors of queries and documents in every step, in measuring, and by default in
            the trained model; see `rankloom.reduction`. `C8x32` is CRISP's; `none` trains an ordinary ColBERT.
        loss: By what. A score is MaxSim divided by the number of the query's vectors, so that a temperature means the
            same whatever the reduction.
    """

    kind: Literal["multi_vector"]
    encoder: TrainedTokenEncoder = TrainedTokenEncoder()
    reduction: str = "none"
    loss: Contrast = Contrast()

    @field_validator("reduction")
    @classmethod
    def _known(cls, word: str) -> str:
        """The reduction's name as it is always written."""
        try:
            return reductions(word).name
        except UsageError as error:
            raise ValueError(str(error)) from None
