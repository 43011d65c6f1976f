"""The terms of an index in sorted order; a term's number is its place."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankloom.ids import lengths_and_bytes

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_REMEMBERED = 1 << 16  # terms


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
        self._remembered: dict[str, int] = {}

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
        """The number of a term, or None."""
        number = int(self.numbers([term])[0])
        return None if number < 0 else number

    def numbers(self, terms: Sequence[str]) -> NDArray[np.int64]:
        """The number of each term, -1 for unknown ones; int64 of shape (terms,).

        A binary search in the file, whose outcome is remembered: queries share terms.
        """
        if len(terms) > _MOST_REMEMBERED:
            return self._searched(terms)
        if len(self._remembered) > _MOST_REMEMBERED:
            self._remembered = {}
        remembered = self._remembered
        new = [term for term in terms if term not in remembered]
        if new:
            remembered.update(zip(new, self._searched(new).tolist(), strict=True))
        return np.array([remembered[term] for term in terms], dtype=np.int64)

    def _searched(self, terms: Sequence[str]) -> NDArray[np.int64]:
        """`numbers`, by binary search."""
        from rankloom.retrieval.index.vocabulary_kernel import find_strings

        encoded = [term.encode("utf-8", "surrogatepass") for term in terms]
        ends = np.cumsum([len(term) for term in encoded], dtype=np.int64)
        numbers = np.full(len(terms), -1, dtype=np.int64)
        offsets, text = self._bytes
        find_strings(offsets, text, ends, np.frombuffer(b"".join(encoded), dtype=np.uint8), numbers)
        return numbers

    def take(self, numbers: Sequence[int] | NDArray[np.int32]) -> list[str]:
        """The terms of some numbers, in the order given."""
        import pyarrow as pa

        return list(self.array.take(pa.array(numbers, pa.int32())).to_pylist())

    @cached_property
    def _bytes(self) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Where each term starts, and the bytes of all."""
        lengths, text = lengths_and_bytes(self.array)
        return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)]), text
