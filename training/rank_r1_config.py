"""The YAML of a recipe that teaches a language model to think before it chooses a passage (Rank-R1)."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from rankloom.config import PipelineBuilder
from rankloom.errors import ConfigError
from rankloom.eval.strict import Strict
from rankloom.rerank.llm.template import Template, load_template
from rankloom.training.contrastive_config import MinedRecipe


class TrainedLanguageModel(Strict):
    """The language model that is trained, by low-rank changes.

    Args:
        model: A causal language model: a folder, or a name on the hub.
        rank: Of the changes to each matrix; this and the next two as published.
        alpha: The changes count alpha / rank.
        dropout: Of what the changes read.
        modules: Ends of the names of the matrices that are changed. The published 3B, 7B and 14B models changed those
            of queries and values.
        template_options: What the chat template is told besides; to be told to `local` as well.
    """

    model: str = "Qwen/Qwen2.5-3B-Instruct"
    rank: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.05, ge=0, lt=1)
    modules: list[str] = Field(default=["q_proj", "v_proj"], min_length=1)
    template_options: dict[str, Any] = Field(default_factory=dict)


class Asked(Strict):
    """What the model is shown, as `setwise` shows it.

    Args:
        prompt: `rank_r1`, or the path of a template with tagged answers; see `rankloom.rerank.llm.template`.
        passage_words: Words that are shown of a passage; as many as `setwise` will show.
        max_tokens: Of a prompt, 4096 as published. Examples with a longer one are left out, never cut, and counted.
    """

    prompt: str = "rank_r1"
    passage_words: int = Field(default=80, ge=1)
    max_tokens: int = Field(default=4096, ge=1)


class GroupRelative(Strict):
    """Group relative policy optimisation (GRPO), by trl.

    Shao et al.: DeepSeekMath, 2024 (arXiv:2402.03300).

    Args:
        samples: Outputs of each prompt, whose rewards are compared; 8 as published.
        max_tokens: Of an output; 2048 as published.
        temperature: Of the draws; 0.9 was what trl drew by when Rank-R1 was published, whose second version has 1.2.
        beta: Weight of the divergence from the model that training starts from; 0.04 was what trl had then, the second
            version has 0.001.
        at_once: Outputs that are learnt from together; the memory they need sets it. All outputs of a step are written
            together.
    """

    samples: int = Field(default=8, ge=2)
    max_tokens: int = Field(default=2048, ge=1)
    temperature: float = Field(default=0.9, gt=0)
    beta: float = Field(default=0.04, ge=0)
    at_once: int = Field(default=8, ge=1)


class RankR1Recipe(MinedRecipe):
    """A recipe for Rank-R1.

    Each example shows a relevant document among `negatives.count` others, in an order drawn at random; published are up
    to 19. A step takes `training.queries` examples.

    Args:
        kind: `rank_r1`.
        model: What is trained.
        asked: What it is shown.
        loss: By what.
        measured: How many examples of held-out queries it is measured on before and after, at most.
    """

    kind: Literal["rank_r1"]
    model: TrainedLanguageModel = TrainedLanguageModel()
    asked: Asked = Asked()
    loss: GroupRelative = GroupRelative()
    measured: int = Field(default=100, ge=0)

    @model_validator(mode="after")
    def _whole_parts(self) -> Self:
        """The outputs of a step fall into parts of the same size."""
        outputs = self.training.queries * self.loss.samples
        if outputs % self.loss.at_once:
            raise ValueError(f"`loss.at_once` has to divide the {outputs} outputs of a step")
        return self

    def check(self, builder: PipelineBuilder) -> None:
        """Check the pipelines, and that the prompt can be answered in tags."""
        super().check(builder)
        template = self.template()
        if not template.tagged or self.negatives.count + 1 > template.most:
            raise ConfigError(
                f"{builder.locations.where(('asked', 'prompt'))}: the prompt can not be learnt by",
                value=self.asked.prompt,
                accepted=f"one with tagged answers and labels for {self.negatives.count + 1} passages",
            )

    def template(self) -> Template:
        """The prompt."""
        return load_template(self.asked.prompt)
