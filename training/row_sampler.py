"""The order in which a trainer of transformers sees rows: batch after batch of `rankloom.training.contrasts`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from torch.utils.data import Sampler

from rankloom.training.contrasts import Row, batches


class InBatches(Sampler[int]):
    """Places of rows for all steps of a training: those of one batch stand together.

    Args:
        rows: The rows.
        size: Rows in a batch.
        count: How many batches.
        seed: Of the order.
    """

    def __init__(self, rows: Sequence[Row], *, size: int, count: int, seed: int) -> None:
        self.rows, self.size, self.count, self.seed = rows, size, count, seed

    def __len__(self) -> int:
        """How many places there are."""
        return self.size * self.count

    def __iter__(self) -> Iterator[int]:
        """One after another."""
        return chain.from_iterable(batches(self.rows, size=self.size, count=self.count, seed=self.seed))
