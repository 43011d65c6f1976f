"""Writing an index: documents in, segments out, commits in between."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import UsageError
from rankloom.files import MANIFEST, check_replaceable
from rankloom.retrieval.analysis import Analyzer
from rankloom.retrieval.index.buffer import Buffer, Texts, known_already
from rankloom.retrieval.index.commit import (
    DELETIONS,
    SEGMENTS,
    Commit,
    Deletions,
    Part,
    open_segment,
    read_commit,
    remove_unnamed,
    write_commit,
)
from rankloom.retrieval.index.fields import about_fields, fields_of
from rankloom.retrieval.index.impact_batch import ImpactBatch
from rankloom.retrieval.index.impact_columns import rows, values_at
from rankloom.retrieval.index.impact_merge import merge_impacts
from rankloom.retrieval.index.impact_segment import ImpactSegment, save_impacts
from rankloom.retrieval.index.merge import Source, merge
from rankloom.retrieval.index.segment import Segment, save_segment
from rankloom.retrieval.index_lock import locked

_MOST_POSTINGS = 1 << 23  # in memory, before they become a segment: some 250 MB while that is made
_MOST_SEGMENTS = 8  # of an index; a commit that would leave more merges the smaller half
_TEXTS_AT_ONCE = 4096


class ImpactIndexWriter:
    """Adds, replaces and deletes documents of an index on disk.

    Nothing is seen by anyone until `commit`, which makes all changes since the last one visible at once; a process
    killed at any moment leaves the last commit. One writer at a time holds an index. As a context manager it commits
    at the end, unless an error ends it.

    Args:
        directory: Where the index lives; a new one begins in a new or empty folder.
        analyzer: What makes terms of texts, for `add_texts`. The index keeps its fingerprint.
        linear: Whether values are impacts, whose products with query weights are added up; else frequencies. None: what
            the index was begun with; frequencies for a new one.
        term_vectors: Whether the terms of each document are kept together as well, so that `term_vectors` of an index
            costs microseconds a document instead of a pass over all postings; three quarters more on disk. None: what
            the index was begun with; not for a new one. An index of impacts always does, at no cost.
        fields: Names of the documents' fields, for `add_columns`; `add` takes terms named by
            `rankloom.retrieval.index.fields.field_terms`. None: those that the index was begun with; none for a new
            one.
        about: What the index is made of, kept with it: digests and settings by name. The `corpus` that an index was
            made from is forgotten with the first change to its documents, unless the writer of that change tells one.

    Raises:
        UsageError: Another writer is at work, the folder holds other things, or the index was begun with other
            settings or another analyzer.
        DamagedIndexError: The index is damaged.

    Example:
        >>> import tempfile
        >>> from rankloom.retrieval import ImpactIndex
        >>> folder = tempfile.mkdtemp()
        >>> with ImpactIndexWriter(folder) as writer:
        ...     writer.add("d1", {"sky": 1, "blue": 2})
        >>> with ImpactIndexWriter(folder) as writer:
        ...     writer.update("d1", {"sky": 1})
        ...     writer.add("d2", {"tide": 1})
        >>> [ImpactIndex.open(folder).term_vector(code) for code in (0, 1)]
        [{'sky': 1}, {'tide': 1}]
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        analyzer: Analyzer | None = None,
        linear: bool | None = None,
        term_vectors: bool | None = None,
        fields: Sequence[str] | None = None,
        about: Mapping[str, str] | None = None,
    ) -> None:
        self._directory = Path(directory)
        _check_place(self._directory)
        (self._directory / SEGMENTS).mkdir(parents=True, exist_ok=True)
        self._lock = locked(self._directory / "lock")
        try:
            if (self._directory / MANIFEST).is_file():
                commit = read_commit(self._directory)
                _check_settings(commit, analyzer, linear=linear, term_vectors=term_vectors, fields=fields)
            else:
                commit = Commit((), about_fields(fields or ()), bool(linear), bool(term_vectors))
            self._start(commit, analyzer, about or {})
        except BaseException:
            self._lock.release()
            raise

    def _start(self, commit: Commit, analyzer: Analyzer | None, about: Mapping[str, str]) -> None:
        """Go on from the last commit."""
        self._parts, self._linear, self._generation = list(commit.parts), commit.linear, commit.generation
        self._term_vectors = commit.term_vectors
        made_with = {} if analyzer is None else {"analyzer": analyzer.fingerprint()}
        self._about = {**made_with, **commit.about, **about}
        self._tells_corpus = "corpus" in about
        self._buffer = Buffer(
            analyzer, linear=self._linear, fields=fields_of(self._about), term_vectors=self._term_vectors
        )
        self._gone: set[str] = set()  # ids to be deleted from the segments that are there
        remove_unnamed(  # what a writer that was killed has left
            self._directory,
            [part.segment.name for part in self._parts],
            [part.deletions.file for part in self._parts],
        )

    # --- changes ---------------------------------------------------------------------------------------------

    def add(self, doc_id: str, terms: Mapping[str, int]) -> None:
        """Add a document by its terms and their values, whole numbers from 1.

        Raises:
            DataError: A value is out of range. (An id that is there already is found when its segment is made.)
        """
        self._buffer.add_terms([doc_id], [terms])
        self._flush_if_full()

    def add_impacts(self, batch: ImpactBatch) -> None:
        """`add` for columns: a batch of documents by their terms and impacts.

        Raises:
            UsageError: It is an index of frequencies.
            DataError: The columns do not fit together, a value is out of range, or a term stands twice in a document.
        """
        if not self._linear:
            raise UsageError("holds frequencies, not impacts", stage="index", fix="begin it with linear=True")
        self._buffer.add_impacts(batch)
        self._flush_if_full()

    def add_texts(self, documents: Iterable[tuple[str, str]]) -> None:
        """Add documents by (id, text); read in passing, never held.

        Raises:
            DataError: An id is there already; `update` replaces documents. (One in a segment is found when the next
                is made.)
            UsageError: The writer was made without an analyzer.
        """
        import pyarrow as pa

        for batch in _batched(documents, _TEXTS_AT_ONCE):
            texts = pa.array([_writable(text) for _, text in batch], pa.large_string())
            self.add_columns([doc_id for doc_id, _ in batch], texts)

    def add_columns(self, doc_ids: Sequence[str], texts: Texts) -> None:
        """`add_texts` for columns: ids, and texts as an Arrow array (with fields: an array for each field).

        Raises:
            DataError: Not as many texts as ids; or as for `add_texts`.
            UsageError: As for `add_texts`, or texts come by field where there are none, or the other way round.
        """
        self._buffer.add_texts(doc_ids, texts)
        self._flush_if_full()

    def update(self, doc_id: str, terms: Mapping[str, int]) -> None:
        """Put a document in the place of the one with its id, if there is one."""
        self.delete([doc_id])
        self.add(doc_id, terms)

    def delete(self, doc_ids: Iterable[str]) -> int:
        """Delete documents; ids that are not there are passed over. Returns how many were there."""
        wanted = list(dict.fromkeys(doc_ids))
        if not self._buffer.ids.keys().isdisjoint(wanted):
            self._flush()
        wanted = [doc_id for doc_id in wanted if doc_id not in self._gone]
        before = len(self._gone)
        for part in self._parts:
            found = part.segment.find(wanted)
            there = np.flatnonzero((found >= 0) & ~np.isin(found, part.deletions.documents))
            self._gone.update(wanted[place] for place in there.tolist())
        return len(self._gone) - before

    def add_index(self, directory: str | Path) -> None:
        """Add all documents of another index, as its segments are; the other index stays as it is.

        Several processes can thus index parts of a collection into folders of their own. `merge` makes one segment of
        all, the same bytes as if one writer had been given all documents in that order.

        Args:
            directory: An index that was begun with the same settings and analyzer, without deleted documents.

        Raises:
            NotFoundError: There is no such directory.
            DamagedIndexError: It is damaged.
            UsageError: It was begun otherwise, or some of its documents are deleted.
            DataError: An id is there already.
        """
        other = read_commit(Path(directory))
        made_with = {name: self._about[name] for name in ("analyzer",) if name in self._about}
        if (other.linear, other.term_vectors, fields_of(other.about)) != (
            self._linear,
            self._term_vectors,
            fields_of(self._about),
        ) or made_with.items() - other.about.items():
            raise UsageError("the other index was begun otherwise", stage="index", value=str(directory))
        if any(len(part.deletions.documents) for part in other.parts):
            raise UsageError(
                "documents of the other index are deleted", stage="index", value=str(directory), fix="merge it first"
            )
        self._flush()
        for part in other.parts:
            self._check_ids_are_new(list(part.segment.ids) if self._may_share_ids(part.segment) else [])
            name = self._name()
            shutil.copytree(
                Path(directory) / SEGMENTS / part.segment.name, self._directory / SEGMENTS / name, copy_function=_linked
            )
            self._parts.append(Part(open_segment(self._directory / SEGMENTS / name, linear=self._linear)))
            self._changed()

    # --- making them last ------------------------------------------------------------------------------------

    def commit(self) -> None:
        """Make all changes visible to whoever opens the index from now on, and safe from crashes.

        Raises:
            DataError: A document was added whose id was there already.
        """
        self._flush()
        self._parts = [part for part in self._parts if len(part)]
        if len(self._parts) > _MOST_SEGMENTS:
            by_size = sorted(self._parts, key=len)
            self._merge(by_size[: len(by_size) // 2 + 1])
        self._generation += 1
        commit = Commit(tuple(self._parts), self._about, self._linear, self._term_vectors, self._generation)
        write_commit(self._directory, commit)
        self._parts = list(read_commit(self._directory).parts)  # with the names of the files of deletions

    def merge(self) -> None:
        """Merge all segments into one, which is searched fastest; deleted documents are gone for good. Commits."""
        self._flush()
        if len(self._parts) > 1 or any(len(part.deletions.documents) for part in self._parts):
            self._merge(self._parts)
        self.commit()

    def close(self) -> None:
        """Let go of the index; what was not committed is lost."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit, unless an error came, and close."""
        try:
            if kind is None:
                self.commit()
        finally:
            self.close()

    # --- inside ----------------------------------------------------------------------------------------------

    def _flush_if_full(self) -> None:
        """Make a segment of what is in memory, once that is enough."""
        if self._buffer.postings >= _MOST_POSTINGS:
            self._flush()

    def _flush(self) -> None:
        """Make a segment of what is in memory, after what was deleted before."""
        self._delete_from_segments()
        if not self._buffer.ids:
            return
        self._check_ids_are_new(list(self._buffer.ids))
        name = self._name()
        _save(self._buffer.segment(), self._directory / SEGMENTS / name)
        self._parts.append(Part(open_segment(self._directory / SEGMENTS / name, linear=self._linear)))
        self._changed()
        self._buffer.clear()  # not before: a disk that is full must not cost documents

    def _check_ids_are_new(self, doc_ids: list[str]) -> None:
        """Refuse ids that are there already."""
        for part in self._parts:
            found = part.segment.find(doc_ids)
            there = np.flatnonzero((found >= 0) & ~np.isin(found, part.deletions.documents))
            if len(there):
                raise known_already(doc_ids[int(there[0])])

    def _may_share_ids(self, segment: Segment | ImpactSegment) -> bool:
        """Whether the ids of a segment lie among those that are there; parts of a sorted corpus do not."""
        if not len(segment):
            return False
        first, last = segment.ids[0], segment.ids[len(segment) - 1]
        return any(
            len(part.segment) and part.segment.ids[0] <= last and first <= part.segment.ids[len(part.segment) - 1]
            for part in self._parts
        )

    def _delete_from_segments(self) -> None:
        """Note in the segments which of their documents are gone."""
        wanted, self._gone = sorted(self._gone), set()
        for place, part in enumerate(self._parts if wanted else []):
            found = part.segment.find(wanted)
            together = np.union1d(found[found >= 0], part.deletions.documents).astype(np.int32)
            if len(together) > len(part.deletions.documents):
                self._parts[place] = replace(part, deletions=deletions(part.segment, together))
                self._changed()

    def _changed(self) -> None:
        """Forget the corpus that an earlier writer told: it is not what the index holds from now on."""
        if not self._tells_corpus:
            self._about.pop("corpus", None)

    def _merge(self, parts: Sequence[Part]) -> None:
        """Put one segment in the place of several."""
        name = self._name()
        _merge_parts(parts, self._directory / SEGMENTS / name)
        gone = {part.segment.name for part in parts}
        merged = Part(open_segment(self._directory / SEGMENTS / name, linear=self._linear))
        self._parts = [*(part for part in self._parts if part.segment.name not in gone), merged]

    def _name(self) -> str:
        """A name for a new segment."""
        return f"{self._generation + 1:06}-{uuid.uuid4().hex[:12]}"


def _linked(source: str, target: str) -> None:
    """Put a file, which nobody will ever change, into another folder: as a link, or else as a copy."""
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)


def _save(segment: Segment | ImpactSegment, directory: Path) -> None:
    """Write a segment from memory."""
    if isinstance(segment, ImpactSegment):
        save_impacts(segment, directory)
    else:
        save_segment(segment, directory)


def _merge_parts(parts: Sequence[Part], directory: Path) -> None:
    """Write the documents of some parts as one segment; all of them hold impacts, or none does."""
    texts: list[Source[Segment]] = []
    impacts: list[Source[ImpactSegment]] = []
    for part in parts:
        left = (part.deletions.documents, part.total, part.filled)
        if isinstance(part.segment, ImpactSegment):
            impacts.append(Source(part.segment, *left))
        else:
            texts.append(Source(part.segment, *left))
    if impacts:
        merge_impacts(impacts, directory)
    else:
        merge(texts, directory)


def deletions(segment: Segment | ImpactSegment, documents: NDArray[np.int32]) -> Deletions:
    """What the deletion of some documents takes away from a segment; reads all postings of a segment of texts once."""
    from rankloom.retrieval.index.inversion_kernel import deleted_counts

    if isinstance(segment, ImpactSegment):
        ends, positions = rows(segment.columns, documents)
        held, times = np.unique(segment.columns.document_terms[positions], return_counts=True)
        filled = int(np.count_nonzero(np.diff(ends, prepend=0)))
        total = int(values_at(segment.columns, positions).sum(dtype=np.int64))
        return Deletions(documents, held.astype(np.int32), times.astype(np.int32), total, filled)
    deleted = np.zeros(len(segment), dtype=np.bool_)
    deleted[documents] = True
    counts = np.zeros(len(segment.vocabulary), dtype=np.int32)
    sums = np.zeros(len(segment), dtype=np.int64)
    deleted_counts(segment.columns, deleted, counts, sums)
    terms = np.flatnonzero(counts).astype(np.int32)
    return Deletions(documents, terms, counts[terms], int(sums.sum()), int(np.count_nonzero(sums)))


def _check_settings(
    commit: Commit,
    analyzer: Analyzer | None,
    *,
    linear: bool | None,
    term_vectors: bool | None,
    fields: Sequence[str] | None,
) -> None:
    """Refuse to go on with an index otherwise than it was begun; None asks for nothing.

    Raises:
        UsageError: A setting or the analyzer is another.
    """
    asked = {
        "linear": (linear, commit.linear),
        "term_vectors": (None if commit.linear else term_vectors, commit.term_vectors),
        "fields": (None if fields is None else sorted(fields), fields_of(commit.about)),
    }
    for name, (wanted, begun) in asked.items():
        if wanted is not None and wanted != begun:
            raise UsageError(
                f"the index was begun with another {name}",
                stage="index",
                value=wanted,
                accepted=str(begun),
                fix=f"leave {name} out, or build another index",
            )
    if analyzer is not None and commit.about.get("analyzer", analyzer.fingerprint()) != analyzer.fingerprint():
        raise UsageError(
            "the index was made with another analyzer",
            stage="index",
            value=analyzer,
            fix="pass the analyzer= that the index was built with, or build it again",
        )


def _check_place(directory: Path) -> None:
    """Refuse a folder that holds other things; a writer killed before its first commit leaves one of ours."""
    ours = {SEGMENTS, DELETIONS, "lock"}
    if not directory.is_dir() or {path.name for path in directory.iterdir()} - ours:
        check_replaceable(directory)


def _writable(text: str) -> str:
    """The text without lone surrogates, which UTF-8 can not hold; they are no letters of any word."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def _batched(values: Iterable[tuple[str, str]], size: int) -> Iterator[list[tuple[str, str]]]:
    """Lists of so many values, the last one shorter."""
    batch = []
    for value in values:
        batch.append(value)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
