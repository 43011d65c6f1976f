"""A segment: an immutable stretch of an index, with documents and terms of its own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import DamagedIndexError
from rankloom.files import Manifest, atomic_path, checksum
from rankloom.fingerprint import digest
from rankloom.ids import DocIds
from rankloom.retrieval.index.columns import Columns, PackedVectors
from rankloom.retrieval.index.numbered import NumberedDocuments
from rankloom.retrieval.index.storage import ColumnWriters, read_column, read_strings, write_strings
from rankloom.retrieval.vocabulary import Vocabulary

FORMAT = "rankloom-index-segment"
VERSION = 3
IDS, TERMS = "ids.arrow", "terms.arrow"
#: Columns besides those of `Columns`: see `Segment`.
RANKS, REFERENCE = "ranks", "reference"
#: Name of a column -> type of its values, which of the manifest's counts says how many there are, and how many more.
LAYOUT: dict[str, tuple[str, str, int]] = {
    "term_runs": ("i8", "terms", 1),
    "term_places": ("i8", "terms", 1),
    "term_values": ("i8", "terms", 1),
    "term_bounds": ("i8", "terms", 1),
    "run_stretches": ("u2", "runs", 0),
    "run_ones": ("u2", "runs", 0),
    "run_others": ("u2", "runs", 0),
    "places": ("u2", "postings", 0),
    "values": ("u1", "values", 0),
    "bounds": ("u1", "bounds", 0),
    "norms": ("u1", "documents", 0),
    "large_positions": ("i8", "large", 0),
    "large_values": ("i4", "large", 0),
    RANKS: ("i4", "ranks", 0),
    REFERENCE: ("f4", "reference", 0),
}
TYPES = {name: kind for name, (kind, _, _) in LAYOUT.items()}
#: Which column says where the postings of each term start in which count of the manifest.
STARTS = {"term_runs": "runs", "term_places": "postings", "term_values": "values", "term_bounds": "bounds"}
#: Columns of `PackedVectors`, in a segment that has them, and the types of their values.
VECTOR_STARTS, VECTORS = "vector_starts", "vectors"
VECTOR_LAYOUT = {VECTOR_STARTS: "i8", VECTORS: "u1"}


class Segment(NumberedDocuments):
    """Postings, terms and ids of some documents.

    Args:
        columns: The postings.
        ids: The documents' ids.
        ranks: See `NumberedDocuments`.
        vocabulary: The terms; a term's number is its place.
        reference: What frequencies were multiplied by for the bounds of blocks, by length byte; float32 (256,).
        fields: `total` (sum of all values), `filled` (documents that have a term).
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
        super().__init__(ids, ranks)
        self.columns, self.vocabulary, self.reference = columns, vocabulary, reference
        self.total, self.filled = fields["total"], fields["filled"]
        self.name, self.fingerprint = name, fingerprint
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
                name: read_column(directory / name, kind, fields[count] + more)
                for name, (kind, count, more) in LAYOUT.items()
            }
            if any(columns[name][-1] != fields[count] for name, count in STARTS.items()):
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
                fields={name: int(fields[name]) for name in ("total", "filled")},
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

    @property
    def nbytes(self) -> int:
        """Bytes of its columns, ids and terms, in memory or in mapped files."""
        columns = sum(column.nbytes for column in (*self.columns, *(self.vectors or ())))
        columns += self.ranks.nbytes + self.reference.nbytes
        return int(columns + self.ids.array.nbytes + self.vocabulary.array.nbytes)

    @cached_property
    def length_bytes(self) -> NDArray[np.int64]:
        """The length bytes of its documents, each once, but for 0, which is that of documents without a term."""
        held = np.zeros(256, dtype=np.bool_)
        held[self.columns.norms] = True
        held[0] = False
        return np.flatnonzero(held)

    def document_frequencies(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """In how many documents, deleted ones included, the terms of some numbers occur; int64 of shape (numbers,)."""
        starts = self.columns.term_places
        return starts[numbers + 1] - starts[numbers]


def save_segment(segment: Segment, directory: Path) -> None:
    """Write a segment from memory; the directory appears whole or not at all."""
    with atomic_path(directory) as temporary:
        temporary.mkdir()
        types = TYPES | ({} if segment.vectors is None else VECTOR_LAYOUT)
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
        counts = {name: getattr(segment, name) for name in ("total", "filled")}
        describe(temporary, **counts, terms=len(segment.vocabulary))


def describe(folder: Path, *, total: int, filled: int, terms: int) -> None:
    """Write the manifest of a segment whose files are all there."""
    held = {name: (folder / name).stat().st_size // np.dtype(kind).itemsize for name, kind in TYPES.items()}
    fields = {
        "documents": held["norms"],
        "terms": terms,
        "runs": held["run_stretches"],
        "postings": held["places"],
        "values": held["values"],
        "bounds": held["bounds"],
        "large": held["large_values"],
        "ranks": held[RANKS],
        "reference": held[REFERENCE],
        "total": total,
        "filled": filled,
    }
    if (folder / VECTORS).is_file():
        fields[VECTORS] = (folder / VECTORS).stat().st_size
    sums = {path.name: checksum(path) for path in sorted(folder.iterdir())}
    Manifest.write(folder, format=FORMAT, version=VERSION, fields={**fields, "fingerprint": digest(sums, fields)})
