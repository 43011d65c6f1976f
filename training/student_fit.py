"""One training of a student, by the trainer of transformers: the loop, the schedule and the checkpoints are its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback, TrainingArguments

from rankloom.progress import Progress
from rankloom.training import ranking_losses
from rankloom.training.contrasts import Row
from rankloom.training.distillation import Example
from rankloom.training.distillation_config import DistillationRecipe, StudentLoss
from rankloom.training.loop import common_arguments, run_loop
from rankloom.training.row_sampler import InBatches
from rankloom.training.student import Student
from rankloom.training.student_validation import measured

_BY_TEACHERS = {
    "margin_mse": ranking_losses.margin_mse,
    "listwise_margin_mse": ranking_losses.listwise_margin_mse,
}
_BY_LABELS = {
    "ranknet": ranking_losses.ranknet,
    "softmax": ranking_losses.softmax,
    "contrastive": ranking_losses.contrastive,
    "pg_rank": ranking_losses.pg_rank,
}


class _Taught(Dataset[tuple[Example, Any]]):
    """Examples, each with the teachers' scores of its documents."""

    def __init__(self, examples: Sequence[Example], teacher: NDArray[Any]) -> None:
        self.examples, self.teacher = examples, torch.from_numpy(teacher).float()

    def __len__(self) -> int:
        """How many there are."""
        return len(self.examples)

    def __getitem__(self, place: int) -> tuple[Example, Tensor]:
        """One of them."""
        return self.examples[place], self.teacher[place]


class StudentTrainer(Trainer):
    """The trainer of transformers for a model that takes texts.

    Args:
        loss: By its name.
        rows: The examples as rows, for a loss that takes other queries' documents for negatives: no batch holds a
            document that is known to be relevant to another query of it.
        options: The library's.
    """

    def __init__(self, *, loss: StudentLoss, rows: Sequence[Row], **options: Any) -> None:
        super().__init__(**options)
        self.loss, self.rows = loss, rows

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        """The order of the examples."""
        if self.loss != "contrastive":
            return super()._get_train_sampler(train_dataset)
        args = self.args
        return InBatches(self.rows, size=args.train_batch_size, count=args.max_steps, seed=args.seed)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,  # noqa: ARG002  # the library's
    ) -> Any:
        """The loss of a batch."""
        scores = model(inputs["queries"], inputs["documents"], crossed=self.loss == "contrastive")
        loss = loss_of(self.loss, scores, inputs["teacher"])
        return (loss, scores) if return_outputs else loss


class _Validation(TrainerCallback):
    """Measures held-out queries at every checkpoint, for a file."""

    def __init__(self, held_out: Sequence[Example], log: Path) -> None:
        self.held_out, self.log = held_out, log

    def on_save(self, args: Any, state: Any, control: Any, model: Any = None, **more: Any) -> None:  # noqa: ARG002  # the library's
        """A checkpoint was written."""
        line = json.dumps({"step": state.global_step, **measured(model, self.held_out)})
        with self.log.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def loss_of(name: StudentLoss, scores: Tensor, teacher: Tensor) -> Tensor:
    """A loss by its name; `contrastive` takes crossed scores."""
    if name in _BY_TEACHERS:
        return _BY_TEACHERS[name](scores, teacher)
    return _BY_LABELS[name](scores)


def fit(
    student: Student,
    examples: Sequence[Example],
    teacher: NDArray[Any],
    recipe: DistillationRecipe,
    *,
    rows: Sequence[Row],
    held_out: Sequence[Example],
    checkpoints: Path,
    progress: Progress,
) -> None:
    """Train a student, from the last checkpoint where there is one.

    Args:
        student: What to train.
        examples: All with the same number of documents.
        teacher: What the teachers say of these, float of shape (examples, documents).
        recipe: Loss, steps, rates.
        rows: The examples as rows, by `rankloom.training.example_rows.rows_of`.
        held_out: Measured at every checkpoint, for `validation.jsonl`.
        checkpoints: Folder of checkpoints, `losses.jsonl` and `validation.jsonl`.
        progress: Told of every step.
    """
    trainer = StudentTrainer(
        loss=recipe.loss,
        rows=rows,
        model=student,
        args=TrainingArguments(**common_arguments(recipe, checkpoints), remove_unused_columns=False),
        train_dataset=_Taught(examples, teacher),
        data_collator=_batch,
        callbacks=[_Validation(held_out, checkpoints / "validation.jsonl")] if held_out else [],
    )
    run_loop(trainer, checkpoints, progress)


def _batch(taught: list[tuple[Example, Tensor]]) -> dict[str, Any]:
    """Examples side by side."""
    return {
        "queries": [example.query for example, _ in taught],
        "documents": [text for example, _ in taught for text in example.texts],
        "teacher": torch.stack([scores for _, scores in taught]),
    }
