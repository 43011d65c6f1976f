"""The impact index: exact top-k search by BM25 or learned weights, over segments that are mapped into memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import UsageError
from rankloom.files import atomic_path
from rankloom.fingerprint import digest
from rankloom.ids import DocIds
from rankloom.retrieval.analysis import Analyzer
from rankloom.retrieval.index.batches import Hits
from rankloom.retrieval.index.buffer import Buffer, Texts, check_count
from rankloom.retrieval.index.commit import FORMAT, VERSION, Commit, Part, read_commit
from rankloom.retrieval.index.field_search import search_fields
from rankloom.retrieval.index.fields import about_fields, fields_of
from rankloom.retrieval.index.impact_batch import ImpactBatch
from rankloom.retrieval.index.impact_search import SearchedImpacts, impact_queries, score_documents, search_impacts
from rankloom.retrieval.index.impact_segment import ImpactSegment
from rankloom.retrieval.index.postings import postings_of
from rankloom.retrieval.index.queries import Searched, WeightedTerms, search_segments
from rankloom.retrieval.index.segment import Segment
from rankloom.retrieval.index.term_vectors import term_vectors
from rankloom.retrieval.index.writer import ImpactIndexWriter


class ImpactIndex:
    """A snapshot of an index: what it was when it was opened, whatever writers do meanwhile.

    A document's code is its place in the sorted table of ids, as everywhere. Statistics (documents, document
    frequencies, lengths) are those of the documents that are not deleted, so an index that was changed scores like
    one built anew. Use `build`, `open` or `of`, not the constructor; `ImpactIndexWriter` changes an index.

    Args:
        commit: Segments and deletions.
        threads: How many threads share a batch of queries; by default one for each processor.
        directory: Where it was opened; None for an index in memory.

    Example:
        >>> index = ImpactIndex.of(["d1", "d2"], [{"blue": 2, "sky": 1}, {"sky": 1}])
        >>> len(index), index.document_frequencies(["sky", "red"]).tolist(), index.term_vector(0)
        (2, [2, 0], {'blue': 2, 'sky': 1})
    """

    def __init__(self, commit: Commit, *, threads: int | None = None, directory: Path | None = None) -> None:
        self._commit = commit
        self.threads = threads or os.cpu_count() or 1
        self._directory = directory

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its folder, which is opened again wherever that is.

        Raises:
            UsageError: It is in memory only.
        """
        if self._directory is None:
            raise UsageError(
                "an index in memory can not leave its process", stage="index", fix="build it into a folder"
            )
        return _reopened, (str(self._directory.resolve()), self.fingerprint())

    # --- ways in ---------------------------------------------------------------------------------------------

    @classmethod
    def open(cls, directory: str | Path, *, verify: bool = False, threads: int | None = None) -> ImpactIndex:
        """Open the last commit of an index; nothing but manifests is read.

        Args:
            directory: Where the index lives.
            verify: Compare the checksum of every file, also of those above 16 MiB; reads them all.
            threads: As for the constructor.

        Raises:
            NotFoundError: There is no such directory.
            DamagedIndexError: It is no index, is of another version, or a file is missing or damaged.
        """
        place = Path(directory)
        return cls(read_commit(place, verify=verify), threads=threads, directory=place)

    @classmethod
    def of(
        cls,
        doc_ids: Sequence[str],
        documents: Iterable[Mapping[str, int]],
        *,
        linear: bool = False,
        term_vectors: bool = False,
        about: Mapping[str, str] | None = None,
    ) -> ImpactIndex:
        """An index in memory.

        Args:
            doc_ids: Ids of the documents.
            documents: The terms of each document and their values (frequencies, impacts), whole numbers from 1.
            linear: Whether values are impacts, whose products with query weights are added up; else frequencies.
            term_vectors: Whether the terms of each document are kept together as well; see `ImpactIndexWriter`.
            about: What the documents and terms come from, kept with the index.

        Raises:
            DataError: Not as many documents as ids, an id that stands twice, or a value out of range.
        """
        buffer = Buffer(None, linear=linear, term_vectors=term_vectors)
        buffer.add_terms(doc_ids, list(documents))
        return cls(Commit((Part(buffer.segment()),), about or {}, linear, term_vectors))

    @classmethod
    def of_impacts(cls, batches: Iterable[ImpactBatch], *, about: Mapping[str, str] | None = None) -> ImpactIndex:
        """An index of impacts in memory, from columns.

        Args:
            batches: The documents.
            about: As for `of`.

        Raises:
            DataError: An id stands twice, a term stands twice in a document, a value is out of range, or the columns
                do not fit together.
        """
        buffer = Buffer(None, linear=True)
        for batch in batches:
            buffer.add_impacts(batch)
        return cls(Commit((Part(buffer.segment()),), about or {}, linear=True))

    @classmethod
    def of_texts(
        cls,
        batches: Iterable[tuple[Sequence[str], Texts]],
        analyzer: Analyzer,
        *,
        fields: Sequence[str] = (),
        term_vectors: bool = False,
        about: Mapping[str, str] | None = None,
    ) -> ImpactIndex:
        """An index in memory, from batches of ids and texts (with fields: of texts by field).

        Raises:
            DataError: Not as many texts as ids, or an id that stands twice.
        """
        buffer = Buffer(analyzer, linear=False, fields=fields, term_vectors=term_vectors)
        about = {"analyzer": analyzer.fingerprint(), **(about or {}), **about_fields(fields)}
        for doc_ids, texts in batches:
            buffer.add_texts(doc_ids, texts)
        return cls(Commit((Part(buffer.segment()),), about, term_vectors=term_vectors))

    @classmethod
    def build(
        cls,
        directory: str | Path,
        doc_ids: Sequence[str],
        documents: Iterable[Mapping[str, int]],
        *,
        linear: bool = False,
        term_vectors: bool = False,
        about: Mapping[str, str] | None = None,
    ) -> ImpactIndex:
        """Write an index to a directory and open it; the directory appears whole or not at all.

        Args:
            directory: Where the index shall live; an existing one is replaced.
            doc_ids: As for `of`.
            documents: As for `of`; streamed, never held.
            linear: As for `of`.
            term_vectors: As for `of`.
            about: As for `of`.

        Raises:
            DataError: As for `of`.
        """
        count = 0
        with (
            atomic_path(Path(directory)) as temporary,
            ImpactIndexWriter(temporary, linear=linear, term_vectors=term_vectors, about=about) as writer,
        ):
            for terms in documents:
                if count < len(doc_ids):
                    writer.add(doc_ids[count], terms)
                count += 1
            check_count(count, len(doc_ids))
            writer.merge()
        return cls.open(directory)

    @classmethod
    def build_impacts(
        cls, directory: str | Path, batches: Iterable[ImpactBatch], *, about: Mapping[str, str] | None = None
    ) -> ImpactIndex:
        """`of_impacts`, written to a directory and opened; see `build`. Batches are streamed, never held."""
        with (
            atomic_path(Path(directory)) as temporary,
            ImpactIndexWriter(temporary, linear=True, about=about) as writer,
        ):
            for batch in batches:
                writer.add_impacts(batch)
            writer.merge()
        return cls.open(directory)

    # --- what it holds ---------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many documents there are, those without any term included, deleted ones not."""
        return sum(map(len, self._commit.parts))

    def __repr__(self) -> str:
        """Its size."""
        return f"<ImpactIndex of {len(self)} documents in {len(self._commit.parts)} segments>"

    @property
    def about(self) -> Mapping[str, str]:
        """What the index was made of: digests and settings by name."""
        return self._commit.about

    @property
    def fields(self) -> list[str]:
        """The fields of its documents, in order; none if their terms have no fields."""
        return fields_of(self.about)

    @property
    def linear(self) -> bool:
        """Whether values are impacts, whose products with query weights are added up, or frequencies."""
        return self._commit.linear

    @property
    def has_term_vectors(self) -> bool:
        """Whether the terms of each document are kept together; see `ImpactIndexWriter`."""
        return self._commit.term_vectors or self.linear

    @property
    def total_terms(self) -> int:
        """The sum of all values: of an index of frequencies, of all lengths.

        Of an index of fields, twice that, since the length of a field is kept as a value as well.
        """
        return sum(part.total for part in self._commit.parts)

    @property
    def nonempty_documents(self) -> int:
        """How many documents have a term at all; Lucene's statistics know only these."""
        return sum(part.filled for part in self._commit.parts)

    @property
    def nbytes(self) -> int:
        """Bytes of all segments, in memory or in mapped files."""
        return sum(part.segment.nbytes for part in self._commit.parts)

    @property
    def ids(self) -> DocIds:
        """The ids in order; the code of an id is its place. Put together on first use if there are several segments."""
        return self._named[0]

    @cached_property
    def _fingerprint(self) -> str:
        parts = [
            (part.segment.fingerprint or _memory_fingerprint(part), part.deletions.documents)
            for part in self._commit.parts
        ]
        return digest(FORMAT, VERSION, parts, dict(self.about), self.linear)

    def fingerprint(self) -> str:
        """A digest of the ids, terms and values of all segments, of what is deleted, and of `about`."""
        return self._fingerprint

    # --- reading ---------------------------------------------------------------------------------------------

    def document_frequencies(self, terms: Sequence[str]) -> NDArray[np.int64]:
        """In how many documents each term occurs; int64 of shape (terms,), 0 for unknown terms."""
        counts = np.zeros(len(terms), dtype=np.int64)
        for part in self._commit.parts:
            numbers = part.segment.vocabulary.numbers(list(terms))
            known = np.flatnonzero(numbers >= 0)
            counts[known] += part.segment.document_frequencies(numbers[known])
            if len(part.deletions.documents):
                places = np.searchsorted(part.deletions.terms, numbers)
                gone = np.flatnonzero(np.isin(numbers, part.deletions.terms))
                counts[gone] -= part.deletions.counts[places[gone]]
        return counts

    def collection_frequencies(self, terms: Sequence[str]) -> NDArray[np.int64]:
        """The sum of each term's values over all documents; int64 of shape (terms,), 0 for unknown terms."""
        sums = np.zeros(len(terms), dtype=np.int64)
        for part in self._commit.parts:
            kept = part.kept
            for place, number in enumerate(part.segment.vocabulary.numbers(list(terms)).tolist()):
                if number >= 0:
                    documents, values = postings_of(part.segment, number)
                    sums[place] += int(values[kept[documents]].sum(dtype=np.int64))
        return sums

    def documents_with_any(self, groups: Sequence[Sequence[str]]) -> NDArray[np.int64]:
        """How many documents hold a term of each group, whichever; int64 of shape (groups,)."""
        counts = np.zeros(len(groups), dtype=np.int64)
        for part in self._commit.parts:
            kept = part.kept
            for place, group in enumerate(groups):
                numbers = part.segment.vocabulary.numbers(list(group))
                held = np.zeros(len(part.segment), dtype=np.bool_)
                for number in numbers[numbers >= 0].tolist():
                    held[postings_of(part.segment, number)[0]] = True
                counts[place] += int(np.count_nonzero(held & kept))
        return counts

    def term_vector(self, code: int) -> dict[str, int]:
        """The terms of a document and their values, in the order of terms; see `term_vectors`."""
        return self.term_vectors([code])[0]

    def term_vectors(self, codes: Sequence[int] | NDArray[np.int32]) -> list[dict[str, int]]:
        """The terms of some documents and their values, in the order of terms.

        Without `term_vectors` (see `ImpactIndexWriter`), all documents together cost one pass over the postings: some
        10 ms in an index of a million documents.

        Args:
            codes: The documents' codes, 0 to len(self) - 1, in any order.

        Raises:
            IndexError: There is no such document.
        """
        wanted = np.asarray(codes, dtype=np.int64)
        for code in wanted[(wanted < 0) | (wanted >= len(self))].tolist():
            raise IndexError(f"code {code} in an index of {len(self)} documents")
        found: list[dict[str, int]] = [{}] * len(wanted)
        homes, start = self._homes[wanted], 0
        for part in self._commit.parts:
            here = np.flatnonzero((homes >= start) & (homes < start + len(part.segment)))
            vectors = term_vectors(part.segment, (homes[here] - start).astype(np.int32)) if len(here) else []
            for place, vector in zip(here.tolist(), vectors, strict=True):
                found[place] = vector
            start += len(part.segment)
        return found

    def length_code(self, code: int) -> int:
        """The byte that stands for a document's length; see `rankloom.retrieval.document_length`.

        Args:
            code: The document's code, 0 to len(self) - 1.

        Raises:
            IndexError: There is no such document.
        """
        if not 0 <= code < len(self):
            raise IndexError(f"code {code} in an index of {len(self)} documents")
        home = int(self._homes[code])
        for part in self._commit.parts:
            if home < len(part.segment):
                break
            home -= len(part.segment)
        return int(part.segment.columns.norms[home]) if isinstance(part.segment, Segment) else 0

    def search(self, queries: WeightedTerms, k: int, scoring: Any) -> Hits:
        """The best k documents of every query, by score descending, then id ascending.

        Args:
            queries: Weighted terms.
            k: How many hits a query gets at most.
            scoring: Given a segment, how its postings are scored; see `rankloom.retrieval.index.search_kernel`.

        Raises:
            UsageError: It is an index of impacts.
        """
        return search_segments(self._searched(scoring), queries, k, threads=self.threads)

    def search_fields(self, queries: WeightedTerms, fields: Sequence[str], k: int, scoring: Any) -> Hits:
        """The best k documents of every query, each term looked for in some fields.

        Args:
            queries: Weighted terms, without fields.
            fields: Names of fields.
            k: How many hits a query gets at most.
            scoring: Given a segment, its `FieldScoring`; see `rankloom.retrieval.index.fields_kernel`.

        Raises:
            UsageError: It is an index of impacts.
        """
        return search_fields(self._searched(scoring), fields, queries, k, threads=self.threads)

    def _searched(self, scoring: Any) -> list[Searched]:
        """The segments, each as it is to be scored."""
        if self.linear:
            raise UsageError("holds impacts, not frequencies", stage="index", fix="search it by search_impacts")
        parts = zip(self._commit.parts, self._named[1], strict=True)
        return [
            Searched(part.segment, codes, scoring(part.segment))
            for part, codes in parts
            if isinstance(part.segment, Segment)
        ]

    def search_impacts(self, queries: Sequence[Mapping[str, float]], k: int, *, reach: float = 1.0) -> Hits:
        """The best k documents by the sum of query weights times values: learned sparse retrieval.

        Args:
            queries: Weights by term; terms that the index does not know, and weights of 0, add nothing.
            k: How many hits a query gets at most.
            reach: What the bound on what was not added up is multiplied by. 1 gives exact results; less is faster and
                leaves out documents that are unlikely to be among the best.

        Raises:
            UsageError: It is an index of frequencies.
            DataError: A weight is NaN, infinite, or beyond what float32 scores can hold.
        """
        self._check_linear()
        searched = [
            SearchedImpacts(part.segment, codes)
            for part, codes in zip(self._commit.parts, self._named[1], strict=True)
            if isinstance(part.segment, ImpactSegment)
        ]
        return search_impacts(searched, impact_queries(queries), k, reach=reach, threads=self.threads)

    def impact_scores(self, query: Mapping[str, float], codes: NDArray[np.int32]) -> NDArray[np.float32]:
        """The scores of some documents, as `search_impacts` gives them; 0 for those that hold no term.

        Args:
            query: Weights by term.
            codes: The documents' codes, int32 of shape (documents,), each once.

        Raises:
            UsageError: It is an index of frequencies.
            DataError: A weight is NaN, infinite, or beyond what float32 scores can hold.
        """
        self._check_linear()
        asked = impact_queries([query])
        order = np.argsort(self._homes[codes])
        homes, scores, first = self._homes[codes][order], np.zeros(len(codes), dtype=np.float64), 0
        for part in self._commit.parts:
            here = slice(*np.searchsorted(homes, [first, first + len(part.segment)]).tolist())
            documents = (homes[here] - first).astype(np.int32)
            if isinstance(part.segment, ImpactSegment) and len(documents):
                scores[here] = score_documents(part.segment, asked.words, asked.weights, documents)
            first += len(part.segment)
        given = np.empty(len(codes), dtype=np.float32)
        given[order] = scores
        return given

    def _check_linear(self) -> None:
        """Refuse to score frequencies as impacts."""
        if not self.linear:
            raise UsageError(
                "holds frequencies, not impacts", stage="index", fix="search it by BM25, or build it with linear=True"
            )

    @cached_property
    def _named(self) -> tuple[DocIds, list[NDArray[np.int32]]]:
        """The ids, and for each segment the code of every document (see `Searched`)."""
        import pyarrow as pa

        parts = self._commit.parts
        if len(parts) == 1 and not len(parts[0].deletions.documents):
            return parts[0].segment.ids, [parts[0].segment.ranks]
        kept = [np.delete(np.arange(len(part.segment), dtype=np.int32), part.deletions.documents) for part in parts]
        arrays = [part.segment.ids_in_order().take(pa.array(one)) for part, one in zip(parts, kept, strict=True)]
        ids, codes = (
            DocIds.encode(pa.concat_arrays(arrays)) if arrays else (DocIds.empty(), np.zeros(0, dtype=np.int32))
        )
        named, start = [], 0
        for part, one in zip(parts, kept, strict=True):
            own = np.full(len(part.segment), -1, dtype=np.int32)
            own[one] = codes[start : start + len(one)]
            named.append(own)
            start += len(one)
        return ids, named

    @cached_property
    def _homes(self) -> NDArray[np.int64]:
        """Where each code's document stands, all segments counted through; int64 of shape (documents,)."""
        homes, start = np.empty(len(self), dtype=np.int64), 0
        for part, codes in zip(self._commit.parts, self._named[1], strict=True):
            own = codes if len(codes) else np.arange(len(part.segment), dtype=np.int32)
            there = np.flatnonzero(own >= 0)
            homes[own[there]] = there + start
            start += len(part.segment)
        return homes


def _reopened(directory: str, fingerprint: str) -> ImpactIndex:
    """An index that was pickled as its folder.

    Raises:
        NotFoundError: There is no such folder on this machine.
        UsageError: It holds another index, or another state of the index, here.
    """
    index = ImpactIndex.open(directory)
    if index.fingerprint() != fingerprint:
        raise UsageError("the folder holds another index than it did elsewhere", stage="index", value=directory)
    return index


def _memory_fingerprint(part: Part) -> str:
    """The digest of a segment in memory."""
    segment = part.segment
    return digest(segment.ids, segment.vocabulary.array.to_pylist(), list(segment.columns), segment.ranks)
