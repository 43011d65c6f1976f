"""The seam between a vector index and what searches it: rows of a matrix, found by inner product."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rankloom.retrieval.vectors.vector_parts import VectorParts

Found = tuple[NDArray[np.float32], NDArray[np.int64]]


class RowSearch(Protocol):
    """Finds the rows of a matrix that have the largest inner products with a query.

    Rows are numbered as they were added. Which document a row belongs to is the index's business, not the search's.
    """

    @property
    def kind(self) -> str:
        """Its name in `kind:`; `exact_int8`, `hnsw`, `ivf_pq`, ..."""

    @property
    def exact(self) -> bool:
        """Whether nothing is left out and scores are final: rounded once from float64, ties by row."""

    @property
    def nbytes(self) -> int:
        """Bytes that a search reads, whether they are in memory or mapped."""

    def __len__(self) -> int:
        """How many rows there are."""

    def search(
        self,
        queries: NDArray[np.float32],
        depth: int,
        *,
        live: NDArray[np.bool_] | None = None,
        effort: Mapping[str, int] | None = None,
    ) -> Found:
        """The best rows of each query, best first.

        Args:
            queries: float32 of shape (queries, dimensions), contiguous.
            depth: How many rows for each, at least 1.
            live: Which rows may be found, bool of shape (rows,); None: all.
            effort: Settings of this search by name, such as `nprobe`; only names that its `RowKind` lists.

        Returns:
            Scores, float32, and rows, int64, both of shape (queries, depth). Where fewer were found, the row is -1
            and the score -inf.
        """

    def add(self, vectors: NDArray[np.float32]) -> None:
        """Take in further rows, numbered on; float32 of shape (rows, dimensions)."""

    def refilled(self, vectors: VectorParts) -> Self:
        """A search of other rows by what this one has learned, which may be more than they could teach."""

    def write(self, folder: Path) -> None:
        """Write its files into a folder, which is there and empty; nothing at all is fine."""

    def settings(self) -> dict[str, Any]:
        """What it was built with, JSON values, for the manifest and for reports; `RowKind.read` is given it back."""


@dataclass(frozen=True, slots=True)
class RowKind:
    """One way to search rows, as the table of kinds (`row_kinds.py`) holds it.

    Args:
        build: Makes a search of all rows of a matrix; is given the build settings that the user named, and no others.
        read: Opens what `write` has written: the folder, the matrix, and what `settings` said. Raises OSError,
            ValueError or KeyError where that can not be read.
        build_settings: Names that `build` takes, such as `nlist`.
        search_settings: Names that `search` takes as `effort`, such as `nprobe`.
        rescore: How many rows beyond twice the depth asked for are scored anew by the stored vectors, where the user
            names no number; 0 where none are, since the search holds full vectors.
        extra: The extra that it needs; empty for none.
        least_rows: How many rows `build` can make a search of that can be added to, given the same settings.
    """

    build: Callable[[VectorParts, Mapping[str, Any]], RowSearch]
    read: Callable[[Path, VectorParts, Mapping[str, Any]], RowSearch]
    build_settings: frozenset[str] = frozenset()
    search_settings: frozenset[str] = frozenset()
    rescore: int = 0
    extra: str = ""
    least_rows: Callable[[Mapping[str, Any]], int] = lambda _: 0
