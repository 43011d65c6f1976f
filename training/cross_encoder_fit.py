"""One training of a cross-encoder, by the trainer of sentence-transformers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments, losses
from sentence_transformers.cross_encoder.evaluation import CrossEncoderRerankingEvaluator
from sentence_transformers.util import batch_to_device
from torch import Tensor

from rankloom.progress import Progress
from rankloom.training import ranking_losses
from rankloom.training.contrasts import Row
from rankloom.training.cross_encoder_config import CrossEncoderRecipe, JudgeDistillation, PairLoss
from rankloom.training.encoder_fit import Contrasting
from rankloom.training.loop import common_arguments, run_loop
from rankloom.training.pool import NAME, Pool
from rankloom.training.recipe_config import Recipe

_CUT = 10
_OURS = {"softmax": ranking_losses.softmax, "pg_rank": ranking_losses.pg_rank}
_LIBRARY = {"ranknet": losses.RankNetLoss, "listnet": losses.ListNetLoss, "lambda": losses.LambdaLoss}


class PairTrainer(Contrasting, CrossEncoderTrainer):
    """Trains a cross-encoder."""

    training_args_class = CrossEncoderTrainingArguments


class RelevantFirst(torch.nn.Module):
    """A loss of `ranking_losses` over the documents of each query, in the form in which the trainer calls losses.

    Args:
        model: The cross-encoder.
        loss: Takes scores of shape (queries, documents), the relevant document's first.
        how: How much is learnt from the judge's scores, which are the labels then; nothing by default.
    """

    def __init__(self, model: Any, loss: Callable[[Tensor], Tensor], how: JudgeDistillation | None = None) -> None:
        super().__init__()
        self.model, self.loss, self.how = model, loss, how

    def forward(self, inputs: list[list[Any]], labels: Sequence[Tensor], **_: Any) -> Tensor:
        """The loss of some queries; `inputs` are they and the documents of each."""
        queries, documents = inputs
        pairs = [(query, one) for query, some in zip(queries, documents, strict=True) for one in some]
        features = batch_to_device(self.model.preprocess(pairs), self.model.device)
        scores = self.model(features)["scores"].float().view(len(queries), -1)
        loss = self.loss(scores)
        if self.how is None:
            return loss
        teacher = torch.stack(list(labels)).to(scores.device)
        taught = ranking_losses.judged(scores, teacher, temperature=self.how.temperature)
        return (1 - self.how.share) * loss + self.how.share * taught


def pair_loss(model: Any, name: PairLoss, how: JudgeDistillation | None = None) -> torch.nn.Module:
    """The loss of some name for a cross-encoder."""
    if name in _OURS:
        return RelevantFirst(model, _OURS[name], how)
    made: torch.nn.Module = _LIBRARY[name](model)
    return made


def fit(
    model: Any, rows: Sequence[Row], recipe: CrossEncoderRecipe, *, pool: Pool, checkpoints: Path, progress: Progress
) -> None:
    """Train a cross-encoder, from the last checkpoint where there is one; its best checkpoint is what remains.

    Args:
        model: A `CrossEncoder` of sentence-transformers.
        rows: All with the same number of negatives.
        recipe: Steps, rates.
        pool: Measured at every checkpoint, to tell the best; if it is empty, the last one is.
        checkpoints: Folder of checkpoints, and of `losses.jsonl`.
        progress: Told of every step.
    """
    dataset = Dataset.from_dict(
        {
            "query": [row.query for row in rows],
            "documents": [[row.positive, *row.negatives] for row in rows],
            "label": [_label(row, recipe) for row in rows],
        }
    )
    measure = evaluator(pool) if len(pool) else None
    loss = pair_loss(model, recipe.loss, recipe.judged)
    train_on(dataset, model, rows, recipe, loss=loss, measure=measure, checkpoints=checkpoints, progress=progress)


def train_on(
    dataset: Dataset,
    model: Any,
    rows: Sequence[Row],
    recipe: Recipe,
    *,
    loss: torch.nn.Module,
    measure: Any,
    checkpoints: Path,
    progress: Progress,
) -> None:
    """Train by what a dataset says of each row; see `fit`.

    Args:
        dataset: A record for each row.
        model: As for `fit`.
        rows: Likewise.
        recipe: Likewise.
        loss: Takes the dataset's columns, those of `label` as labels.
        measure: An evaluator of sentence-transformers; None: the last checkpoint is the best.
        checkpoints: As for `fit`.
        progress: Likewise.
    """
    chosen: dict[str, Any] = {}
    if measure is not None:
        chosen = {
            "eval_strategy": "steps",
            "eval_steps": recipe.training.checkpoint,
            "load_best_model_at_end": True,
            "metric_for_best_model": f"{NAME}_ndcg@{_CUT}",
            "greater_is_better": True,
        }
    training = PairTrainer(
        rows=rows,
        model=model,
        args=CrossEncoderTrainingArguments(**common_arguments(recipe, checkpoints), **chosen),
        train_dataset=dataset,
        loss=loss,
        evaluator=measure,
    )
    run_loop(training, checkpoints, progress)


def _label(row: Row, recipe: CrossEncoderRecipe) -> list[float]:
    """What the loss is told of a row's documents: which is relevant, or what the judge holds of them."""
    return [1.0, *([0.0] * len(row.negatives))] if recipe.judged is None else list(row.scores)


def evaluator(pool: Pool) -> Any:
    """The evaluator of sentence-transformers: each query's candidates and relevant documents are put in order."""
    samples = [
        {
            "query": text,
            "positive": sorted({pool.documents[one] for one in pool.relevant[query]}),
            "documents": list(dict.fromkeys(pool.documents[one] for one in pool.candidates[query])),
        }
        for query, text in pool.queries.items()
        if pool.relevant[query] and pool.candidates[query]
    ]
    return CrossEncoderRerankingEvaluator(samples, at_k=_CUT, name=NAME, write_csv=False)


def measured(model: Any, pool: Pool) -> dict[str, float]:
    """`nDCG@10` and `MRR@10` of a cross-encoder over the candidates, and nDCG@10 of the first stage itself."""
    if not len(pool):
        return {}
    training = model.training
    model.eval()
    found = evaluator(pool)(model)
    model.train(training)
    names = {"nDCG@10": f"ndcg@{_CUT}", "MRR@10": f"mrr@{_CUT}", "first stage nDCG@10": f"base_ndcg@{_CUT}"}
    return {name: round(float(found[f"{NAME}_{measure}"]), 4) for name, measure in names.items()}
