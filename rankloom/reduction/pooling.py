"""Token pooling: Ward's clustering of a document's vectors, by sentence-transformers.

Clavié, Chaffin and Adams: Reducing the Footprint of Multi-Vector Retrieval with Minimal Performance Impact via Token
Pooling, 2024 (arXiv:2409.14683).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rankloom.extras import require
from rankloom.reduction.reduction import Reduction

if TYPE_CHECKING:
    from torch import Tensor

_PROTECTED = 1  # the first token stays as it is


@dataclass(frozen=True, slots=True)
class Pooling(Reduction):
    """The first token, and the rest in one cluster for each `factor` tokens: `pool2`, `pool1.5`.

    Clusters by Ward's linkage of 1 - cosine, so vectors must have length 1; those that come out have it. It runs on
    the processor, text by text.

    Args:
        factor: Tokens to a cluster, on average; more than 1, not necessarily whole.
    """

    factor: float

    @property
    def name(self) -> str:
        """The word, such as `pool2`."""
        return f"pool{self.factor:.10g}"

    def kept(self, tokens: int) -> int:
        """The first token, and one of each `factor` others, but at least one of them."""
        others = max(tokens - _PROTECTED, 0)
        return tokens - others + min(others, max(int(others // self.factor), 1))

    def _reduce(self, vectors: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        import torch

        from rankloom.reduction.tensors import unit

        library = require("sentence_transformers.multi_vector_encoder.modules", extra="dense", stage=self.name)
        pooling = library.HierarchicalTokenPooling(self.factor, num_protected_tokens=_PROTECTED)
        texts, tokens, dimensions = vectors.shape
        exact = vectors.float() if vectors.dtype in (torch.float16, torch.bfloat16) else vectors
        pooled = [unit(pooling.pool_one(one[counts])) for one, counts in zip(exact, mask, strict=True)]
        width = self.kept(tokens)
        result = exact.new_zeros(texts, width, dimensions)
        found = mask.new_zeros(texts, width)
        for number, one in enumerate(pooled):
            result[number, : len(one)] = one
            found[number, : len(one)] = True
        return result.to(vectors.dtype), found
