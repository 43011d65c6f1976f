"""The order in which a trainer of transformers sees examples: those of a batch are of like lengths.

What fills a batch up is computed for nothing; on a CPU that is a third of the time where lengths are drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from rankloom.errors import DataError

_TOGETHER = 20  # batches whose examples are put in the order of their lengths


class LikeLengths(Sampler[int]):
    """Places of examples for all steps of a training: those of one batch stand together.

    All examples are passed through in a random order, again and again. Of each twenty batches' worth, those of like
    lengths come together; their batches come in a random order. What fills no batch is left to the next pass.

    Args:
        lengths: Of the examples.
        size: Examples in a batch.
        count: How many batches.
        seed: Of the order.

    Raises:
        DataError: There are fewer examples than a batch takes.
    """

    def __init__(self, lengths: Sequence[int], *, size: int, count: int, seed: int) -> None:
        if len(lengths) < size:
            raise DataError(
                f"there are {len(lengths)} examples, and a step takes {size}",
                stage="training",
                fix="take fewer queries a step, or give more sources",
            )
        self.lengths, self.size, self.count, self.seed = np.asarray(lengths), size, count, seed

    def __len__(self) -> int:
        """How many places there are."""
        return self.size * self.count

    def __iter__(self) -> Iterator[int]:
        """One after another."""
        given = turn = 0
        while given < self.count:
            for batch in self._one_pass(np.random.default_rng([self.seed, turn]))[: self.count - given]:
                yield from batch
                given += 1
            turn += 1

    def _one_pass(self, draws: np.random.Generator) -> list[list[int]]:
        """Batches of all examples."""
        order = draws.permutation(len(self.lengths))[: len(self.lengths) // self.size * self.size]
        batches: list[list[int]] = []
        for start in range(0, len(order), self.size * _TOGETHER):
            some = order[start : start + self.size * _TOGETHER]
            alike = some[np.argsort(self.lengths[some], kind="stable")]
            batches += alike.reshape(-1, self.size).tolist()
        return [batches[place] for place in draws.permutation(len(batches)).tolist()]
