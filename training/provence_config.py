"""The YAML of a recipe for a Provence model, which learns to rerank and to prune from texts with labelled sentences."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from rankloom.eval.strict import Strict
from rankloom.provence_adapter import Rounding
from rankloom.training.contrastive_config import LowRank, MiningRecipe
from rankloom.training.cross_encoder_config import TrainedCrossEncoder
from rankloom.training.recipe_config import Source, measured_on

Trains = Literal["joint", "pruning", "ranking"]
Ignored = Literal["padding", "none"]


class LabelledSource(Source):
    """Where texts come from whose sentences are labelled, by people or by a model.

    Args:
        labelled: A file, or a split of one, that `rankloom.eval.labelled_sentences` reads, such as
            `scifact-rationales.jsonl/train`. Questions that other splits of the file ask too are left out and counted.
    """

    labelled: str

    @model_validator(mode="after")
    def _to_be_trained_on(self) -> Self:
        """No split that is measured on."""
        if measured_on(self.labelled.rpartition("/")[2]):
            raise ValueError("a test or development split is not to be trained on")
        return self


class TrainedProvence(TrainedCrossEncoder):
    """The model that is trained; see `TrainedCrossEncoder`. It is an adapter.

    Args:
        lora: Low-rank changes, which are trained with both heads.
        start: An adapter of a cross-encoder with the same sizes and `max_tokens` to go on from. It keeps its place as a
            reranker, if it is the teacher. Questions that it was trained on, as its manifest tells, are not held out.
        below_last: The second head reads what goes into the last layer, so that pruning costs hardly more than
            reranking alone; the paper's reads what comes out of it.
        rounding: How its probabilities are to be read, unless the stage is told otherwise.
    """

    lora: LowRank = LowRank()
    below_last: bool = True
    rounding: Rounding = "decision"


class Passages(Strict):
    """Which passages are drawn from a text; no two of them alike for one question.

    Args:
        longest: A drawn passage has 1 to so many sentences that follow one another. 10 as in the paper.
        around: Passages of each text with relevant sentences that hold at least one of them.
        anywhere: Passages of each text from anywhere in it.
        beginning: Whether the beginning of each text is one, as far as the model reads: what it scores as a reranker.
    """

    longest: int = Field(default=10, ge=1)
    around: int = Field(default=1, ge=0)
    anywhere: int = Field(default=1, ge=0)
    beginning: bool = True

    @model_validator(mode="after")
    def _some(self) -> Self:
        """At least one is taken."""
        if not (self.around or self.anywhere or self.beginning):
            raise ValueError("no passage is taken of any text")
        return self


class JointLoss(Strict):
    """Cross entropy of each token being kept, and the squared error of the score from the teacher's.

    Args:
        trains: `joint`: the first plus `weight` times the second; `pruning`: the first alone; `ranking`: the second
            alone.
        weight: 0.05 as in the paper; 0 is 0.
        ignore: Tokens that do not count in the cross entropy. `padding`: those that fill a batch up. `none`: all count,
            as in the paper, where texts are filled up to 512 tokens; then what is learnt depends on their number.
    """

    trains: Trains = "joint"
    weight: float = Field(default=0.05, ge=0)
    ignore: Ignored = "padding"

    @property
    def needs_teacher(self) -> bool:
        """Whether scores are learnt."""
        return self.trains == "ranking" or (self.trains == "joint" and self.weight > 0)


class ProvenceRecipe(MiningRecipe):
    """A recipe for a model of the stage `provence`.

    A step reads `training.queries` passages, each with its question.

    Args:
        kind: `provence`.
        sources: Texts with labelled sentences.
        passages: What is read of them. Of a mined negative one passage is read, from its beginning or from anywhere.
        encoder: What is trained.
        teacher: A model of the stage `cross_encoder`; default: the adapter that training starts from.
        loss: By what it learns.
        keeps: The share of relevant sentences that is to be kept. The adapter's threshold becomes the largest at which
            so many of those in held-out texts are; if none of them is labelled, it is the stage's default.
    """

    kind: Literal["provence"]
    sources: list[LabelledSource] = Field(min_length=1)
    passages: Passages = Passages()
    encoder: TrainedProvence = TrainedProvence()
    teacher: str | None = None
    loss: JointLoss = JointLoss()
    keeps: float = Field(default=0.95, ge=0, le=1)

    @property
    def taught_by(self) -> str | None:
        """The teacher's model; None if there is none or it is not needed."""
        return (self.teacher or self.encoder.start) if self.loss.needs_teacher else None

    @model_validator(mode="after")
    def _has_teacher(self) -> Self:
        """Scores come from somewhere."""
        if self.loss.needs_teacher and self.taught_by is None:
            raise ValueError(
                "scores are learnt from a cross-encoder: name `teacher`, or start from one (encoder.start)"
            )
        return self
