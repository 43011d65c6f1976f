"""One training of a query encoder that reads feedback, by the trainer of transformers.

Documents are not encoded: their vectors are read from the index of the first stage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments

from rankloom.errors import StageError
from rankloom.prf.feedback_layout import Rendered
from rankloom.prf.feedback_model import features_of
from rankloom.progress import Progress
from rankloom.sources import VectorSource
from rankloom.training.encoder_fit import TrainedAlone
from rankloom.training.loop import common_arguments, run_loop
from rankloom.training.prf_config import FeedbackContrast, PrfRecipe
from rankloom.training.prf_examples import FeedbackData, FeedbackRow
from rankloom.training.prf_validation import METRIC, Reader, measured
from rankloom.training.row_sampler import InBatches


class _Examples(Dataset[tuple[FeedbackRow, Rendered]]):
    """Examples, each with the sequence that the encoder reads."""

    def __init__(self, rows: Sequence[FeedbackRow], reader: Reader) -> None:
        self.rows, self.reader = rows, reader

    def __len__(self) -> int:
        """How many there are."""
        return len(self.rows)

    def __getitem__(self, place: int) -> tuple[FeedbackRow, Rendered]:
        """One of them."""
        one = self.rows[place]
        return one, self.reader.sequence(one.row.query, one.feedback)


class FeedbackTrainer(TrainedAlone, Trainer):
    """The trainer of transformers for an encoder of feedback.

    Args:
        data: Rows in the order of the data set, and what is measured at every checkpoint.
        reader: Lays texts out.
        how: The loss.
        options: The library's.
    """

    def __init__(self, *, data: FeedbackData, reader: Reader, how: FeedbackContrast, **options: Any) -> None:
        super().__init__(**options)
        self.data, self.reader, self.how = data, reader, how

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:  # noqa: ARG002  # the library's
        """Batches in which no row shows what is relevant to another's query."""
        rows, args = [one.row for one in self.data.rows], self.args
        return InBatches(rows, size=args.train_batch_size, count=args.max_steps, seed=args.seed)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,  # noqa: ARG002  # the library's
    ) -> Any:
        """The loss of a batch."""
        queries = self.reader.brought(model(dict(inputs["features"]))["sentence_embedding"])
        loss = feedback_loss(queries, inputs["documents"], self.how)
        return (loss, queries) if return_outputs else loss

    def evaluate(self, *given: Any, **more: Any) -> dict[str, float]:  # noqa: ARG002  # the library's
        """Measure the held-out queries."""
        metrics = {f"eval_{name}": value for name, value in measured(self.model, self.data, self.reader).items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _load_best_model(self) -> None:
        """Go back to the best checkpoint."""
        self._load_from_checkpoint(str(self.state.best_model_checkpoint))


def feedback_loss(queries: Tensor, documents: Tensor, how: FeedbackContrast) -> Tensor:
    """Softmax over the relevant document and the negatives; in single precision, whatever the encoder computes with.

    Args:
        queries: Of shape (queries, dimensions).
        documents: Of shape (queries, 1 + negatives, dimensions); the first of each query is relevant.
        how: Temperature, and whether the other queries' documents count.

    Raises:
        StageError: It is not a finite number.
    """
    with torch.autocast(queries.device.type, enabled=False):
        queries, documents = queries.float(), documents.float()
        if how.in_batch:
            scores = queries @ documents.flatten(0, 1).T
            relevant = torch.arange(len(queries), device=queries.device) * documents.shape[1]
        else:
            scores = torch.einsum("qd,qnd->qn", queries, documents)
            relevant = torch.zeros(len(queries), dtype=torch.long, device=queries.device)
        loss = torch.nn.functional.cross_entropy(scores / how.temperature, relevant)
    if not torch.isfinite(loss):
        raise StageError(
            "the loss is not a finite number",
            stage="training",
            value=float(loss),
            fix="lower training.learning_rate, and train into another folder",
        )
    return loss


def fit(
    encoder: Any, data: FeedbackData, recipe: PrfRecipe, *, reader: Reader, checkpoints: Path, progress: Progress
) -> None:
    """Train an encoder, from the last checkpoint where there is one; its best checkpoint is what remains.

    Args:
        encoder: A model of `rankloom.prf.feedback_model.feedback_model`.
        data: What is learnt from, and measured at every checkpoint to tell the best; without held-out queries the last
            one is.
        recipe: Loss, steps, rates.
        reader: Lays texts out.
        checkpoints: Folder of checkpoints, and of `losses.jsonl`.
        progress: Told of every step.
    """
    chosen: dict[str, Any] = {}
    if len(data):
        chosen = {
            "eval_strategy": "steps",
            "eval_steps": recipe.training.checkpoint,
            "load_best_model_at_end": True,
            "metric_for_best_model": f"eval_{METRIC}",
            "greater_is_better": True,
        }
    arguments = TrainingArguments(**common_arguments(recipe, checkpoints), **chosen, remove_unused_columns=False)
    examples = _Examples(data.rows, reader)
    trainer = FeedbackTrainer(
        data=data,
        reader=reader,
        how=recipe.loss,
        model=encoder,
        args=arguments,
        train_dataset=examples,
        eval_dataset=examples,  # never read: `evaluate` measures what is held out
        data_collator=_Batch(data.stages, reader),
    )
    run_loop(trainer, checkpoints, progress)


class _Batch:
    """Examples side by side, with their documents' vectors.

    Args:
        stages: Source name -> where the vectors are.
        reader: Knows the token that fills up.
    """

    def __init__(self, stages: Mapping[str, VectorSource], reader: Reader) -> None:
        self.stages, self.reader = stages, reader

    def __call__(self, examples: list[tuple[FeedbackRow, Rendered]]) -> dict[str, Any]:
        """Features, and documents of shape (examples, 1 + negatives, dimensions)."""
        rows = [row for row, _ in examples]
        stage = self.stages[rows[0].row.source]  # a batch has one
        vectors, _ = stage.document_vectors([doc_id for row in rows for doc_id in row.documents])
        return {
            "features": features_of([sequence for _, sequence in examples], padding=self.reader.padding),
            "documents": torch.from_numpy(vectors).view(len(rows), -1, vectors.shape[1]),
        }
