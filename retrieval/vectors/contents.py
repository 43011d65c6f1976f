"""What a vector index holds at one moment. Nothing here changes; a changed index is another `Contents`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankloom.ids import DocIds
from rankloom.retrieval.vectors.exact_search import ExactSearch
from rankloom.retrieval.vectors.row_search import RowSearch
from rankloom.retrieval.vectors.vector_parts import VectorParts


@dataclass(frozen=True)
class Contents:
    """Rows, and which document each is of.

    Args:
        vectors: All rows, deleted ones too.
        owners: The document code of each row, int32 of shape (rows,); -1 for a deleted row.
        ids: Ids of the documents, sorted; every one has a row.
        truncated: Tokens that the model did not read of each row, int64 of shape (rows,).
        search: What finds rows.
        about: What it was made of: JSON values by name.
        generation: Counts the commits of an index on disk.
        files: Names of the vectors' files within its folder, one for each part; none for parts in memory.
        search_folder: Where the files of `search` are, within the folder; empty if nowhere yet.
        read_from: Digest of the manifest that it was read from, or is a change of; empty in memory.
    """

    vectors: VectorParts
    owners: NDArray[np.int32]
    ids: DocIds
    truncated: NDArray[np.int64]
    search: RowSearch
    about: Mapping[str, Any]
    generation: int = 0
    files: tuple[str, ...] = ()
    search_folder: str = ""
    read_from: str = ""

    @cached_property
    def live(self) -> NDArray[np.bool_] | None:
        """Which rows may be found; None for all."""
        live = self.owners >= 0
        return None if live.all() else live

    @cached_property
    def exact(self) -> ExactSearch:
        """A search of all rows that misses nothing and puts ties in order, beside a kind that does not."""
        return ExactSearch.build("exact_float32", self.vectors)

    @cached_property
    def live_rows(self) -> int:
        """How many rows may be found."""
        return int(np.count_nonzero(self.owners >= 0))

    @cached_property
    def one_row_each(self) -> bool:
        """Whether no document has several rows."""
        return self.live_rows == len(self.ids)

    @cached_property
    def row_order(self) -> NDArray[np.int64]:
        """The live rows, those of the first document first; int64 of shape (live rows,)."""
        order = np.lexsort((np.arange(len(self.owners)), self.owners))
        return np.asarray(order[len(order) - self.live_rows :])

    @cached_property
    def row_starts(self) -> NDArray[np.int64]:
        """Where each document's rows start in `row_order`; int64 of shape (documents + 1,)."""
        counts = np.bincount(self.owners[self.owners >= 0], minlength=len(self.ids))
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    def truncated_documents(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Codes of the documents with tokens that the model did not read, and how many those are."""
        cut = np.flatnonzero((self.truncated > 0) & (self.owners >= 0))
        codes, places = np.unique(self.owners[cut], return_inverse=True)
        amounts = np.zeros(len(codes), dtype=np.int64)
        np.add.at(amounts, places, self.truncated[cut])
        return codes, amounts
