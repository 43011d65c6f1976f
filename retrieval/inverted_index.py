"""An inverted index on disk, memory-mapped, with a forward index beside it.

Documents are numbered by their codes (places in the sorted table of ids), terms by their places in the sorted
vocabulary. Postings of a term are in the order of codes, so everything that walks them meets ids in ascending order.
The forward index (document -> terms and frequencies) is what term-based feedback reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import DamagedIndexError
from rankloom.files import Manifest, atomic_path
from rankloom.fingerprint import digest
from rankloom.ids import DocIds
from rankloom.retrieval.document_length import length_codes
from rankloom.retrieval.postings import Postings, invert
from rankloom.retrieval.vocabulary import Vocabulary

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = "rankloom-inverted-index"
VERSION = 1
_IDS, _TERMS = "ids.arrow", "terms.arrow"
# name of a file -> type of its values
_ARRAYS: dict[str, type[np.generic]] = {
    "posting_offsets": np.int64,
    "posting_documents": np.int32,
    "posting_frequencies": np.int32,
    "forward_offsets": np.int64,
    "forward_terms": np.int32,
    "forward_frequencies": np.int32,
    "lengths": np.int32,
}


class InvertedIndex:
    """Postings, document lengths and term vectors of a collection.

    Use `build` or `open` for an index on disk and `of` for one in memory, not the constructor.

    Args:
        ids: Document ids; the code of an id is the document's number.
        vocabulary: The terms.
        arrays: The columns, by the names of `_ARRAYS`.
        about: What the index was made of: digests by name, such as `analyzer` and `corpus`.
        fingerprint: Digest of the whole index; worked out from the columns when None.

    Example:
        >>> ids, _ = DocIds.encode(["d1", "d2"])
        >>> index = InvertedIndex.of(ids, [["blue", "sky", "blue"], ["sky"]])
        >>> [column.tolist() for column in index.postings("sky")], index.term_vector(0)
        ([[0, 1], [1, 1]], {'blue': 2, 'sky': 1})
    """

    def __init__(
        self,
        ids: DocIds,
        vocabulary: Vocabulary,
        arrays: Mapping[str, NDArray[Any]],
        *,
        about: Mapping[str, str],
        fingerprint: str | None = None,
    ) -> None:
        self.ids, self.vocabulary, self.about = ids, vocabulary, dict(about)
        self._arrays, self._fingerprint = arrays, fingerprint
        self._posting_offsets = arrays["posting_offsets"]
        self._documents, self._frequencies = arrays["posting_documents"], arrays["posting_frequencies"]
        self._forward_offsets = arrays["forward_offsets"]
        self._terms, self._term_frequencies = arrays["forward_terms"], arrays["forward_frequencies"]

    # --- ways in ---------------------------------------------------------------------------------------------

    @classmethod
    def of(
        cls, ids: DocIds, documents: Iterable[Sequence[str]], *, about: Mapping[str, str] | None = None
    ) -> InvertedIndex:
        """An index in memory.

        Args:
            ids: Ids of the documents.
            documents: The terms of each document, in the order of `ids`; read once. Memory holds 16 bytes for each
                pair of a document and a term in it.
            about: What the documents and terms come from, kept with the index.

        Raises:
            DataError: Not as many documents as ids.
        """
        vocabulary, arrays = invert(documents, expected=len(ids))
        return cls(ids, vocabulary, arrays, about=about or {})

    @classmethod
    def build(
        cls,
        directory: str | Path,
        ids: DocIds,
        documents: Iterable[Sequence[str]],
        *,
        about: Mapping[str, str] | None = None,
    ) -> InvertedIndex:
        """Write an index to a directory and open it; the directory appears whole or not at all.

        Args:
            directory: Where the index shall live; an existing directory is replaced.
            ids: As for `of`.
            documents: As for `of`.
            about: As for `of`.

        Raises:
            DataError: Not as many documents as ids.
        """
        cls.of(ids, documents, about=about).save(directory)
        return cls.open(directory)

    @classmethod
    def open(cls, directory: str | Path, *, verify: bool = False) -> InvertedIndex:
        """Open an index that `build` has written; nothing but the manifest is read.

        Args:
            directory: Where the index lives.
            verify: Also compare the checksum of every file, which reads them all.

        Raises:
            NotFoundError: There is no such directory.
            DamagedIndexError: It is no index, is of another version, or a file is missing or damaged.
        """
        import pyarrow as pa

        path = Path(directory)
        manifest = Manifest.read(path, format=FORMAT, version=VERSION, verify=verify)
        try:
            ids, terms = _mapped_strings(path / _IDS), _mapped_strings(path / _TERMS)
            arrays = {name: _mapped_array(path / f"{name}.npy") for name in _ARRAYS}
            _check(arrays, documents=len(ids), terms=len(terms), fields=manifest.fields)
            about = {str(key): str(value) for key, value in manifest.fields["about"].items()}
        except (pa.ArrowInvalid, OSError, KeyError, ValueError, EOFError, AttributeError, TypeError) as error:
            raise DamagedIndexError(
                f"the inverted index can not be read ({error})",
                value=str(directory),
                fix="delete the directory and build it again",
            ) from error
        fingerprint = digest(FORMAT, VERSION, dict(manifest.checksums), about)
        return cls(DocIds(ids), Vocabulary(terms), arrays, about=about, fingerprint=fingerprint)

    def save(self, directory: str | Path) -> None:
        """Write the index to a directory, which appears whole or not at all; an existing one is replaced."""
        with atomic_path(Path(directory)) as temporary:
            temporary.mkdir()
            _write_strings(temporary / _IDS, self.ids.array)
            _write_strings(temporary / _TERMS, self.vocabulary.array)
            for name in _ARRAYS:
                np.save(temporary / f"{name}.npy", self._arrays[name], allow_pickle=False)
            Manifest.write(
                temporary,
                format=FORMAT,
                version=VERSION,
                fields={
                    "documents": len(self),
                    "terms": len(self.vocabulary),
                    "postings": len(self._documents),
                    "about": self.about,
                },
            )

    # --- what it holds ---------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many documents there are, those without any term included."""
        return len(self.ids)

    def __repr__(self) -> str:
        """Its size."""
        return f"<InvertedIndex of {len(self)} documents and {len(self.vocabulary)} terms>"

    def fingerprint(self) -> str:
        """A digest of ids, terms and all columns."""
        if self._fingerprint is None:
            columns = [self._arrays[name] for name in _ARRAYS]
            self._fingerprint = digest(
                FORMAT, VERSION, self.ids, self.vocabulary.array.to_pylist(), columns, self.about
            )
        return self._fingerprint

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays, ids and terms, in memory or in mapped files."""
        strings = self.ids.array.nbytes + self.vocabulary.array.nbytes
        return int(strings + sum(array.nbytes for array in self._arrays.values()))

    @property
    def lengths(self) -> NDArray[np.int32]:
        """Terms in each document, repetitions included; int32 of shape (documents,)."""
        return self._arrays["lengths"]

    @cached_property
    def length_codes(self) -> NDArray[np.uint8]:
        """The lengths as Lucene rounds them, uint8 of shape (documents,); see `document_length`."""
        return length_codes(self.lengths)

    @cached_property
    def total_terms(self) -> int:
        """The sum of all lengths."""
        return int(self.lengths.sum(dtype=np.int64))

    @cached_property
    def nonempty_documents(self) -> int:
        """How many documents have a term at all; Lucene's statistics know only these."""
        return int(np.count_nonzero(self.lengths))

    # --- reading ---------------------------------------------------------------------------------------------

    def postings(self, term: str) -> Postings:
        """The documents of a term (codes, ascending) and its frequency in each; empty for an unknown term."""
        number = self.vocabulary.find(term)
        start, end = (0, 0) if number is None else self._posting_offsets[number : number + 2].tolist()
        return Postings(self._documents[start:end], self._frequencies[start:end])

    def document_frequencies(self, terms: Sequence[str]) -> NDArray[np.int64]:
        """In how many documents each term occurs; int64 of shape (terms,), 0 for unknown terms."""
        numbers = [self.vocabulary.find(term) for term in terms]
        counts = [0 if n is None else int(self._posting_offsets[n + 1] - self._posting_offsets[n]) for n in numbers]
        return np.array(counts, dtype=np.int64)

    def term_vector(self, code: int) -> dict[str, int]:
        """The terms of a document and their frequencies.

        Args:
            code: The document's code, 0 to len(self) - 1.

        Raises:
            IndexError: There is no such document.
        """
        if not 0 <= code < len(self):
            raise IndexError(f"code {code} in an index of {len(self)} documents")
        start, end = self._forward_offsets[code : code + 2].tolist()
        terms = self.vocabulary.take(self._terms[start:end])
        return dict(zip(terms, self._term_frequencies[start:end].tolist(), strict=True))


