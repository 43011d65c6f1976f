"""Reductions by clustering: a text's vectors become the means of k clusters (CRISP, arXiv:2505.11471)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rankloom.reduction.reduction import Reduction

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Clusters(Reduction):
    """So many clusters, whatever a text's length. `C8x32` takes 8 for queries and 32 for documents.

    A text with no more vectors than that keeps them as they are; equal vectors make fewer clusters.

    Args:
        count: How many, at least 1.
        normalize: Bring means to length 1, for models whose vectors have that length.
    """

    count: int
    normalize: bool = True

    @property
    def name(self) -> str:
        """The word that takes so many on both sides, such as `C32x32`."""
        return f"C{self.count}x{self.count}"

    def kept(self, tokens: int) -> int:
        """The count, or all vectors of a shorter text."""
        return min(self.count, tokens)

    def _reduce(self, vectors: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        sizes = mask.sum(dim=1).clamp(max=self.count)
        return _clustered(vectors, mask, sizes, self.kept(mask.shape[1]), self.normalize)


@dataclass(frozen=True, slots=True)
class ClusterShare(Reduction):
    """As many clusters as a share of the text's vectors, rounded up: `C25`, `C50`, `C75`.

    Args:
        percent: The share, between 1 and 99.
        normalize: Bring means to length 1, for models whose vectors have that length.
    """

    percent: int
    normalize: bool = True

    @property
    def name(self) -> str:
        """The word, such as `C25`."""
        return f"C{self.percent}"

    def kept(self, tokens: int) -> int:
        """The share, rounded up."""
        return (tokens * self.percent + 99) // 100

    def _reduce(self, vectors: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        sizes = (mask.sum(dim=1) * self.percent + 99) // 100
        return _clustered(vectors, mask, sizes, self.kept(mask.shape[1]), self.normalize)


def _clustered(vectors: Tensor, mask: Tensor, sizes: Tensor, width: int, normalize: bool) -> tuple[Tensor, Tensor]:
    """The means of each text's clusters, at most `width`."""
    from rankloom.reduction.kmeans import cluster_means
    from rankloom.reduction.tensors import pick

    if width >= mask.shape[1]:  # no text has more vectors than it may keep
        return pick(vectors, mask, width=mask.shape[1])
    return cluster_means(vectors, mask, sizes, width=width, normalize=normalize)
