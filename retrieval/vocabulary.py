"""The terms of an index in sorted order; a term's number is its place."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa


class Vocabulary:
    """An immutable, sorted table of unique terms in Arrow memory, which may be a mapped file.

    Args:
        array: A `pyarrow.LargeStringArray`, sorted by code points, without duplicates and nulls.

    Example:
        >>> vocabulary, numbers = Vocabulary.number(["sky", "blue"])
        >>> numbers.tolist(), vocabulary.find("sky"), vocabulary.find("red"), vocabulary.take([1, 0])
        ([1, 0], 1, None, ['sky', 'blue'])
    """

    def __init__(self, array: pa.LargeStringArray) -> None:
        self.array = array
        self._found: dict[str, int] = {}

    @classmethod
    def number(cls, terms: Sequence[str]) -> tuple[Vocabulary, NDArray[np.int32]]:
        """The vocabulary of unique terms in any order, and the number of each, int32 of shape (terms,)."""
        import pyarrow as pa
        import pyarrow.compute as pc

        array = pa.array(terms, pa.large_string())
        order = pc.sort_indices(array)
        numbers = np.empty(len(array), dtype=np.int32)
        numbers[order.to_numpy()] = np.arange(len(array), dtype=np.int32)
        return cls(array.take(order)), numbers

    def __len__(self) -> int:
        """How many terms there are."""
        return len(self.array)

    def find(self, term: str) -> int | None:
        """The number of a term, or None; a binary search in the file, remembered once the term is found."""
        number = self._found.get(term)
        if number is None:
            number = bisect_left(range(len(self.array)), term, key=self._term)
            if number == len(self.array) or self._term(number) != term:
                return None
            self._found[term] = number
        return number

    def take(self, numbers: Sequence[int] | NDArray[np.int32]) -> list[str]:
        """The terms of some numbers, in the order given."""
        import pyarrow as pa

        return list(self.array.take(pa.array(numbers, pa.int32())).to_pylist())

    def _term(self, number: int) -> str:
        """The term of one number."""
        return str(self.array[number].as_py())
