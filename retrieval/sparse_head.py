"""The head of a sparse encoder: from a transformer's token states to one weight for each term of the vocabulary.

Formal et al.: SPLADE v2, 2021 (arXiv:2109.10086). The second logarithm is that of Geng et al., 2025 (arXiv:2504.14839).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from sentence_transformers.sparse_encoder.modules import SpladePooling
from torch import Tensor, nn
from torch.nn import functional

ActivationFunction = Literal["relu", "log1p_relu"]


class SparseHead(SpladePooling):
    """A masked language model's head and SPLADE's pooling in one pass, for backbones that come without a head.

    Weights are those of sentence-transformers' `fill-mask` transformer with `SpladePooling`. The largest logit is taken
    before the logarithm, which keeps its order, and not after it, so that no array of (texts, tokens, vocabulary)
    is made but the logits.

    Args:
        embeddings: The backbone's word embeddings, shape (vocabulary, width); logits are products with them.
        activation_function: `relu` for one logarithm, `log1p_relu` for two, in the library's words.
    """

    def __init__(self, embeddings: nn.Embedding, *, activation_function: ActivationFunction = "relu") -> None:
        size, width = embeddings.weight.shape
        super().__init__("max", activation_function=activation_function, embedding_dimension=size)
        self.dense = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.bias = nn.Parameter(torch.zeros(size))
        self.embeddings = embeddings
        self.columns: Tensor | None = None

    @contextmanager
    def only(self, columns: Tensor) -> Iterator[None]:
        """Give weights for some terms alone (their numbers, int64), and 0 for all others, while the block runs."""
        self.columns = columns
        try:
            yield
        finally:
            self.columns = None

    def transform(self, states: Tensor) -> Tensor:
        """Token states on their way to the vocabulary, of the same shape."""
        transformed: Tensor = self.norm(functional.gelu(self.dense(states)))
        return transformed

    def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Weights as `sentence_embedding`, float32 of shape (texts, vocabulary), from `token_embeddings`."""
        states = self.transform(features["token_embeddings"])
        read = features["attention_mask"].unsqueeze(-1).bool()
        states = torch.where(read, states, states[:, :1])  # padding is never larger than the first token
        table: Tensor = self.embeddings.weight
        bias: Tensor = self.bias
        if self.columns is not None:
            table, bias = table[self.columns], bias[self.columns]
        largest = functional.linear(states, table).amax(dim=1).float() + bias.float()
        weights = largest.relu().log1p()
        if self.activation_function == "log1p_relu":
            weights = weights.log1p()
        if self.columns is not None:
            weights = weights.new_zeros(len(weights), len(self.bias)).index_copy(1, self.columns, weights)
        features["sentence_embedding"] = weights
        return features
