"""What a sparse student is trained by: losses of sentence-transformers, mixed, on a sample of the vocabulary.

Most of the cost of a step is the product of every token with every term of the vocabulary. A query's tokens are all
that scores need, and the penalty is a sum over terms, which a sample estimates without bias.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import torch
from sentence_transformers.sparse_encoder.losses import (
    SparseDistillKLDivLoss,
    SparseMarginMSELoss,
    SparseMultipleNegativesRankingLoss,
    SpladeLoss,
)
from torch import Tensor, nn

from rankloom.checks import between, choice
from rankloom.errors import UsageError
from rankloom.retrieval.sparse_adapter import document_modules
from rankloom.training.flops import IdfFlops
from rankloom.training.inference_free_config import LossName

_STAGE = "sparse_loss"


class LossMixture(nn.Module):
    """A weighted sum of losses over a query, its documents, and what teachers say of them.

    `kl` compares the distributions over a query's documents (temperature 1; the teachers' scale is that of
    `rankloom.training.ensemble`), `margin_mse` the distances from the first document (Hofstätter et al., 2020,
    arXiv:2010.02666), `info_nce` tells the first document from all others of the batch.

    Args:
        model: The student.
        weights: Name -> its share, above 0.
        scale: What the student's scores are multiplied by first: sums of idf times weight are far larger than what a
            softmax tells apart.

    Raises:
        UsageError: An unknown loss, no loss, or a weight that is not above 0.
    """

    def __init__(self, model: Any, weights: Mapping[LossName, float], *, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        if not weights or min(weights.values()) <= 0:
            raise UsageError("there must be losses, with weights above 0", stage=_STAGE, value=dict(weights))
        for name in weights:
            choice(name, get_args(LossName), stage=_STAGE, parameter="loss")
        self.weights = dict(weights)
        self.losses: dict[LossName, Any] = {name: _loss(name, model) for name in weights}

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Each loss times its weight; the library adds them up, and logs them by name."""
        embeddings = [self.scale * embeddings[0], *embeddings[1:]]
        return {
            name: self.weights[name] * loss.compute_loss_from_embeddings(embeddings, labels)
            for name, loss in self.losses.items()
        }

    def get_config_dict(self) -> dict[str, object]:
        """What the library writes on the model's card."""
        return {str(name): weight for name, weight in self.weights.items()}


def _loss(name: LossName, model: Any) -> Any:
    """A loss of sentence-transformers."""
    if name == "kl":
        return SparseDistillKLDivLoss(model, temperature=1.0)
    return SparseMarginMSELoss(model) if name == "margin_mse" else SparseMultipleNegativesRankingLoss(model)


class SampledSpladeLoss(SpladeLoss):
    """`SpladeLoss` that computes a batch's own tokens and a sample of all other terms.

    Every token of the batch's queries and documents is computed, so scores are exact. The penalty of the terms that are
    drawn counts for those that are not.

    Args:
        model: A student of `rankloom.retrieval.sparse_adapter.adapted`.
        loss: Of scores.
        penalty: Of documents.
        weight: Of the penalty, once the schedule has let it grow.
        sample: Share of the other terms that is drawn; 1 computes all.

    Raises:
        UsageError: `sample` is not above 0 and at most 1.
    """

    def __init__(self, model: Any, loss: LossMixture, penalty: IdfFlops, *, weight: float, sample: float = 1.0) -> None:
        super().__init__(
            model,
            loss=loss,
            document_regularizer_weight=weight,
            document_regularizer=penalty,
            query_regularizer_weight=0.0,
        )
        self.query_regularizer_weight = None  # given as 0 above, because the library warns of None
        self.penalty = penalty
        self.sample = between(sample, 0, 1, stage=_STAGE, parameter="sample")
        if sample == 0:
            raise UsageError("no term would be drawn", stage=_STAGE, value=sample, accepted="above 0")

    def forward(self, sentence_features: Any, labels: Tensor | None = None) -> dict[str, Tensor]:
        """The losses of a batch by name; draws by torch's global generator, whose state checkpoints hold."""
        features = list(sentence_features)
        _, head = document_modules(self.model)
        chances = torch.full_like(self.penalty.scale, self.sample)
        chances[torch.cat([one["input_ids"].flatten() for one in features])] = 1.0
        columns = torch.nonzero(torch.rand(len(chances)).to(chances.device) < chances).flatten()
        with head.only(columns), self.penalty.drawn(chances):
            losses: dict[str, Tensor] = super().forward(features, labels)
        return losses
