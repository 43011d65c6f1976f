"""One training of a Provence model, by the trainer of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments

from rankloom.errors import StageError
from rankloom.progress import Progress
from rankloom.training.encoder_fit import TrainedAlone
from rankloom.training.joint_loss import joint_loss
from rankloom.training.length_sampler import LikeLengths
from rankloom.training.loop import common_arguments, run_loop
from rankloom.training.provence_config import JointLoss, ProvenceRecipe
from rankloom.training.provence_reading import Laid, Reader

_Example = tuple[Laid, float]


class _Examples(Dataset[_Example]):
    """Passages that are laid out, each with the teacher's score."""

    def __init__(self, laid: Sequence[Laid], teacher: Sequence[float]) -> None:
        self.laid, self.teacher = laid, teacher

    def __len__(self) -> int:
        """How many there are."""
        return len(self.laid)

    def __getitem__(self, place: int) -> _Example:
        """One of them."""
        return self.laid[place], self.teacher[place]


class ProvenceTrainer(TrainedAlone, Trainer):
    """The trainer of transformers for a model of two heads.

    Args:
        how: The loss.
        lengths: Tokens of each example.
        options: The library's.
    """

    def __init__(self, *, how: JointLoss, lengths: Sequence[int], **options: Any) -> None:
        super().__init__(**options)
        self.how, self.lengths = how, lengths
        self._parts: list[Tensor] = []  # of the losses since they were last told

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:  # noqa: ARG002  # the library's
        """Batches of like lengths."""
        args = self.args
        return LikeLengths(self.lengths, size=args.train_batch_size, count=args.max_steps, seed=args.seed)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,  # noqa: ARG002  # the library's
    ) -> Any:
        """The loss of a batch."""
        features = inputs["features"]
        heads = model(**features)
        found = joint_loss(heads, inputs["labels"], features["attention_mask"], inputs["teacher"], self.how)
        self._parts.append(torch.stack([found.tokens, found.scores]).detach())
        return (found.loss, heads) if return_outputs else found.loss

    def log(self, logs: dict[str, float], *given: Any, **more: Any) -> None:
        """Tell the parts of the loss beside it.

        Raises:
            StageError: They are no finite numbers any more.
        """
        if self._parts:
            tokens, scores = torch.stack(self._parts).mean(dim=0).tolist()
            self._parts.clear()
            if not (torch.isfinite(torch.tensor([tokens, scores])).all()):
                raise StageError(
                    "the loss is not a finite number",
                    stage="training",
                    value=(tokens, scores),
                    fix="lower training.learning_rate, and train into another folder",
                )
            logs |= {"tokens": round(tokens, 5), "scores": round(scores, 5)}
        super().log(logs, *given, **more)


def fit(
    reader: Reader,
    laid: Sequence[Laid],
    teacher: Sequence[float],
    recipe: ProvenceRecipe,
    *,
    checkpoints: Path,
    progress: Progress,
) -> None:
    """Train a model, from the last checkpoint where there is one; the last one is what remains.

    Args:
        reader: Of the model.
        laid: The passages.
        teacher: Their scores.
        recipe: Loss, steps, rates.
        checkpoints: Folder of checkpoints, and of `losses.jsonl`, which tells both parts of the loss.
        progress: Told of every step.
    """

    def batch(examples: list[_Example]) -> dict[str, Any]:
        return reader.batch([one for one, _ in examples], [score for _, score in examples])._asdict()

    trainer = ProvenceTrainer(
        how=recipe.loss,
        lengths=[len(one.labels) for one in laid],
        model=reader.model,
        args=TrainingArguments(**common_arguments(recipe, checkpoints), remove_unused_columns=False),
        train_dataset=_Examples(laid, teacher),
        data_collator=batch,
    )
    run_loop(trainer, checkpoints, progress)
