"""The documents of a segment by number and by id."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankloom.ids import DocIds

if TYPE_CHECKING:
    import pyarrow as pa


class NumberedDocuments:
    """Documents numbered in the order they came in, and their ids, in the order of ids.

    Args:
        ids: The documents' ids.
        ranks: The place of each document in `ids`, int32 of shape (documents,); empty if that is its number.
    """

    def __init__(self, ids: DocIds, ranks: NDArray[np.int32]) -> None:
        self.ids, self.ranks = ids, ranks

    def __len__(self) -> int:
        """How many documents there are, deleted ones included."""
        return len(self.ids)

    @cached_property
    def documents_by_rank(self) -> NDArray[np.int32]:
        """The document of each place in `ids`, int32 of shape (documents,)."""
        if not len(self.ranks):
            return np.arange(len(self), dtype=np.int32)
        documents = np.empty(len(self), dtype=np.int32)
        documents[self.ranks] = np.arange(len(self), dtype=np.int32)
        return documents

    def find(self, doc_ids: list[str]) -> NDArray[np.int32]:
        """The documents of some ids, -1 for those that are not here; int32 of shape (ids,)."""
        places = self.ids.codes(doc_ids)
        if not len(self):
            return places
        return np.where(places < 0, np.int32(-1), self.documents_by_rank[np.maximum(places, 0)])

    def ids_in_order(self) -> pa.LargeStringArray:
        """The ids in the order of the documents' numbers."""
        return self.ids.array if not len(self.ranks) else self.ids.strings(self.ranks)


def ordered_ids(in_order: pa.LargeStringArray) -> tuple[DocIds, NDArray[np.int32]]:
    """Ids in the order of documents as a segment keeps them: sorted, and the rank of each document."""
    if not len(in_order):
        return DocIds.empty(), np.zeros(0, dtype=np.int32)
    ids, ranks = DocIds.encode(in_order)
    if np.array_equal(ranks, np.arange(len(ranks), dtype=np.int32)):
        ranks = np.zeros(0, dtype=np.int32)
    return ids, ranks
