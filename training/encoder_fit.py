"""One contrastive training of an encoder, by the trainers of sentence-transformers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformerTrainer, util
from sentence_transformers.base.modules import Router
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MultipleNegativesRankingLoss,
)

from rankloom.progress import Progress
from rankloom.training.contrastive_config import Contrast
from rankloom.training.contrasts import Row, batches
from rankloom.training.loop import common_arguments, run_loop
from rankloom.training.pool import Pool, evaluator, metric, prompts_of
from rankloom.training.recipe_config import Recipe

_WEIGHTS = "trained.safetensors"


def trained_weights(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """Name -> parameter, of those that training changes."""
    return {name: one for name, one in model.named_parameters() if one.requires_grad}


class TrainedAlone:
    """A trainer, as a base beside this one, whose checkpoints hold what is trained alone: all weights, or low-rank."""

    model: Any
    args: Any

    def _save(self, output_dir: str | None = None, state_dict: object = None) -> None:  # noqa: ARG002  # the library's
        """Write the weights of a checkpoint."""
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: one.detach().cpu().contiguous() for name, one in trained_weights(self.model).items()}
        save_file(weights, folder / _WEIGHTS)

    def _load_from_checkpoint(self, checkpoint_path: str, model: object = None) -> None:  # noqa: ARG002  # the library's
        """Read the weights of a checkpoint."""
        weights = load_file(Path(checkpoint_path) / _WEIGHTS)
        with torch.no_grad():
            for name, parameter in trained_weights(self.model).items():
                parameter.copy_(weights[name])


class Contrasting(TrainedAlone):
    """A trainer of sentence-transformers, as a base beside this one, that takes batches without false negatives.

    Batches are those of `rankloom.training.contrasts.batches`.
    """

    training_args_class: Any

    def __init__(self, *, rows: Sequence[Row], **options: Any) -> None:
        self.rows = rows
        super().__init__(**options)

    def get_batch_sampler(self, dataset: Any, *given: Any, **more: Any) -> Any:
        """Batches without false negatives."""
        return _Batches(dataset, *given, rows=self.rows, count=self.args.max_steps, **more)


class ContrastTrainer(Contrasting, SentenceTransformerTrainer):
    """Trains a sentence encoder."""


class _Batches(DefaultBatchSampler):
    """All batches of a training, as one epoch: what was done is skipped when a training goes on."""

    def __init__(self, *given: Any, rows: Sequence[Row], count: int, **more: Any) -> None:
        super().__init__(*given, **more)
        self.rows, self.count = rows, count

    def __len__(self) -> int:
        """How many there are."""
        return self.count

    def __iter__(self) -> Iterator[list[int]]:
        """Places of rows."""
        return batches(self.rows, size=self.batch_size, count=self.count, seed=self.seed)


def fit(
    encoder: Any,
    rows: Sequence[Row],
    recipe: Recipe,
    *,
    trainer: type[Contrasting],
    loss: Any,
    pool: Pool,
    checkpoints: Path,
    progress: Progress,
) -> None:
    """Train an encoder, from the last checkpoint where there is one; its best checkpoint is what remains.

    Args:
        encoder: A model of sentence-transformers; its prompts are put before queries and documents.
        rows: All with the same number of negatives.
        recipe: Steps, rates.
        trainer: The class that trains such a model.
        loss: Of sentence-transformers.
        pool: Measured at every checkpoint, to tell the best; if it is empty, the last one is.
        checkpoints: Folder of checkpoints, and of `losses.jsonl`.
        progress: Told of every step.
    """
    dataset, prompts = _dataset(rows), prompts_of(encoder)
    roles = {name: "query" if name == "query" else "document" for name in dataset.column_names}
    chosen: dict[str, Any] = {}
    if len(pool):
        chosen = {
            "eval_strategy": "steps",
            "eval_steps": recipe.training.checkpoint,
            "load_best_model_at_end": True,
            "metric_for_best_model": metric(encoder),
            "greater_is_better": True,
        }
    arguments = trainer.training_args_class(
        **common_arguments(recipe, checkpoints),
        **chosen,
        prompts={name: prompts[role] for name, role in roles.items() if role in prompts} or None,
        router_mapping=roles if isinstance(encoder[0], Router) else None,
    )
    training = trainer(
        rows=rows,
        model=encoder,
        args=arguments,
        train_dataset=dataset,
        loss=loss,
        evaluator=evaluator(encoder, pool) if len(pool) else None,
    )
    run_loop(training, checkpoints, progress)


def _dataset(rows: Sequence[Row]) -> Dataset:
    """Columns `query`, `positive`, `negative_1` and so on."""
    columns = {"query": [row.query for row in rows], "positive": [row.positive for row in rows]}
    for number in range(len(rows[0].negatives)):
        columns[f"negative_{number + 1}"] = [row.negatives[number] for row in rows]
    return Dataset.from_dict(columns)


def contrast_loss(encoder: Any, how: Contrast) -> Any:
    """The loss of sentence-transformers, with the similarity that the encoder searches by."""
    similarity = util.cos_sim if encoder.similarity_fn_name == "cosine" else util.dot_score
    if how.mini_batch is None:
        return MultipleNegativesRankingLoss(encoder, scale=1 / how.temperature, similarity_fct=similarity)
    return CachedMultipleNegativesRankingLoss(
        encoder, scale=1 / how.temperature, similarity_fct=similarity, mini_batch_size=how.mini_batch
    )
