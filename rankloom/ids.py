"""Document ids as a sorted table; a document's code is its place in it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import DataError
from rankloom.fingerprint import digest_bytes
from rankloom.order import Codes

if TYPE_CHECKING:
    import pyarrow as pa

_FEW = 32  # ids that are fetched one by one in less time than Arrow needs to begin


class DocIds:
    """An immutable, sorted table of unique document ids, in Arrow memory.

    Ids sort by Unicode code points, as Python's `str` does. Corpora, indexes and runs share one table where they
    can, so that most comparisons of documents are comparisons of int32 codes.

    Args:
        array: A `pyarrow.LargeStringArray`, sorted and free of duplicates and nulls.

    Example:
        >>> ids, codes = DocIds.encode(["d2", "d1", "d2"])
        >>> list(ids), codes.tolist(), ids.find("d2"), ids.find("d9")
        (['d1', 'd2'], [1, 0, 1], 1, None)
    """

    __slots__ = ("_array", "_fingerprint")

    def __init__(self, array: pa.LargeStringArray) -> None:
        self._array = array
        self._fingerprint: str | None = None

    @classmethod
    def encode(cls, values: Sequence[str] | pa.LargeStringArray) -> tuple[DocIds, Codes]:
        """The table of the ids in `values`, and the code of each value.

        Args:
            values: Ids in any order, repeated or not.

        Raises:
            DataError: An id is missing (null) or empty, or is no string that UTF-8 can write.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        try:
            strings = values if isinstance(values, pa.LargeStringArray) else pa.array(values, pa.large_string())
        except (pa.ArrowException, UnicodeEncodeError) as error:
            raise DataError(f"a document id is not a string ({error})", accepted="non-empty strings") from error
        coded = strings.dictionary_encode()
        names = coded.dictionary
        if coded.null_count or pc.any(pc.equal(names, "")).as_py():
            raise DataError("a document id is empty", accepted="non-empty strings")
        by_name = pc.sort_indices(names)
        place = np.empty(len(names), dtype=np.int32)
        place[by_name.to_numpy()] = np.arange(len(names), dtype=np.int32)
        return cls(names.take(by_name)), place[coded.indices.to_numpy()]

    @classmethod
    def empty(cls) -> DocIds:
        """A table with no ids."""
        return cls.encode([])[0]

    @property
    def array(self) -> pa.LargeStringArray:
        """The ids, in order, as an Arrow array."""
        return self._array

    def __len__(self) -> int:
        """How many ids there are."""
        return len(self._array)

    def __getitem__(self, code: int) -> str:
        """The id of one code."""
        return str(self._array[int(code)].as_py())

    def __iter__(self) -> Iterator[str]:
        """The ids in order."""
        for value in self._array:
            yield value.as_py()

    def strings(self, codes: Codes) -> pa.LargeStringArray:
        """The ids of many codes as an Arrow array, in one pass."""
        import pyarrow as pa

        return self._array.take(pa.array(codes))

    def take(self, codes: Codes) -> list[str]:
        """The ids of many codes as a list, in one pass."""
        if len(codes) <= _FEW:
            return [self[code] for code in codes.tolist()]
        return list(self.strings(codes).to_pylist())

    def find(self, doc_id: str) -> int | None:
        """The code of an id, or None; a binary search, nothing is loaded."""
        place = bisect_left(range(len(self)), doc_id, key=self.__getitem__)
        return place if place < len(self) and self[place] == doc_id else None

    def codes(self, doc_ids: Sequence[str]) -> Codes:
        """The codes of many ids, -1 where an id is unknown; int32 of shape (ids,)."""
        import pyarrow as pa
        import pyarrow.compute as pc

        # A hash of the whole table costs about as much as a binary search for every 160th of its rows.
        if len(doc_ids) < max(64, len(self) // 160):
            found = [self.find(doc_id) for doc_id in doc_ids]
            return np.array([-1 if code is None else code for code in found], dtype=np.int32)
        wanted = pa.array(doc_ids, pa.large_string())
        return np.asarray(pc.fill_null(pc.index_in(wanted, self._array), -1).to_numpy(), dtype=np.int32)

    def same(self, other: DocIds) -> bool:
        """Whether another table holds the same ids, and so gives them the same codes."""
        return self is other or (len(self) == len(other) and self.fingerprint() == other.fingerprint())

    def merge(self, *others: DocIds) -> tuple[DocIds, list[Codes]]:
        """The union with other tables, and how each table's codes translate into it, this one's first.

        Returns:
            The union, and for each table its new codes, int32 of shape (len(table),).
        """
        import pyarrow as pa

        tables = list({id(table): table for table in (self, *others)}.values())
        if all(table.same(self) for table in tables):
            return self, [np.arange(len(self), dtype=np.int32)] * (1 + len(others))
        union, codes = DocIds.encode(pa.concat_arrays([table.array for table in tables]))
        ends = np.cumsum([len(table) for table in tables])
        parts = {id(table): part for table, part in zip(tables, np.split(codes, ends[:-1]), strict=True)}
        return union, [parts[id(table)] for table in (self, *others)]

    def fingerprint(self) -> str:
        """A digest of all ids."""
        if self._fingerprint is None:
            lengths, text = lengths_and_bytes(self._array)
            self._fingerprint = digest_bytes(lengths.tobytes(), text.tobytes())
        return self._fingerprint


def lengths_and_bytes(strings: pa.LargeStringArray) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Strings as plain arrays: the length of each in bytes, and the UTF-8 of all of them end to end.

    >>> lengths, text = lengths_and_bytes(DocIds.encode(["b", "é"])[0].array)
    >>> lengths.tolist(), text.tobytes().decode(), strings_of(lengths, text).to_pylist()
    ([1, 2], 'bé', ['b', 'é'])
    """
    _, offsets, text = strings.buffers()
    if not offsets:  # Arrow allocates nothing for an empty array
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint8)
    ends = np.frombuffer(offsets, dtype=np.int64)[strings.offset : strings.offset + len(strings) + 1]
    return np.diff(ends), np.frombuffer(text or b"", dtype=np.uint8)[ends[0] : ends[-1]]


def strings_of(lengths: NDArray[np.int64], text: NDArray[np.uint8]) -> pa.LargeStringArray:
    """The inverse of `lengths_and_bytes`."""
    import pyarrow as pa

    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return pa.LargeStringArray.from_buffers(len(lengths), pa.py_buffer(ends), pa.py_buffer(text))
