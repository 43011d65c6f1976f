"""One training of a sparse student, by the trainer of sentence-transformers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from sentence_transformers import SparseEncoderTrainingArguments
from sentence_transformers.sparse_encoder.callbacks.splade_callbacks import SpladeRegularizerWeightSchedulerCallback
from transformers import PrinterCallback, TrainerCallback

from rankloom.models import resolve_device
from rankloom.progress import Advance, Progress
from rankloom.training.distillation import Example, ensemble
from rankloom.training.flops import IdfFlops
from rankloom.training.recipe_config import Recipe
from rankloom.training.sparse_loss import LossMixture, SampledSpladeLoss
from rankloom.training.trainer import AdapterTrainer, last_checkpoint

_CHECKPOINTS = 2  # that are kept
_LOG_STEPS = 10


class _Reporting(TrainerCallback):
    """Tells a reporter of every step, and a file of the losses."""

    def __init__(self, advance: Advance, log: Path) -> None:
        self.advance = advance
        self.log = log

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:  # noqa: ARG002  # the library's
        """One step is done."""
        self.advance(1)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:  # noqa: ARG002  # the library's
        """The mean losses of the last steps."""
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": state.global_step, **(logs or {})}) + "\n")


def fit(encoder: Any, examples: Sequence[Example], recipe: Recipe, checkpoints: Path, progress: Progress) -> None:
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
    trainer.remove_callback(PrinterCallback)
    last = last_checkpoint(checkpoints)
    done = 0 if last is None else int(last.name.rpartition("-")[2])
    checkpoints.mkdir(parents=True, exist_ok=True)
    with progress.task("training", recipe.training.steps) as advance:
        advance(done)
        trainer.add_callback(_Reporting(advance, checkpoints / "losses.jsonl"))
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
    encoder.eval()


def _dataset(examples: Sequence[Example], recipe: Recipe) -> Dataset:
    """Columns `query`, `document_1` and so on, and the ensemble's scores of the documents."""
    columns: dict[str, list[Any]] = {"query": [one.query for one in examples]}
    for number in range(len(examples[0].texts)):
        columns[f"document_{number + 1}"] = [one.texts[number] for one in examples]
    columns["label"] = [_label(one, recipe) for one in examples]
    return Dataset.from_dict(columns)


def _label(example: Example, recipe: Recipe) -> list[float]:
    """The ensemble's score of each document."""
    scores = {name: example.scores[name] for name in recipe.teachers.ensemble}
    mixed: list[float] = ensemble(scores, scale=recipe.teachers.scale).tolist()
    return mixed


def _arguments(recipe: Recipe, checkpoints: Path, *, documents: int) -> SparseEncoderTrainingArguments:
    """What the library's trainer is told."""
    how = recipe.training
    device = resolve_device(how.device, stage="training")
    routes = {"query": "query", **{f"document_{number + 1}": "document" for number in range(documents)}}
    return SparseEncoderTrainingArguments(
        output_dir=str(checkpoints),
        max_steps=how.steps,
        per_device_train_batch_size=how.queries,
        learning_rate=how.learning_rate,
        warmup_steps=how.warm_up,
        lr_scheduler_type="linear",
        seed=recipe.seed,
        data_seed=recipe.seed,
        bf16=how.bfloat16,
        use_cpu=device == "cpu",
        router_mapping=routes,
        save_strategy="steps",
        save_steps=how.checkpoint,
        save_total_limit=_CHECKPOINTS,
        logging_steps=_LOG_STEPS,
        disable_tqdm=True,
        report_to="none",
        dataloader_drop_last=True,
        dataloader_pin_memory=device != "cpu",
    )
