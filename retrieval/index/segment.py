"""A segment: an immutable stretch of an index, with documents and terms of its own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import DamagedIndexError
from rankloom.files import Manifest, atomic_path, checksum
from rankloom.fingerprint import digest
from rankloom.ids import DocIds
from rankloom.retrieval.index.columns import Columns, PackedVectors
from rankloom.retrieval.index.storage import ColumnWriters, read_column, read_strings, write_strings
from rankloom.retrieval.vocabulary import Vocabulary

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = "rankloom-index-segment"
VERSION = 2
IDS, TERMS = "ids.arrow", "terms.arrow"
#: Columns besides those of `Columns`: see `Segment`.
RANKS, REFERENCE = "ranks", "reference"
#: Name of a column -> type of its values, which of the manifest's counts says how many there are, and how many more.
LAYOUT: dict[str, tuple[str, str, int]] = {
    "term_groups": ("i8", "terms", 1),
    "term_bytes": ("i8", "terms", 1),
    "term_documents": ("i4", "terms", 0),
    "group_keys": ("u4", "groups", 0),  # u2 in a segment of few blocks
    "group_counts": ("u1", "groups", 0),
    "group_bounds": ("u1", "groups", 0),
    "postings": ("u1", "bytes", 0),
    "norms": ("u1", "documents", 0),
    "large_positions": ("i8", "large", 0),
    "large_values": ("i4", "large", 0),
    RANKS: ("i4", "ranks", 0),
    REFERENCE: ("f4", "reference", 0),
}
#: Columns of `PackedVectors`, in a segment that has them, and the types of their values.
VECTOR_STARTS, VECTORS = "vector_starts", "vectors"
VECTOR_LAYOUT = {VECTOR_STARTS: "i8", VECTORS: "u1"}
_MOST_SHORT_BLOCKS = 1 << 15  # a key is twice the block's number, plus 1


class Segment:
    """Postings, terms and ids of some documents.

    Documents are numbered in the order they came in. `ids` is in the order of ids, and `ranks` says where each
    document stands in it.

    Args:
        columns: The postings.
        ids: The documents' ids.
        ranks: The place of each document in `ids`, int32 of shape (documents,); empty if that is its number.
        vocabulary: The terms; a term's number is its place.
        reference: What frequencies were multiplied by for the groups' bounds, by length byte; float32 (256,).
        fields: `shift` (binary logarithm of a block's size), `total` (sum of all values), `filled` (documents that
            have a term), `largest` (of all values).
        vectors: The terms of each document once more, for whoever asks for them; None if they are to be found in the
            postings.
        name: What the index calls it.
        fingerprint: Digest of its contents; None for a segment in memory.
    """

    def __init__(
        self,
        columns: Columns,
        ids: DocIds,
        ranks: NDArray[np.int32],
        vocabulary: Vocabulary,
        reference: NDArray[np.float32],
        *,
        fields: Mapping[str, int],
        vectors: PackedVectors | None = None,
        name: str = "memory",
        fingerprint: str | None = None,
    ) -> None:
        self.columns, self.ids, self.ranks, self.vocabulary, self.reference = columns, ids, ranks, vocabulary, reference
        self.shift, self.total, self.filled = fields["shift"], fields["total"], fields["filled"]
        self.largest, self.name, self.fingerprint = fields["largest"], name, fingerprint
        self.vectors = vectors

    @classmethod
    def open(cls, directory: Path, *, verify: bool = False) -> Segment:
        """Map a segment that `write_segment` has written.

        Args:
            directory: Where it lives.
            verify: Compare the checksum of every file, also of those above 16 MiB; reads them all.

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
                name: read_column(
                    directory / name, column_type(name, fields["documents"], fields["shift"]), fields[count] + more
                )
                for name, (_, count, more) in LAYOUT.items()
            }
            if columns["term_groups"][-1] != fields["groups"] or columns["term_bytes"][-1] != fields["bytes"]:
                raise ValueError("the terms do not end where the postings do")
            ranks, reference = columns.pop(RANKS), columns.pop(REFERENCE)
            vectors = None
            if VECTORS in fields:
                sizes = {VECTOR_STARTS: fields["documents"] + 1, VECTORS: fields[VECTORS]}
                vectors = PackedVectors(
                    *(read_column(directory / name, VECTOR_LAYOUT[name], size) for name, size in sizes.items())
                )
            return cls(
                Columns(**columns),
                DocIds(ids),
                ranks,
                Vocabulary(terms),
                reference,
                fields={name: int(fields[name]) for name in ("shift", "total", "filled", "largest")},
                vectors=vectors,
                name=directory.name,
                fingerprint=str(fields["fingerprint"]),
            )
        except (pa.ArrowInvalid, OSError, KeyError, ValueError, TypeError, IndexError) as error:
            raise DamagedIndexError(
                f"a segment of the index can not be read ({error})",
                value=str(directory),
                fix="delete the index and build it again",
            ) from error

    def __len__(self) -> int:
        """How many documents there are, deleted ones included."""
        return len(self.columns.norms)

    @cached_property
    def documents_by_rank(self) -> NDArray[np.int32]:
        """The document of each place in `ids`, int32 of shape (documents,)."""
        if not len(self.ranks):
            return np.arange(len(self), dtype=np.int32)
        documents = np.empty(len(self), dtype=np.int32)
        documents[self.ranks] = np.arange(len(self), dtype=np.int32)
        return documents

    @property
    def nbytes(self) -> int:
        """Bytes of its columns, ids and terms, in memory or in mapped files."""
        columns = sum(column.nbytes for column in (*self.columns, *(self.vectors or ())))
        columns += self.ranks.nbytes + self.reference.nbytes
        return int(columns + self.ids.array.nbytes + self.vocabulary.array.nbytes)

    def find(self, doc_ids: list[str]) -> NDArray[np.int32]:
        """The documents of some ids, -1 for those that are not here; int32 of shape (ids,)."""
        places = self.ids.codes(doc_ids)
        if not len(self):
            return places
        return np.where(places < 0, np.int32(-1), self.documents_by_rank[np.maximum(places, 0)])

    def ids_in_order(self) -> pa.LargeStringArray:
        """The ids in the order of the documents' numbers."""
        return self.ids.array if not len(self.ranks) else self.ids.strings(self.ranks)


