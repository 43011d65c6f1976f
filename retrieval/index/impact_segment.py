"""A segment of impacts: an immutable stretch of an index of learned weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import DamagedIndexError
from rankloom.files import Manifest, atomic_path, checksum
from rankloom.fingerprint import digest
from rankloom.ids import DocIds
from rankloom.retrieval.index.impact_columns import ImpactColumns
from rankloom.retrieval.index.numbered import NumberedDocuments
from rankloom.retrieval.index.storage import ColumnWriters, read_column, read_strings, write_strings
from rankloom.retrieval.vocabulary import Vocabulary

FORMAT = "rankloom-impact-segment"
VERSION = 1
IDS, TERMS, RANKS = "ids.arrow", "terms.arrow", "ranks"
#: Name of a column -> type of its values, which of the manifest's counts says how many there are, and how many more.
LAYOUT: dict[str, tuple[str, str, int]] = {
    "document_starts": ("i8", "documents", 1),
    "document_terms": ("u4", "postings", 0),  # u2 in a segment of few terms
    "document_values": ("u1", "postings", 0),
    "large_positions": ("i8", "large", 0),
    "large_values": ("i4", "large", 0),
    "term_groups": ("i8", "terms", 1),
    "term_documents": ("i4", "terms", 0),
    "group_blocks": ("u2", "groups", 0),
    "group_runs": ("i8", "groups", 1),
    "group_postings": ("i8", "groups", 1),
    "run_levels": ("u1", "runs", 0),
    "run_counts": ("u2", "runs", 0),
    "postings": ("u2", "postings", 0),
    RANKS: ("i4", "ranks", 0),
}
_MOST_SHORT_TERMS = 1 << 16


class ImpactSegment(NumberedDocuments):
    """Impacts, terms and ids of some documents.

    Args:
        columns: The impacts.
        ids: The documents' ids.
        ranks: See `NumberedDocuments`.
        vocabulary: The terms; a term's number is its place.
        fields: `total` (sum of all values), `filled` (documents that have a term).
        name: What the index calls it.
        fingerprint: Digest of its contents; None for a segment in memory.
    """

    def __init__(
        self,
        columns: ImpactColumns,
        ids: DocIds,
        ranks: NDArray[np.int32],
        vocabulary: Vocabulary,
        *,
        fields: Mapping[str, int],
        name: str = "memory",
        fingerprint: str | None = None,
    ) -> None:
        super().__init__(ids, ranks)
        self.columns, self.vocabulary, self.name, self.fingerprint = columns, vocabulary, name, fingerprint
        self.total, self.filled = fields["total"], fields["filled"]

    @classmethod
    def open(cls, directory: Path, *, verify: bool = False) -> ImpactSegment:
        """Map a segment that was written; as `Segment.open`.

        Raises:
            NotFoundError: There is no such directory.
            DamagedIndexError: A file is missing, damaged, or of another version.
        """
        import pyarrow as pa

        manifest = Manifest.read(directory, format=FORMAT, version=VERSION, verify=verify)
        fields = manifest.fields
        try:
            ids = read_strings(directory / IDS, fields["documents"])
            terms = read_strings(directory / TERMS, fields["terms"])
            columns = {
                name: read_column(directory / name, column_type(name, fields["terms"]), fields[count] + more)
                for name, (_, count, more) in LAYOUT.items()
            }
            ends = {"document_starts": "postings", "term_groups": "groups", "group_runs": "runs"}
            if any(columns[name][-1] != fields[count] for name, count in ends.items()):
                raise ValueError("the columns do not end where the postings do")
            ranks = columns.pop(RANKS)
            return cls(
                ImpactColumns(**columns),
                DocIds(ids),
                ranks,
                Vocabulary(terms),
                fields={name: int(fields[name]) for name in ("total", "filled")},
                name=directory.name,
                fingerprint=str(fields["fingerprint"]),
            )
        except (pa.ArrowInvalid, OSError, KeyError, ValueError, TypeError, IndexError) as error:
            raise DamagedIndexError(
                f"a segment of the index can not be read ({error})",
                value=str(directory),
                fix="delete the index and build it again",
            ) from error

    def document_frequencies(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """In how many documents, deleted ones included, the terms of some numbers occur; int64 of shape (numbers,)."""
        return self.columns.term_documents[numbers].astype(np.int64)

    @property
    def nbytes(self) -> int:
        """Bytes of its columns, ids and terms, in memory or in mapped files."""
        columns = sum(column.nbytes for column in self.columns) + self.ranks.nbytes
        return int(columns + self.ids.array.nbytes + self.vocabulary.array.nbytes)


def column_type(name: str, terms: int) -> str:
    """The type of a column in a segment of so many terms."""
    return "u2" if name == "document_terms" and terms <= _MOST_SHORT_TERMS else LAYOUT[name][0]


def save_impacts(segment: ImpactSegment, directory: Path) -> None:
    """Write a segment from memory; the directory appears whole or not at all."""
    with atomic_path(directory) as temporary:
        temporary.mkdir()
        terms = len(segment.vocabulary)
        with ColumnWriters(temporary, {name: column_type(name, terms) for name in LAYOUT}) as writers:
            for name, column in segment.columns._asdict().items():
                writers.append(name, column)
            writers.append(RANKS, segment.ranks)
        write_strings(temporary / IDS, segment.ids.array)
        write_strings(temporary / TERMS, segment.vocabulary.array)
        describe(temporary, total=segment.total, filled=segment.filled)


def describe(folder: Path, *, total: int, filled: int) -> None:
    """Write the manifest of a segment whose files are all there."""
    size = {name: (folder / name).stat().st_size for name in LAYOUT}
    fields = {
        "documents": size["document_starts"] // 8 - 1,
        "postings": size["document_values"],
        "large": size["large_values"] // 4,
        "terms": size["term_documents"] // 4,
        "groups": size["group_blocks"] // 2,
        "runs": size["run_levels"],
        "ranks": size[RANKS] // 4,
        "total": total,
        "filled": filled,
    }
    sums = {path.name: checksum(path) for path in sorted(folder.iterdir())}
    Manifest.write(folder, format=FORMAT, version=VERSION, fields={**fields, "fingerprint": digest(sums, fields)})
