"""The YAML of recipes that train by contrast with hard negatives, and of the one for a sentence encoder."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from rankloom.config import PipelineBuilder
from rankloom.encoders import DEFAULT_MODEL
from rankloom.errors import ConfigError
from rankloom.eval.strict import Strict
from rankloom.session import DType
from rankloom.training.recipe_config import Recipe, TrainingSource


class LowRank(Strict):
    """Low-rank changes, which are all that is trained then, and are merged into the model at the end.

    Hu et al.: LoRA, ICLR 2022 (arXiv:2106.09685).

    Args:
        rank: Of the changes to each matrix.
        alpha: The changes count alpha / rank.
        modules: Ends of the names of the matrices that are changed; BERT's by default.
        layers: How many layers are changed, from the top; all by default.
    """

    rank: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    layers: int | None = Field(default=None, ge=1)
    modules: list[str] = Field(default=["query", "key", "value", "dense"], min_length=1)


class TrainedEncoder(Strict):
    """The encoder that is trained.

    Args:
        model: A sentence encoder: a name, or a folder.
        max_tokens: Tokens of a text that training reads; the trained encoder reads as many as before.
        lora: Train low-rank changes instead of all weights.
    """

    model: str = DEFAULT_MODEL
    max_tokens: int = Field(default=128, ge=8)
    lora: LowRank | None = None


class Contrast(Strict):
    """The loss: the relevant document is told from all others of the batch.

    Args:
        temperature: What similarities are divided by before the softmax; 0.05 as in sentence-transformers.
        mini_batch: Texts that are encoded at once; the batch may then be larger than memory (GradCache, Gao et al.,
            2021, arXiv:2101.06983). By default a batch is encoded whole.
    """

    temperature: float = Field(default=0.05, gt=0)
    mini_batch: int | None = Field(default=None, ge=1)


class Negatives(Strict):
    """Where hard negatives come from, and which of them are none.

    A relevant document of the query is no negative, nor is one with the text of a relevant document. With a judge, nor
    is one that the judge finds nearly as good as the relevant one: NV-Retriever's TopK-PercPos (Moreira et al., 2024,
    arXiv:2407.15831). What was judged irrelevant stays, whatever the judge says.

    Args:
        pipeline: Finds candidates.
        ranks: The first and the last rank that negatives are drawn from.
        count: Negatives of each example; at random from the corpus where too few are found.
        positives: Relevant documents of each query that make an example, those of the best grades first.
        judge: Steps that score the candidates anew: a reranker, or a retriever that goes deep. None: no filter.
        share: A negative's score is at most this share of the relevant document's.
        margin: And at least this much below it.
        pool: Candidates of each held-out query that measuring looks among, beside ten relevant documents at most.
        dtype: Numbers that models compute with here.
    """

    pipeline: Any
    ranks: list[int] = Field(default=[1, 50], min_length=2, max_length=2)
    count: int = Field(default=1, ge=0)
    positives: int = Field(default=1, ge=1)
    judge: Any = None
    share: float = Field(default=0.95, gt=0, le=1)
    margin: float = Field(default=0.0, ge=0)
    pool: int = Field(default=20, ge=1)
    dtype: DType = "float32"

    @model_validator(mode="after")
    def _window(self) -> Self:
        """The window has a rank in it."""
        if not 1 <= self.ranks[0] <= self.ranks[1]:
            raise ValueError("`ranks` are a first and a last rank, from 1")
        return self

    def check(self, builder: PipelineBuilder) -> None:
        """Check the pipelines.

        Raises:
            ConfigError: With file and line.
        """
        builder.check(self.pipeline, at=("negatives", "pipeline"))
        if self.judge is None:
            return
        try:
            builder.check([self.pipeline, self.judge], at=("negatives", "judge"))
        except ConfigError:  # it is no reranker; a retriever starts anew
            builder.check(self.judge, at=("negatives", "judge"))


class EncoderRecipe(Recipe):
    """What recipes that train a sentence encoder on queries and documents share.

    Args:
        encoder: What is trained.
        loss: By what.
    """

    encoder: TrainedEncoder = TrainedEncoder()
    loss: Contrast = Contrast()


class MiningRecipe(Recipe):
    """What recipes with mined negatives share, whatever their sources are.

    Args:
        negatives: Where hard negatives come from.
    """

    negatives: Negatives

    def check(self, builder: PipelineBuilder) -> None:
        """Check the pipelines."""
        self.negatives.check(builder)


class MinedRecipe(MiningRecipe):
    """What recipes that learn from judged queries with mined negatives share.

    Args:
        sources: What is trained on.
    """

    sources: list[TrainingSource] = Field(min_length=1)


class ContrastiveRecipe(MinedRecipe, EncoderRecipe):
    """A recipe for a sentence encoder, fine-tuned on judged queries.

    Args:
        kind: `contrastive`.
    """

    kind: Literal["contrastive"]
