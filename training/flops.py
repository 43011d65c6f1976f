"""Penalties that make learned sparse vectors sparse.

Paria et al.: Minimizing FLOPs to Learn Efficient Sparse Representations, ICLR 2020 (arXiv:2004.05665). The penalty by
idf is that of Geng et al., 2024 (arXiv:2411.04403); leaving short vectors alone that of Geng et al., 2025
(arXiv:2504.14839).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def flops(weights: Tensor, chances: Tensor | None = None) -> Tensor:
    """Expected multiplications when two random texts are compared: the sum over terms of (mean |weight|)^2.

    Args:
        weights: float of shape (texts, vocabulary).
        chances: With which each term was drawn to be computed, float of shape (vocabulary,); terms that were not drawn
            weigh 0, and the others stand for them. None: all were computed.

    Returns:
        A scalar.
    """
    squares = weights.abs().mean(dim=0).square()
    return squares.sum() if chances is None else (squares / chances).sum()


class IdfFlops(nn.Module):
    """FLOPS of what terms contribute to scores, each term's divided by its idf, so that frequent terms go first.

    A term contributes idf times weight, so this is `flops` of the plain weights, and it needs the idf on the query's
    side to have its effect. `power` says how much the idf counts: 1 is the paper's, 0 is FLOPS of the contributions,
    which knows no idf. sentence-transformers takes it as `document_regularizer` of its `SpladeLoss`.

    Args:
        idf: float of shape (vocabulary,), 0 for terms that no query holds; those are left out.
        power: Of the idf that contributions are divided by.
        threshold: Texts with no more terms than this are not penalised; they count in the mean as zeros. None: all are.
    """

    def __init__(self, idf: Tensor, *, power: float = 1.0, threshold: int | None = None) -> None:
        super().__init__()
        self.power = power
        self.threshold = threshold
        self.chances: Tensor | None = None
        scale = torch.where(idf > 0, idf.clamp(min=1e-9) ** (1 - power), torch.zeros_like(idf))
        self.register_buffer("scale", scale, persistent=False)
        self.scale: Tensor

    def compute_loss_from_embeddings(self, embeddings: Tensor) -> Tensor:
        """The penalty of a batch of documents, float of shape (texts, vocabulary); named as the library asks for it."""
        if self.threshold is not None:
            present = (embeddings != 0).float()
            terms = (present if self.chances is None else present / self.chances).sum(dim=1)
            embeddings = embeddings * (terms > self.threshold).unsqueeze(1)
        return flops(embeddings * self.scale, self.chances)

    @contextmanager
    def drawn(self, chances: Tensor) -> Iterator[None]:
        """Take embeddings for those of terms that were drawn with these chances, while the block runs; see `flops`."""
        self.chances = chances
        try:
            yield
        finally:
            self.chances = None

    def get_config_dict(self) -> dict[str, object]:
        """What the library writes on the model's card."""
        return {"power": self.power, "threshold": self.threshold}
