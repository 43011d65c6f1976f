"""Reductions that keep some tokens by where they stand: baselines of CRISP (arXiv:2505.11471)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rankloom.reduction.reduction import Reduction

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Spacing(Reduction):
    """Every k-th token, the first one among them: `K2`, `K4`.

    Args:
        step: From one token that is kept to the next, at least 2.
    """

    step: int

    @property
    def name(self) -> str:
        """The word, such as `K2`."""
        return f"K{self.step}"

    def kept(self, tokens: int) -> int:
        """One of each `step` tokens, rounded up."""
        return -(-tokens // self.step)

    def _reduce(self, vectors: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        from rankloom.reduction.tensors import pick

        number = mask.cumsum(dim=1) - 1  # of each token, among those that count
        return pick(vectors, mask & (number % self.step == 0), width=self.kept(mask.shape[1]))


@dataclass(frozen=True, slots=True)
class Tail(Reduction):
    """The last tokens. `T8x32` keeps 8 of a query and 32 of a document.

    Args:
        count: How many, at least 1.
    """

    count: int

    @property
    def name(self) -> str:
        """The word that keeps so many on both sides, such as `T32x32`."""
        return f"T{self.count}x{self.count}"

    def kept(self, tokens: int) -> int:
        """The count, or all tokens of a shorter text."""
        return min(self.count, tokens)

    def _reduce(self, vectors: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        from rankloom.reduction.tensors import pick

        behind = mask.sum(dim=1, keepdim=True) - mask.cumsum(dim=1)  # tokens that follow
        return pick(vectors, mask & (behind < self.count), width=self.kept(mask.shape[1]))
