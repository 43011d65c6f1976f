"""The second and the third step of IDCM's training, by the trainer of transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Trainer, TrainingArguments

from rankloom.errors import DataError
from rankloom.progress import Progress
from rankloom.rerank.window_choice import best_windows, weighted_sum
from rankloom.training import ranking_losses
from rankloom.training.contrasts import Row
from rankloom.training.encoder_fit import TrainedAlone
from rankloom.training.idcm_config import IDCMRecipe, WindowLoss
from rankloom.training.idcm_reading import Asked, Reader, TeacherScores
from rankloom.training.loop import common_arguments, run_loop
from rankloom.training.window_losses import window_loss


class DocumentLearner(nn.Module):
    """RankNet over documents, whose scores are the weighted sums of their best windows'.

    All windows are read, but only the best have a say in a document's score. So the others are read without gradients,
    which costs a third, and the best once more with them: the gradients are the same, as there is no dropout.

    Args:
        reader: Of the model.
    """

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self.reader, self.model = reader, reader.model

    def forward(self, rows: Sequence[Row]) -> Mapping[str, Tensor]:
        """The loss of some queries."""
        self.model.eval()
        asked = [(row.query, text) for row in rows for text in (row.positive, *row.negatives)]
        scores = self.scores(asked).view(len(rows), -1)
        return {"loss": ranking_losses.ranknet(scores)}

    def scores(self, asked: Sequence[Asked]) -> Tensor:
        """The scores of documents, float of shape (documents,)."""
        model = self.model
        with torch.no_grad():
            found = self.reader.all_scores(asked)
        best = [best_windows(one.float().cpu().numpy(), model.sizes.best) for one in found]
        again = [self.reader.rows(one) for one in asked]
        chosen = [[rows[place] for place in places] for rows, places in zip(again, best, strict=True)]
        scores = model.scores([row for some in chosen for row in some])
        parts = torch.split(scores, [len(some) for some in chosen])
        return torch.stack([weighted_sum(one, model.weights) for one in parts])


class WindowLearner(nn.Module):
    """The student, which learns from the teacher's scores which windows are best; the teacher reads nothing more.

    Args:
        reader: Of the model.
        teacher: Has read what is learnt from.
        loss: By its name.
    """

    def __init__(self, reader: Reader, teacher: TeacherScores, loss: WindowLoss) -> None:
        super().__init__()
        self.reader, self.model, self.teacher, self.loss = reader, reader.model, teacher, loss

    def forward(self, asked: Sequence[Asked]) -> Mapping[str, Tensor]:
        """The mean loss of some documents."""
        self.model.eval()
        losses = [
            window_loss(
                self.loss,
                self.scores(one),
                torch.from_numpy(self.teacher.of(one)).to(self.model.weights.device),
                count=self.model.sizes.sample,
            )
            for one in asked
        ]
        return {"loss": torch.stack(losses).mean()}

    def scores(self, asked: Asked) -> Tensor:
        """The student's scores of a document's windows, float32 of shape (windows,)."""
        query, document = asked
        windows = self.reader.windows(document)
        with torch.autocast(self.model.weights.device.type, enabled=False):
            vectors = self.model.window_vectors(windows)
            return self.model.cheap_scores(self.model.query_vectors(self.reader.query(query)), vectors, windows)


class _Trainer(TrainedAlone, Trainer):
    """The trainer of transformers, whose checkpoints hold what is trained alone."""


def fit_documents(
    reader: Reader, rows: Sequence[Row], recipe: IDCMRecipe, *, checkpoints: Path, progress: Progress
) -> None:
    """The second step, from the last checkpoint where there is one: the teacher and the weights are trained.

    Args:
        reader: Of the model.
        rows: All with the same number of negatives.
        recipe: Steps, rates.
        checkpoints: Folder of checkpoints, and of `losses.jsonl`.
        progress: Told of every step.
    """
    model, how = reader.model, recipe.training
    teacher = [one for one in model.teacher.parameters() if one.requires_grad]
    groups = [
        {"params": teacher, "lr": how.learning_rate},
        {"params": [model.weights], "lr": how.weights_learning_rate},
    ]
    _fit(DocumentLearner(reader), {"rows": rows}, groups, recipe, checkpoints=checkpoints, progress=progress)


def fit_student(
    reader: Reader,
    teacher: TeacherScores,
    asked: Sequence[Asked],
    recipe: IDCMRecipe,
    *,
    checkpoints: Path,
    progress: Progress,
) -> None:
    """The third step, from the last checkpoint where there is one: the student is trained, the teacher is not.

    Args:
        reader: Of the model.
        teacher: Has read all that is asked.
        asked: Queries, each with a document.
        recipe: Loss, steps, rates.
        checkpoints: Folder of checkpoints, and of `losses.jsonl`.
        progress: Told of every step.
    """
    how = recipe.distillation
    groups = [{"params": list(reader.model.student.parameters()), "lr": how.learning_rate}]
    learner = WindowLearner(reader, teacher, how.loss)
    own = recipe.model_copy(update={"training": how})
    _fit(learner, {"asked": asked}, groups, own, checkpoints=checkpoints, progress=progress)


def _fit(
    learner: nn.Module,
    examples: Mapping[str, Sequence[Any]],
    groups: list[dict[str, Any]],
    recipe: IDCMRecipe,
    *,
    checkpoints: Path,
    progress: Progress,
) -> None:
    """One training of `recipe.training`; `groups` are the optimiser's parameters, and of examples there is one kind."""
    ((name, items),) = examples.items()
    if len(items) < recipe.training.queries:
        raise DataError(
            f"there are {len(items)} examples, and a step takes {recipe.training.queries}",
            stage="training",
            fix="take fewer queries a step, or give more sources",
        )
    trainer = _Trainer(
        model=learner,
        args=TrainingArguments(**common_arguments(recipe, checkpoints), remove_unused_columns=False),
        train_dataset=items,
        data_collator=lambda some: {name: some},
        optimizers=(torch.optim.AdamW(groups, weight_decay=0.0), None),
    )
    run_loop(trainer, checkpoints, progress)