def column_type(name: str, documents: int, shift: int) -> str:
    """The type of a column in a segment of so many documents."""
    short = name == "group_keys" and documents >> shift < _MOST_SHORT_BLOCKS
    return "u2" if short else LAYOUT[name][0]


def ordered_ids(in_order: pa.LargeStringArray) -> tuple[DocIds, NDArray[np.int32]]:
    """Ids in the order of documents as a segment keeps them: sorted, and the rank of each document (see `Segment`)."""
    ids, ranks = DocIds.encode(in_order)
    if np.array_equal(ranks, np.arange(len(ranks), dtype=np.int32)):
        ranks = np.zeros(0, dtype=np.int32)
    return ids, ranks


def save_segment(segment: Segment, directory: Path) -> None:
    """Write a segment from memory; the directory appears whole or not at all."""
    with atomic_path(directory) as temporary:
        temporary.mkdir()
        types = {name: column_type(name, len(segment), segment.shift) for name in LAYOUT}
        types |= {} if segment.vectors is None else VECTOR_LAYOUT
        with ColumnWriters(temporary, types) as writers:
            for name, column in segment.columns._asdict().items():
                writers.append(name, column)
            writers.append(RANKS, segment.ranks)
            writers.append(REFERENCE, segment.reference)
            if segment.vectors is not None:
                writers.append(VECTOR_STARTS, segment.vectors.starts)
                writers.append(VECTORS, segment.vectors.packed)
        write_strings(temporary / IDS, segment.ids.array)
        write_strings(temporary / TERMS, segment.vocabulary.array)
        counts = {name: getattr(segment, name) for name in ("shift", "total", "filled", "largest")}
        describe(temporary, **counts, terms=len(segment.vocabulary))


def describe(folder: Path, *, shift: int, total: int, filled: int, largest: int, terms: int) -> None:
    """Write the manifest of a segment whose files are all there."""
    size = {name: (folder / name).stat().st_size for name in LAYOUT}
    documents = size["norms"]
    fields = {
        "documents": documents,
        "terms": terms,
        "groups": size["group_counts"],
        "bytes": size["postings"],
        "large": size["large_values"] // 4,
        "ranks": size[RANKS] // 4,
        "reference": size[REFERENCE] // 4,
        "shift": shift,
        "total": total,
        "filled": filled,
        "largest": largest,
    }
    if (folder / VECTORS).is_file():
        fields[VECTORS] = (folder / VECTORS).stat().st_size
    sums = {path.name: checksum(path) for path in sorted(folder.iterdir())}
    Manifest.write(folder, format=FORMAT, version=VERSION, fields={**fields, "fingerprint": digest(sums, fields)})
