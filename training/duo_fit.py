"""One training of a model that compares two documents, and how well it does so."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from sentence_transformers.base.evaluation import BaseEvaluator
from sentence_transformers.util import batch_to_device
from torch import Tensor
from torch.nn import functional

from rankloom.models import LoadedModel
from rankloom.progress import Progress
from rankloom.rerank.duo_input import Reading, token_ids
from rankloom.rerank.duo_model import DuoEncoder, encoder_frame, features
from rankloom.training.contrasts import Row
from rankloom.training.cross_encoder_config import JudgeDistillation
from rankloom.training.cross_encoder_fit import train_on
from rankloom.training.duo_config import DuoRecipe
from rankloom.training.pool import NAME, Pool

_CUT = 10
_log = logging.getLogger("rankloom")


class BothOrders(torch.nn.Module):
    """Binary cross entropy of telling, for a relevant document and another in both orders, whether the first is better.

    Nogueira et al.: Multi-Stage Document Ranking with BERT, 2019 (arXiv:1910.14424), equation 4.

    Args:
        model: The cross-encoder.
        how: How much is learnt from the judge's scores, which are the labels then; nothing by default.
    """

    def __init__(self, model: Any, how: JudgeDistillation | None = None) -> None:
        super().__init__()
        self.model, self.how = model, how
        self.frame = encoder_frame(model.tokenizer, model.max_seq_length)

    def forward(self, inputs: list[list[Any]], labels: Sequence[Tensor] | None, **_: Any) -> Tensor:
        """The loss of some queries; `inputs` are they and the documents of each, the relevant one first."""
        queries, documents = inputs
        readings: list[Reading] = []
        for query, some in zip(queries, documents, strict=True):
            asked, relevant, *others = token_ids(self.model.tokenizer, [query, *some])
            for other in others:
                readings += [self.frame.reading(asked, relevant, other), self.frame.reading(asked, other, relevant)]
        read = batch_to_device(features(self.model.tokenizer, self.frame, readings), self.model.device)
        logits = self.model(read)["scores"].float().view(-1)
        better = torch.ones(len(logits) // 2, device=logits.device)  # than the other: the relevant one
        if self.how is not None and labels is not None:
            scores = torch.stack(list(labels)).to(logits)
            taught = ((scores[:, :1] - scores[:, 1:]) / self.how.temperature).sigmoid().view(-1)
            better = (1 - self.how.share) * better + self.how.share * taught
        return functional.binary_cross_entropy_with_logits(logits, torch.stack([better, 1 - better], 1).view(-1))


def fit(
    model: Any, rows: Sequence[Row], recipe: DuoRecipe, *, pool: Pool, checkpoints: Path, progress: Progress
) -> None:
    """Train, from the last checkpoint where there is one; see `rankloom.training.cross_encoder_fit.fit`."""
    columns: dict[str, list[Any]] = {
        "query": [row.query for row in rows],
        "documents": [[row.positive, *row.negatives[: recipe.compared]] for row in rows],
    }
    if recipe.judged is not None:
        columns["label"] = [list(row.scores[: 1 + recipe.compared]) for row in rows]
    told = compared(pool, recipe.depth)
    if len(told) < len(pool):
        _log.info("%s of %s held-out queries have no pair to be told", len(pool) - len(told), len(pool))
    measure = _Evaluator(pool, recipe.depth) if told else None
    dataset, loss = Dataset.from_dict(columns), BothOrders(model, recipe.judged)
    train_on(dataset, model, rows, recipe, loss=loss, measure=measure, checkpoints=checkpoints, progress=progress)


class _Evaluator(BaseEvaluator):
    """Measures at every checkpoint, for the trainer of sentence-transformers."""

    def __init__(self, pool: Pool, depth: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the library's
        self.pool, self.depth = pool, depth

    def __call__(self, model: Any, *_: Any, **__: Any) -> dict[str, float]:
        """The measure that the best checkpoint is chosen by, and the other."""
        found = measured(model, self.pool, depth=self.depth)
        return {f"{NAME}_ndcg@{_CUT}": found["nDCG@10"], f"{NAME}_accuracy": found["pair accuracy"]}


def measured(model: Any, pool: Pool, *, depth: int) -> dict[str, float]:
    """How well a model compares.

    Args:
        model: The cross-encoder.
        pool: Held-out queries; those without a relevant document or without another are left out.
        depth: Documents of each query: its best candidates, with a relevant document in the place of the last if none
            of them is one.

    Returns:
        `nDCG@10` of these documents by all pairs in both orders, and `pair accuracy`, the share of pairs of a relevant
        document and another in which the former is preferred. Nothing if no held-out query has such a pair.
    """
    shown = compared(pool, depth)
    if not shown:
        return {}
    preferences = _preferences(model, pool, shown)
    gains = {query: np.array([one in pool.relevant[query] for one in some]) for query, some in shown.items()}
    ndcg = [_ndcg(preferences[query].sum(1), gains[query]) for query in shown]
    won = [preferences[query][gains[query]][:, ~gains[query]].ravel() > 0 for query in shown]
    return {
        "nDCG@10": round(float(np.mean(ndcg)), 4),
        "pair accuracy": round(float(np.mean(np.concatenate(won))), 4),
    }


def compared(pool: Pool, depth: int) -> dict[str, list[str]]:
    """Held-out query -> the documents of it that are compared; without queries of which there is no pair to tell."""
    return {query: some for query in pool.queries if (some := _shown(pool, query, depth)) is not None}


def _shown(pool: Pool, query: str, depth: int) -> list[str] | None:
    """The documents of a query that are compared; None if there is no pair to tell."""
    relevant, candidates = pool.relevant[query], pool.candidates[query][:depth]
    if relevant and not relevant.intersection(candidates):
        candidates = [*candidates[: depth - 1], min(relevant)]
    found = relevant.intersection(candidates)
    return candidates if found and len(found) < len(candidates) else None


def _preferences(model: Any, pool: Pool, shown: dict[str, list[str]]) -> dict[str, NDArray[np.float64]]:
    """For each query, by how much documents are preferred to one another: P(i > j) - P(j > i), of shape (n, n)."""
    training = model.training
    model.eval()
    comparing = DuoEncoder(LoadedModel(model, model.device.type))
    names = sorted({one for some in shown.values() for one in some})
    documents = dict(zip(names, token_ids(comparing.tokenizer, [pool.documents[one] for one in names]), strict=True))
    queries = dict(zip(shown, token_ids(comparing.tokenizer, [pool.queries[one] for one in shown]), strict=True))
    asked = [(query, a, b) for query, some in shown.items() for a, b in permutations(range(len(some)), 2)]
    readings = [
        comparing.frame.reading(queries[query], documents[shown[query][a]], documents[shown[query][b]])
        for query, a, b in asked
    ]
    found = {query: np.zeros((len(some), len(some))) for query, some in shown.items()}
    for places, logits in comparing.told(readings):
        likely = 1 / (1 + np.exp(-logits.astype(np.float64)))
        for place, one in zip(places.tolist(), likely.tolist(), strict=True):
            query, a, b = asked[place]
            found[query][a, b] += one
            found[query][b, a] -= one
    model.train(training)
    return found


def _ndcg(scores: NDArray[np.float64], gains: NDArray[np.bool_]) -> float:
    """The nDCG at 10 of some documents that stand in an order already, which equal scores leave as it is."""
    discounts = 1 / np.log2(np.arange(2, len(gains) + 2))[:_CUT]
    ranked = gains[np.argsort(-scores, kind="stable")][:_CUT]
    best = np.sort(gains)[::-1][:_CUT]
    return float((ranked * discounts).sum() / (best * discounts).sum())
