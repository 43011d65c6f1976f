"""What a reduction is: a function from the token vectors of texts to fewer of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rankloom.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor


class Reduction(ABC):
    """Makes fewer vectors of a text's token vectors.

    What becomes of a text depends on its own vectors only: not on the other texts of a batch, nor on padding.
    Gradients flow to the vectors that are kept, or whose mean is; which ones those are has no gradient.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """The word by which `rankloom.reduction.reductions` makes this reduction, for documents at least."""

    @abstractmethod
    def kept(self, tokens: int) -> int:
        """How many vectors remain, at most, of a text with so many."""

    def __call__(self, vectors: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Reduce a batch.

        Args:
            vectors: Any float type, of shape (texts, tokens, dimensions).
            mask: Which of them count, bool of shape (texts, tokens); holes are allowed.

        Returns:
            Vectors of the same type and shape (texts, kept, dimensions), those that count first, zeros behind them;
            and their mask, bool of shape (texts, kept).

        Raises:
            UsageError: The shapes do not fit one another.
        """
        if vectors.ndim != 3 or mask.shape != vectors.shape[:2]:
            raise UsageError(
                "vectors and mask do not fit one another",
                stage=self.name,
                value=(tuple(vectors.shape), tuple(mask.shape)),
                accepted="shapes (texts, tokens, dimensions) and (texts, tokens)",
            )
        return self._reduce(vectors, mask.bool())

    @abstractmethod
    def _reduce(self, vectors: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Reduce a batch whose shapes have been checked."""


@dataclass(frozen=True, slots=True)
class Unreduced(Reduction):
    """Keeps all vectors: the word `none`."""

    @property
    def name(self) -> str:
        """`none`."""
        return "none"

    def kept(self, tokens: int) -> int:
        """All of them."""
        return tokens

    def _reduce(self, vectors: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        from rankloom.reduction.tensors import pick

        return pick(vectors, mask, width=vectors.shape[1])


@dataclass(frozen=True, slots=True)
class Reductions:
    """What is done to queries and what to documents.

    Args:
        query: Of queries.
        document: Of documents.
        name: The word for both, as `rankloom.reduction.reductions` writes it.
    """

    query: Reduction
    document: Reduction
    name: str

    def of(self, role: Literal["query", "document"]) -> Reduction:
        """The one for queries, or the one for documents."""
        return self.query if role == "query" else self.document