def _write_strings(path: Path, array: pa.LargeStringArray) -> None:
    """Write strings as an Arrow file of one batch."""
    import pyarrow as pa

    batch = pa.record_batch([array], names=["value"])
    with pa.ipc.new_file(path, batch.schema) as file:
        file.write_batch(batch)


def _mapped_strings(path: Path) -> pa.LargeStringArray:
    """Strings of an Arrow file, memory-mapped."""
    import pyarrow as pa

    return pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0).column("value")


def _mapped_array(path: Path) -> NDArray[Any]:
    """A column, memory-mapped; as a plain array, whose slices cost less than those of `np.memmap`."""
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def _check(arrays: Mapping[str, NDArray[Any]], *, documents: int, terms: int, fields: Mapping[str, Any]) -> None:
    """Raise ValueError if the columns do not fit each other and the manifest."""
    postings = fields["postings"]
    if (fields["documents"], fields["terms"]) != (documents, terms):
        raise ValueError("ids or terms are not as many as the manifest says")
    expected = {"posting_offsets": terms + 1, "forward_offsets": documents + 1, "lengths": documents}
    for name, array in arrays.items():
        if array.shape != (expected.get(name, postings),) or array.dtype != _ARRAYS[name]:
            raise ValueError(f"the column {name} is not of the expected shape")
    if arrays["posting_offsets"][-1] != postings or arrays["forward_offsets"][-1] != postings:
        raise ValueError("the offsets do not end where the postings do")
