"""One batch through a model of sentence-transformers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers.util import batch_to_device

from rankloom.encoders.batches import Batch, Limits, plain_transformer
from rankloom.encoders.encoder import Role
from rankloom.encoders.one_thread import one_thread
from rankloom.models import LoadedModel
from rankloom.parallel import completed


class Forward:
    """Computes what a model gives for a batch, and knows how the model wants to be called.

    Args:
        loaded: The model.

    Attributes:
        by_torch: Whether torch computes it, with threads of its own for a batch; else ONNX Runtime.
        threads: How many batches it can compute at a time.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded
        runtimes = [module for module in loaded.model.modules() if hasattr(module, "one_by_one")]
        self._one_by_one = any(module.one_by_one for module in runtimes)
        self.by_torch = not runtimes
        self.threads = 1 if self.by_torch else torch.get_num_threads()

    def limits(self, texts: int | None) -> Limits:
        """How large a batch may be, with so many texts at most if the model does not want each alone."""
        return Limits.on(self.loaded.device, 1 if self._one_by_one else texts)

    def output(self, batch: Batch, name: str, **options: Any) -> Any:
        """The output of some name, a float32 tensor; called inside `inference_mode`."""
        features: dict[str, Any] = batch_to_device(batch.features, torch.device(self.loaded.device))
        return self.loaded.model(features, **options)[name].float()


class Vectors(Forward):
    """The vectors of a batch.

    Args:
        loaded: A sentence encoder.
        role: What the texts are.
        width: Numbers of each vector that are kept, from the first.
        normalize: Bring what is kept to length 1.
    """

    def __init__(self, loaded: LoadedModel, role: Role, *, width: int, normalize: bool) -> None:
        super().__init__(loaded)
        self.role, self.width, self.normalize = role, width, normalize

    def __call__(self, batch: Batch) -> NDArray[np.float32]:
        """Float32 of shape (texts, width)."""
        with torch.inference_mode():
            output = self.output(batch, "sentence_embedding", task=self.role)[:, : self.width]
            if self.normalize:
                output = torch.nn.functional.normalize(output)
        vectors: NDArray[np.float32] = output.cpu().numpy()
        return vectors


class PairScores(Forward):
    """The raw scores of a batch of pairs, by a cross-encoder.

    On a processor, each batch has one thread of torch's, and there are as many batches at a time as torch has threads:
    threads that share a batch wait for one another, and sums depend on how many share them. Models that are no plain
    transformers (`plain_transformer`) have few and large batches, which their threads share.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        super().__init__(loaded)
        self._alone = self.by_torch and loaded.device == "cpu" and plain_transformer(loaded.model)
        if self._alone:
            self.threads = torch.get_num_threads()

    def limits(self, texts: int | None) -> Limits:
        """See `Forward.limits`."""
        return Limits.of_pairs(self.loaded.device, super().limits(texts).texts)

    def scored(self, prepared: Sequence[Batch]) -> Iterator[tuple[Batch, NDArray[np.float32]]]:
        """The scores of some batches, as they come."""
        begin = one_thread if self._alone and self.threads > 1 else None
        return completed(self, prepared, threads=self.threads, begin=begin)

    def __call__(self, batch: Batch) -> NDArray[np.float32]:
        """Float32 of shape (pairs,)."""
        with torch.inference_mode():
            output = self.output(batch, "scores")
        scores: NDArray[np.float32] = output.reshape(len(batch.places)).cpu().numpy()
        return scores
