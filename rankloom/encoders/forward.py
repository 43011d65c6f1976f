"""One batch through a model of sentence-transformers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers.util import batch_to_device

from rankloom.encoders.batches import Batch
from rankloom.encoders.encoder import Role
from rankloom.models import LoadedModel


class Forward:
    """Computes the vectors of a batch.

    Args:
        loaded: The model.
        role: What the texts are.
        width: Numbers of each vector that are kept, from the first.
        normalize: Bring what is kept to length 1.
    """

    def __init__(self, loaded: LoadedModel, role: Role, *, width: int, normalize: bool) -> None:
        self.loaded, self.role, self.width, self.normalize = loaded, role, width, normalize
        runtimes = [module for module in loaded.model.modules() if hasattr(module, "one_by_one")]
        self.one_by_one = any(module.one_by_one for module in runtimes)
        self.threads = torch.get_num_threads() if runtimes else 1  # torch brings its own threads to a batch

    def __call__(self, batch: Batch) -> NDArray[np.float32]:
        """Vectors of a batch, float32 of shape (texts, width)."""
        features: dict[str, Any] = batch_to_device(batch.features, torch.device(self.loaded.device))
        with torch.inference_mode():
            output = self.loaded.model(features, task=self.role)["sentence_embedding"][:, : self.width].float()
            if self.normalize:
                output = torch.nn.functional.normalize(output)
        vectors: NDArray[np.float32] = output.cpu().numpy()
        return vectors
