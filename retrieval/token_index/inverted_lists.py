"""Inverted lists: for each centroid, the documents that have a vector nearest to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rankloom.retrieval.token_index.storage import check_codes, new_array, read_array

_OFFSETS, _DOCUMENTS = "list_offsets.npy", "list_documents.npy"


@dataclass(frozen=True, slots=True, eq=False)
class InvertedLists:
    """Documents by centroid, one list behind the other; each document stands once in a list.

    Args:
        offsets: Where each list starts, int64 of shape (centroids + 1,).
        documents: Document codes, ascending within a list, int32.

    Example:
        >>> codes, documents = np.array([1, 1, 0, 1], dtype=np.uint16), np.array([0, 2, 4])
        >>> lists = InvertedLists.build(codes, documents, 3)
        >>> lists.offsets.tolist(), lists.documents.tolist()
        ([0, 1, 3, 3], [1, 0, 1])
    """

    offsets: NDArray[np.int64]
    documents: NDArray[np.int32]

    @classmethod
    def build(
        cls, codes: NDArray[Any], documents: NDArray[np.int64], centroids: int, *, folder: Path | None = None
    ) -> Self:
        """Lists of the documents of an index.

        Args:
            codes: The centroid of each vector.
            documents: Where the vectors of each document start, int64 of shape (documents + 1,).
            centroids: How many there are.
            folder: Where the files go; None keeps all in memory.
        """
        from rankloom.retrieval.token_index.inverted_lists_kernel import count_documents, list_documents

        counts = np.zeros(centroids, dtype=np.int64)
        count_documents(codes, documents, counts)
        offsets = np.zeros(centroids + 1, dtype=np.int64)
        np.cumsum(counts, out=offsets[1:])
        listed = new_array(folder, _DOCUMENTS, (int(offsets[-1]),), np.int32)
        list_documents(codes, documents, offsets[:-1].copy(), listed)
        if folder is None:
            return cls(offsets, listed)
        np.save(folder / _OFFSETS, offsets)
        return cls.read(folder)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What `build` has put into a folder, mapped.

        Raises:
            OSError: A file is missing.
            ValueError: A file is damaged.
        """
        offsets = np.array(read_array(folder / _OFFSETS, np.int64, 1))
        listed = read_array(folder / _DOCUMENTS, np.int32, 1)
        if not len(offsets) or offsets[0] or (np.diff(offsets) < 0).any() or offsets[-1] != len(listed):
            raise ValueError(f"{_OFFSETS} does not divide {_DOCUMENTS}")
        return cls(offsets, listed)

    def check(self, documents: int) -> None:
        """Refuse lists that name documents that there are not; reads them all.

        Raises:
            DamagedIndexError: They do.
        """
        check_codes(self.documents, documents, _DOCUMENTS)

    def __len__(self) -> int:
        """How many lists there are."""
        return len(self.offsets) - 1

    @property
    def nbytes(self) -> int:
        """Bytes of lists and offsets."""
        return self.offsets.nbytes + self.documents.nbytes
