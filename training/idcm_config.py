"""The YAML of a recipe for IDCM, which learns to rank long documents in three steps."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from rankloom.encoders import DEFAULT_MODEL
from rankloom.eval.strict import Strict
from rankloom.training.contrastive_config import LowRank, MinedRecipe
from rankloom.training.cross_encoder_config import PairLoss
from rankloom.training.recipe_config import Training

WindowLoss = Literal["lambda", "mse", "kl", "cross_entropy"]


class TrainedIDCM(Strict):
    """The model that is trained; sizes are the authors' unless it is said otherwise.

    Args:
        model: The sentence encoder whose transformer the teacher starts from: a name, or a folder.
        lora: The low-rank changes that make the teacher of it.
        start: An adapter of a cross-encoder of the same low-rank sizes, to start the teacher from; none begins anew.
        student: What chooses windows: `ck`, `ck_small` or `tk`; see `rankloom.rerank.idcm_student`.
        core: Tokens of a window without its overlap.
        overlap: Tokens that it reaches beyond, on either side.
        query_tokens: Of a query that are read.
        max_tokens: Of a document that are read.
        sample: Windows of a document that the student chooses for the teacher.
        best: How many of the teacher's scores are added up, each with a learned weight.
    """

    model: str = DEFAULT_MODEL
    lora: LowRank = LowRank()
    start: str | None = None
    student: Literal["ck", "ck_small", "tk"] = "ck"
    core: int = Field(default=50, ge=1)
    overlap: int = Field(default=7, ge=0)
    query_tokens: int = Field(default=30, ge=1)
    max_tokens: int = Field(default=2000, ge=1)
    sample: int = Field(default=4, ge=1)
    best: int = Field(default=3, ge=1)


class PassageTraining(Training):
    """The first step: the teacher learns to tell passages with an answer from others.

    Args:
        steps: 0 leaves it out; the teacher needs a `start` then.
        loss: As in recipes for cross-encoders; RankNet in the paper. A query makes one example, whose passage has an
            answer, whatever `negatives.positives` says of documents.
        count: Negatives of each passage.
    """

    loss: PairLoss = "ranknet"
    count: int = Field(default=3, ge=1)


class DocumentTraining(Training):
    """The second step: the teacher reads all windows, and learns to rank documents, with the weights of their best.

    Args:
        weights_learning_rate: Of these weights; the authors'.
    """

    weights_learning_rate: float = Field(default=7e-4, gt=0)


class StudentTraining(Training):
    """The third step: the student learns from the teacher which windows are best.

    Args:
        loss: By what; `lambda` is the paper's best.
        pairs: Queries with a document that the teacher reads all windows of for it; drawn at random, all by default.
    """

    loss: WindowLoss = "lambda"
    pairs: int | None = Field(default=None, ge=2)


class Validation(Strict):
    """Queries to measure on at the end, of a collection whose documents are not trained on.

    No checkpoint is chosen by what is measured: each step ends with its last one.

    Args:
        collection: Which, such as `covid-qa.json/validation`. Its queries that are trained on too are left out, and
            counted.
        queries: How many are drawn.
        documents: How many documents of the first stage each is measured among.
    """

    collection: str
    queries: int = Field(default=30, ge=1)
    documents: int = Field(default=10, ge=1)


class IDCMRecipe(MinedRecipe):
    """A recipe for IDCM: Hofstätter et al., SIGIR 2021 (arXiv:2105.09816), section 3.3.

    Args:
        kind: `idcm`.
        encoder: What is trained.
        validation: What it is measured on at the end; nothing by default.
        passages: The first step.
        training: The second step.
        distillation: The third step.
    """

    kind: Literal["idcm"]
    encoder: TrainedIDCM = TrainedIDCM()
    validation: Validation | None = None
    passages: PassageTraining
    training: DocumentTraining
    distillation: StudentTraining

    @model_validator(mode="after")
    def _begins(self) -> Self:
        """There is a teacher to begin with, and something to learn from."""
        if not self.passages.steps and self.encoder.start is None:
            raise ValueError("without `passages.steps` the teacher needs an adapter to start from: `encoder.start`")
        if not self.negatives.count:
            raise ValueError("documents are told from negatives: `negatives.count` is at least 1")
        if any(source.validation for source in self.sources):
            raise ValueError("queries to measure on are named by `validation`, not held out from sources")
        if self.validation and self.validation.collection in {source.collection for source in self.sources}:
            raise ValueError(f"`validation.collection` is trained on: {self.validation.collection}")
        return self
