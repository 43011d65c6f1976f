"""One training of a sparse student, by the trainer of sentence-transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from sentence_transformers import SparseEncoderTrainingArguments
from sentence_transformers.sparse_encoder.callbacks.splade_callbacks import SpladeRegularizerWeightSchedulerCallback

from rankloom.progress import Progress
from rankloom.training.distillation import Example, ensemble
from rankloom.training.flops import IdfFlops
from rankloom.training.inference_free_config import InferenceFreeRecipe
from rankloom.training.loop import common_arguments, run_loop
from rankloom.training.sparse_loss import LossMixture, SampledSpladeLoss
from rankloom.training.trainer import AdapterTrainer


def fit(
    encoder: Any, examples: Sequence[Example], recipe: InferenceFreeRecipe, checkpoints: Path, progress: Progress
) -> None:
    """Train an encoder, from the last checkpoint where there is one.

    Args:
        encoder: A student of `rankloom.retrieval.sparse_adapter.adapted`.
        examples: All with the same number of documents.
        recipe: Losses, penalty, steps, rates.
        checkpoints: Folder of checkpoints, and of `losses.jsonl`.
        progress: Told of every step.
    """
    idf = encoder[0].sub_modules["query"][0].weight.detach()
    penalty = IdfFlops(idf, power=recipe.penalty.idf_power, threshold=recipe.penalty.threshold)
    loss = SampledSpladeLoss(
        encoder,
        LossMixture(encoder, recipe.loss, scale=recipe.student.score_scale),
        penalty,
        weight=recipe.penalty.weight,
        sample=recipe.penalty.sample,
    )
    trainer = AdapterTrainer(
        model=encoder,
        args=_arguments(recipe, checkpoints, documents=len(examples[0].texts)),
        train_dataset=_dataset(examples, recipe),
        loss=loss,
        callbacks=[SpladeRegularizerWeightSchedulerCallback(loss, warmup_ratio=recipe.penalty.grows_for)],
    )
    run_loop(trainer, checkpoints, progress)


def _dataset(examples: Sequence[Example], recipe: InferenceFreeRecipe) -> Dataset:
    """Columns `query`, `document_1` and so on, and the ensemble's scores of the documents."""
    columns: dict[str, list[Any]] = {"query": [one.query for one in examples]}
    for number in range(len(examples[0].texts)):
        columns[f"document_{number + 1}"] = [one.texts[number] for one in examples]
    columns["label"] = [_label(one, recipe) for one in examples]
    return Dataset.from_dict(columns)


def _label(example: Example, recipe: InferenceFreeRecipe) -> list[float]:
    """The ensemble's score of each document."""
    scores = {name: example.scores[name] for name in recipe.teachers.ensemble}
    mixed: list[float] = ensemble(scores, scale=recipe.teachers.scale).tolist()
    return mixed


def _arguments(recipe: InferenceFreeRecipe, checkpoints: Path, *, documents: int) -> SparseEncoderTrainingArguments:
    """What the library's trainer is told."""
    routes = {"query": "query", **{f"document_{number + 1}": "document" for number in range(documents)}}
    return SparseEncoderTrainingArguments(**common_arguments(recipe, checkpoints), router_mapping=routes)
