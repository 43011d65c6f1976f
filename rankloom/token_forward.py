"""One batch through a multi-vector encoder of sentence-transformers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers.util import batch_to_device

from rankloom.encoders.batches import Batch
from rankloom.encoders.encoder import Role
from rankloom.models import LoadedModel
from rankloom.reduction import Reduction, Unreduced


class BatchVectors(NamedTuple):
    """The vectors of a batch's texts, one below the other.

    Args:
        rows: float32 of shape (vectors, dimensions).
        lengths: How many each text has; int64 of shape (texts,).
    """

    rows: NDArray[np.float32]
    lengths: NDArray[np.int64]


class TokenForward:
    """Computes the token vectors of a batch.

    Args:
        loaded: The model.
        role: What the texts are.
        reduction: What becomes of the vectors of each text.
        unit: Whether vectors have length 1; one that was computed in bfloat16 is brought to it more exactly.
    """

    def __init__(self, loaded: LoadedModel, role: Role, *, reduction: Reduction, unit: bool) -> None:
        self.loaded, self.role, self.reduction, self.unit = loaded, role, reduction, unit
        self.dimensions = int(loaded.model.get_embedding_dimension())

    def __call__(self, batch: Batch) -> BatchVectors:
        """The vectors of a batch; none of a text without tokens."""
        if batch.features["input_ids"].numel() == 0:  # there is nothing that a model could read
            return BatchVectors(np.zeros((0, self.dimensions), dtype=np.float32), np.zeros_like(batch.read))
        features: dict[str, Any] = batch_to_device(batch.features, torch.device(self.loaded.device))
        with torch.inference_mode():
            output = self.loaded.model(features, task=self.role)
            vectors, mask = output["token_embeddings"], output["attention_mask"].bool()
            if self.unit and vectors.dtype != torch.float32:
                vectors = torch.nn.functional.normalize(vectors.float(), dim=-1)
            if not isinstance(self.reduction, Unreduced):  # which would only move vectors to the front
                vectors, mask = self.reduction(vectors, mask)
            rows, lengths = vectors[mask].float().cpu().numpy(), mask.sum(dim=1).cpu().numpy()
        return BatchVectors(rows, lengths.astype(np.int64))


def counted_tokens(model: Any, batch: Batch) -> list[list[str]]:
    """The tokens of each document of a batch that get a vector, in the order of the vectors, which are not computed."""
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    features: dict[str, Any] = dict(batch.features)
    for module in model:
        if isinstance(module, MultiVectorMask):
            features = module(features, task="document")
    ids, mask = features["input_ids"], features["attention_mask"].bool()
    return [model.tokenizer.convert_ids_to_tokens(own[kept].tolist()) for own, kept in zip(ids, mask, strict=True)]
