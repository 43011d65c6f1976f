"""The YAML of a recipe for a query encoder that reads feedback documents."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rankloom.encoders import DEFAULT_MODEL
from rankloom.eval.strict import Strict
from rankloom.prf.feedback_layout import FeedbackLayout, Pooled
from rankloom.training.contrastive_config import LowRank, MinedRecipe


class TrainedFeedbackEncoder(Strict):
    """The encoder that is trained; see `rankloom.prf.feedback_layout.FeedbackLayout`.

    Args:
        model: The sentence encoder that it starts from: a name, or a folder. Its document vectors are what it is
            trained for; they are computed once and stay as they are.
        docs: Feedback documents, 3 as published. The trained encoder reads no other number.
        max_tokens: Length of the sequence; 512 as published.
        document_tokens: Tokens that are read of each document; none reads as many as there is room for, as published.
        pooled: Whose token vectors are pooled: of `all` tokens, as published, or of the `query`, so that an encoder
            which takes the mean begins near what it makes of the query alone.
        lora: Train low-rank changes and leave an adapter; none trains all weights and leaves a whole model.
    """

    model: str = DEFAULT_MODEL
    docs: int = Field(default=3, ge=1)
    max_tokens: int = Field(default=512, ge=8)
    document_tokens: int | None = Field(default=None, ge=1)
    pooled: Pooled = "all"
    lora: LowRank | None = LowRank()

    def layout(self) -> FeedbackLayout:
        """What it reads."""
        return FeedbackLayout(self.docs, self.max_tokens, self.document_tokens, pooled=self.pooled)


class FeedbackContrast(Strict):
    """The loss: the relevant document is told from negatives by a softmax over similarities.

    Args:
        temperature: What similarities are divided by; 0.05 suits cosines. Inner products of ANCE's kind want 1.
        in_batch: Whether the other queries' documents are negatives too.
    """

    temperature: float = Field(default=0.05, gt=0)
    in_batch: bool = True


class PrfRecipe(MinedRecipe):
    """A recipe for a query encoder that reads the query and its best documents (ANCE-PRF).

    Args:
        kind: `prf`.
        encoder: What is trained.
        loss: By what.
        hide_positives: Share of the training queries that do not see their own relevant documents among the feedback.
            0 as published: then the label stands in the input wherever the first stage has found it, as in use, and
            more often than in use if the first stage was trained on the same queries.
    """

    kind: Literal["prf"]
    encoder: TrainedFeedbackEncoder = TrainedFeedbackEncoder()
    loss: FeedbackContrast = FeedbackContrast()
    hide_positives: float = Field(default=0.0, ge=0, le=1)
