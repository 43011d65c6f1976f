"""One training of a multi-vector encoder, by the trainer of sentence-transformers, with reduced vectors in every step.

Veneroso et al.: CRISP: Clustering Multi-Vector Representations for Denoising and Pruning, 2025 (arXiv:2505.11471).
"""

from __future__ import annotations

from typing import Any

import torch
from sentence_transformers import MultiVectorEncoderTrainer
from sentence_transformers.multi_vector_encoder.losses import (
    CachedMultiVectorMultipleNegativesRankingLoss,
    MultiVectorMultipleNegativesRankingLoss,
)
from sentence_transformers.multi_vector_encoder.scoring import mean_colbert_scores
from torch import Tensor

from rankloom.reduction import Reductions
from rankloom.training.contrastive_config import Contrast
from rankloom.training.encoder_fit import Contrasting


class MultiVectorTrainer(Contrasting, MultiVectorEncoderTrainer):
    """Trains a multi-vector encoder."""


class ReducedVectors(torch.nn.Module):
    """The last module of an encoder while it is trained: reduces vectors, with gradients to those they are made of.

    Args:
        both: Of queries and of documents.
    """

    forward_kwargs = frozenset({"task"})  # what sentence-transformers passes on

    def __init__(self, both: Reductions) -> None:
        super().__init__()
        self.both = both

    def forward(self, features: dict[str, Any], task: str | None = None) -> dict[str, Any]:
        """Vectors and their mask, reduced; in single precision, whatever the other modules compute with."""
        reduction = self.both.of("query" if task == "query" else "document")
        vectors, mask = features["token_embeddings"], features["attention_mask"].bool()
        with torch.autocast(vectors.device.type, enabled=False):
            vectors, mask = reduction(_at_least_single(vectors), mask)
        return features | {"token_embeddings": vectors, "attention_mask": mask}


def multi_vector_loss(encoder: Any, how: Contrast) -> Any:
    """The loss of sentence-transformers over all documents of a batch, with `mean_maxsim` for scores."""
    options: dict[str, Any] = {"scale": 1 / how.temperature, "similarity_fct": mean_maxsim}
    if how.mini_batch is None:
        return MultiVectorMultipleNegativesRankingLoss(encoder, **options)
    return CachedMultiVectorMultipleNegativesRankingLoss(encoder, mini_batch_size=how.mini_batch, **options)


def mean_maxsim(
    queries: Tensor, documents: Tensor, queries_mask: Tensor | None = None, documents_mask: Tensor | None = None
) -> Tensor:
    """MaxSim divided by the number of a query's vectors, in single precision.

    Args:
        queries: Of shape (queries, vectors, dimensions).
        documents: Of shape (queries, documents of each, vectors, dimensions).
        queries_mask: Which count.
        documents_mask: Which count.

    Returns:
        float32 of shape (queries, all documents).
    """
    with torch.autocast(queries.device.type, enabled=False):
        scores: Tensor = mean_colbert_scores(
            _at_least_single(queries), _at_least_single(documents), queries_mask, documents_mask
        )
    return scores


def _at_least_single(vectors: Tensor) -> Tensor:
    """Vectors in single precision, where they are in half."""
    return vectors.to(torch.promote_types(vectors.dtype, torch.float32))
