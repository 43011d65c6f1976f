"""The YAML of a recipe for a student of any architecture, trained by teachers' margins or by hard labels."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from rankloom.config import PipelineBuilder
from rankloom.encoders import DEFAULT_MODEL
from rankloom.eval.strict import Strict
from rankloom.training.recipe_config import TaughtRecipe, Teachers
from rankloom.training.teacher_file import TEACHER

StudentLoss = Literal["margin_mse", "listwise_margin_mse", "ranknet", "softmax", "contrastive", "pg_rank"]


class MarginTeachers(Teachers):
    """Teachers whose differences of scores matter: stages that are asked, or a file of what teachers said.

    Args:
        file: Scores as published, `pos_score neg_score query_id pos_passage_id neg_passage_id`, in place of `stages`,
            `ensemble`, `candidates` and `documents`; relative to the data folder (RANKLOOM_DATA). See
            `rankloom.training.teacher_file`.
        missing: What happens to a line of the file whose query or passage the collection does not have: `error`, or
            `count`, which leaves it out and says how many.
        mix: How an ensemble's scores become one: `mean` is of raw scores, as of teachers of one scale (T2 of the
            paper); `standard` brings each teacher to variance 1 over all examples first, which keeps its margins in
            proportion; `minmax` brings each to 0..1 in every example (`rankloom.training.ensemble`). All are multiplied
            by `scale`.
    """

    file: str | None = None
    missing: Literal["error", "count"] = "error"
    scale: float = Field(default=1.0, gt=0)
    mix: Literal["mean", "standard", "minmax"] = "standard"

    @model_validator(mode="before")
    @classmethod
    def _one_origin(cls, values: Any) -> Any:
        """A file has one teacher and two documents an example; nobody is asked."""
        if not isinstance(values, dict):
            return values
        if values.get("file") is None:
            if values.get("missing", "error") != "error":  # a recipe that was written out names its defaults
                raise ValueError("`missing` belongs to a `file` of scores")
            return values
        fixed = {"stages": {}, "ensemble": [TEACHER], "candidates": [], "documents": 2}
        asked = [name for name, value in fixed.items() if values.get(name, value) != value]
        if asked:
            raise ValueError(f"scores come from a `file` or from stages that are asked; leave out {', '.join(asked)}")
        return {"mix": "mean", **fixed, **values}

    def check(self, builder: PipelineBuilder) -> None:
        """Check the stages that are asked, if any are."""
        if self.file is None:
            super().check(builder)


class StudentParts(Strict):
    """What students of every architecture have.

    Args:
        backbone: A sentence encoder, whose weights the student starts with.
        query_tokens: Of a query that training reads, special ones included.
        max_tokens: Of a document that training reads.
        score_scale: What scores are multiplied by in losses: a cosine alone can not have a teacher's margins.
    """

    backbone: str = DEFAULT_MODEL
    query_tokens: int = Field(default=32, ge=4)
    max_tokens: int = Field(default=128, ge=8)
    score_scale: float = Field(default=1.0, gt=0)


class DotStudent(StudentParts):
    """One vector for each text; a sentence encoder, which `dense` and `bi_encoder` load.

    Args:
        architecture: `dot`.
        layers: Of the backbone that are kept, from the bottom; all by default.
    """

    architecture: Literal["dot"]
    layers: int | None = Field(default=None, ge=1)
    score_scale: float = Field(default=10.0, gt=0)


class TKStudent(StudentParts):
    """A transformer over word vectors, and kernels; see `rankloom.rerank.tk_model.TKModel`.

    Args:
        architecture: `tk`.
        layers: Of its transformer.
        heads: Of attention, at most: the largest number that divides the width of the word vectors is taken.
        feed_forward: Width of its inner layers.
    """

    architecture: Literal["tk"]
    layers: int = Field(default=2, ge=1)
    heads: int = Field(default=10, ge=1)
    feed_forward: int = Field(default=100, ge=1)


class ColBERTStudent(StudentParts):
    """One vector for each token, compared late; a multi-vector encoder of sentence-transformers.

    Args:
        architecture: `colbert`.
        layers: Of the backbone that are kept, from the bottom; all by default.
        dimensions: Of a token's vector, by a linear projection; none by default, as in the paper's ColBERT.
        expand_queries: Whether queries are filled up to `query_tokens` with [MASK], which look for more matches.
        skip_punctuation: Whether documents have no vectors for punctuation.
    """

    architecture: Literal["colbert"]
    layers: int | None = Field(default=None, ge=1)
    dimensions: int | None = Field(default=None, ge=2)
    expand_queries: bool = True
    skip_punctuation: bool = False


class PreTTRStudent(StudentParts):
    """A cross-encoder whose lower layers read query and document apart; see `rankloom.rerank.prettr_model`.

    Args:
        architecture: `prettr`.
        layers: Of the backbone that are kept, from the bottom; all by default.
        split: How many layers read them apart; 3 of 6 in the paper.
    """

    architecture: Literal["prettr"]
    layers: int | None = Field(default=None, ge=1)
    split: int = Field(default=3, ge=0)


StudentConfig = Annotated[DotStudent | TKStudent | ColBERTStudent | PreTTRStudent, Field(discriminator="architecture")]


class DistillationRecipe(TaughtRecipe):
    """A recipe for a student.

    Args:
        kind: `distillation`.
        teachers: What the student learns from.
        student: What is trained.
        loss: `margin_mse` and `listwise_margin_mse` learn from the teachers; `ranknet`, `softmax`, `contrastive` and
            `pg_rank` from judgements alone, of the same examples. See `rankloom.training.ranking_losses`.
    """

    negatives: ClassVar[bool] = True

    kind: Literal["distillation"]
    teachers: MarginTeachers
    student: StudentConfig
    loss: StudentLoss = "margin_mse"

    @model_validator(mode="after")
    def _one_collection(self) -> Self:
        """The ids of a file of scores are those of one collection."""
        if self.teachers.file is not None and (len(self.sources) > 1 or self.sources[0].collection is None):
            raise ValueError("a file of teachers' scores needs one source, a `collection` that has its ids")
        return self

    @model_validator(mode="after")
    def _affordable(self) -> Self:
        """Comparing every query with every document of a batch takes an architecture that reads them apart."""
        if self.loss == "contrastive" and self.student.architecture not in ("dot", "colbert"):
            raise ValueError("the loss `contrastive` is for `dot` and `colbert`; take `softmax`")
        return self
