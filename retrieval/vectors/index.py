"""The vector index: stored vectors, what searches them, and the documents their rows belong to.

Full float32 vectors are the truth; they are memory-mapped, and feedback and re-scoring read them. A row search
(`row_search.py`) finds rows, exactly or approximately. A document has one row, or one for each of its windows.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import same_corpus, whole
from rankloom.corpus import Corpus, corpus_beside
from rankloom.encoders import Encoder, truncation_note
from rankloom.errors import DataError, UsageError
from rankloom.files import atomic_path
from rankloom.fingerprint import digest
from rankloom.ids import DocIds
from rankloom.ledger import Ledger, Note
from rankloom.order import Codes
from rankloom.records import Document, Documents
from rankloom.retrieval.index_lock import locked
from rankloom.retrieval.made_by import check_space
from rankloom.retrieval.vectors.assembly import Origin, assembled, assembled_in, given_shards
from rankloom.retrieval.vectors.best_documents import Hits, best_documents, checked_queries
from rankloom.retrieval.vectors.changes import added, check_new, compacted, deleted
from rankloom.retrieval.vectors.commit import LOCK, commit, read_commit
from rankloom.retrieval.vectors.contents import Contents
from rankloom.retrieval.vectors.encoding import check_addition, encoder_again
from rankloom.retrieval.vectors.row_kinds import AUTO, check_effort, check_kind, check_rescore, row_kind
from rankloom.retrieval.vectors.shards import Shard, encode_corpus, shards_beside, together
from rankloom.session import Session

_STAGE = "dense"
_NO_SETTINGS: Mapping[str, Any] = {}


class VectorIndex:
    """Vectors of documents, with the encoder they were made by. Use `build`, `open`, `of` or `from_vectors`.

    An index never changes: `add`, `delete` and `compact` give the index as it is afterwards, and whoever holds the one
    from before goes on searching what it held. For an index on disk they are commits: killed at any moment, they leave
    the old index or the new one.

    Args:
        contents: What it holds.
        encoder: Encodes queries.
        documents: The documents, when they are at hand: mostly a corpus.
        path: Where it lives; None for an index in memory.
    """

    def __init__(
        self, contents: Contents, *, encoder: Encoder, documents: Documents | None = None, path: Path | None = None
    ) -> None:
        self.contents, self.encoder, self.documents, self.path = contents, encoder, documents, path

    # --- ways in ---------------------------------------------------------------------------------------------

    @classmethod
    def of(
        cls,
        corpus: Corpus,
        *,
        encoder: Encoder,
        session: Session | None = None,
        kind: str = AUTO,
        settings: Mapping[str, Any] = _NO_SETTINGS,
    ) -> Self:
        """Encode a corpus and keep the index in memory; the parameters are those of `build`."""
        session = session or Session()
        check_kind(kind, settings, stage=_STAGE)
        encoder.resolve(session)
        shards = encode_corpus(corpus, encoder, session, stage=_STAGE)
        origin = Origin.of(encoder, session, kind, settings, corpus=corpus)
        return cls(assembled(corpus.ids, _numbered(shards), origin), encoder=encoder, documents=corpus)

    @classmethod
    def build(
        cls,
        corpus: Corpus,
        path: str | Path,
        *,
        encoder: Encoder,
        session: Session | None = None,
        kind: str = AUTO,
        settings: Mapping[str, Any] = _NO_SETTINGS,
        shards: Path | None = None,
    ) -> Self:
        """Encode a corpus, write the index to a folder and open it; one shard of vectors is in memory at a time.

        The folder appears whole or not at all; an existing one is replaced. A build that was killed goes on from the
        last finished shard when it is started again (the shards lie beside the folder, under its name and `.shards`).

        Args:
            corpus: The documents; `Document.contents` is what is encoded.
            path: Where the index shall live.
            encoder: The model.
            session: How to carry it out.
            kind: What searches it: `auto` for an exact search that suits the size, or a kind of `row_kinds.KINDS`.
            settings: Build settings of the kind, by name.
            shards: A folder that keeps the shards, so that another index of the same vectors need not encode.

        Raises:
            UsageError: There is no such kind, or it has no such setting.
            DataError: A document is longer than the model reads, and the session's policy is `error`.
        """
        session, target = session or Session(), Path(path)
        check_kind(kind, settings, stage=_STAGE)
        encoder.resolve(session)
        folder = shards or shards_beside(target)
        encoded = encode_corpus(corpus, encoder, session, folder=folder, stage=_STAGE)
        origin = Origin.of(encoder, session, kind, settings, corpus=corpus)
        with atomic_path(target) as temporary:
            assembled_in(temporary, corpus.ids, _numbered(encoded), origin)
        if shards is None:
            shutil.rmtree(folder, ignore_errors=True)
        return cls.open(target, corpus=corpus, encoder=encoder)

    @classmethod
    def from_vectors(
        cls,
        doc_ids: Sequence[str],
        vectors: NDArray[np.float32] | str | Path | Iterable[NDArray[np.float32]],
        *,
        encoder: Encoder,
        path: str | Path | None = None,
        corpus: Corpus | None = None,
        several: bool = False,
        kind: str = AUTO,
        settings: Mapping[str, Any] = _NO_SETTINGS,
    ) -> Self:
        """An index of vectors that were computed elsewhere.

        Args:
            doc_ids: The document of each row.
            vectors: float32 of shape (rows, dimensions), the path of a `.npy` file of such (it is memory-mapped), or
                blocks of rows, one in memory at a time.
            encoder: What the vectors were made by; encodes queries.
            path: Where the index shall live; None keeps it in memory.
            corpus: The documents, so that hits have texts; it must hold the same ids.
            several: Whether an id may stand several times: a document's best row counts.
            kind: As for `build`.
            settings: As for `build`.

        Raises:
            DataError: An id stands twice, there are not as many rows as ids, or a number is not finite.
            UsageError: There is no such kind, it has no such setting, or the corpus holds other ids.

        Example:
            >>> from rankloom.encoders import SentenceEncoder
            >>> index = VectorIndex.from_vectors(["b", "a"], np.eye(2, dtype=np.float32), encoder=SentenceEncoder())
            >>> hits = index.search(np.array([[1, 2]], dtype=np.float32), 1)
            >>> index.ids.take(hits.codes), hits.scores.tolist()
            (['a'], [2.0])
        """
        check_kind(kind, settings, stage=_STAGE)
        ids, codes = DocIds.encode(doc_ids)
        if len(ids) < len(codes) and not several:
            twice = ids[int(np.bincount(codes).argmax())]
            fix = "pass several=True if a document has several vectors"
            raise DataError("a document id stands twice", stage=_STAGE, value=twice, fix=fix)
        _check_ids(corpus, ids)
        origin = Origin.of(encoder, Session(), kind, settings, corpus=corpus, encoded=False)
        rows = given_shards(vectors, codes)
        if path is None:
            return cls(assembled(ids, rows, origin), encoder=encoder, documents=corpus)
        with atomic_path(Path(path)) as temporary:
            assembled_in(temporary, ids, rows, origin)
        return cls.open(path, corpus=corpus, encoder=encoder)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        corpus: Corpus | None = None,
        encoder: Encoder | None = None,
        model: str | None = None,
        options: Mapping[str, Any] = _NO_SETTINGS,
        verify: bool = False,
    ) -> Self:
        """Open an index that `build` has written; vectors are memory-mapped.

        Args:
            path: Where the index lives.
            corpus: The corpus it was made from, so that hits have texts; by default the one beside the index (see
                `rankloom.corpus.corpus_beside`), and without one, hits have ids and scores only. An index that has
                been changed since takes any corpus that holds its ids.
            encoder: Encodes queries; by default the sentence encoder that the index was made with.
            model: Where its model is to be found, if not under the same name.
            options: Parameters of the sentence encoder that shall be others than they were.
            verify: Compare the checksum of every file, also of those above 16 MiB; reads them all.

        Raises:
            NotFoundError: There is no such folder.
            DamagedIndexError: It is no index, is of another version, or a file is missing or damaged.
            UsageError: The index was made with another model or from another corpus; or with an encoder that is no
                sentence encoder, and none is given.
        """
        folder = Path(path)
        contents = read_commit(folder, verify=verify)
        made_from = contents.about["corpus"]
        corpus = corpus_beside(folder, made_from) if corpus is None else corpus
        same_corpus(corpus, made_from, stage=_STAGE)
        _check_ids(corpus, contents.ids)
        encoder = encoder or encoder_again(contents.about, model=model, options=options)
        opened = cls(contents, encoder=encoder, documents=corpus, path=folder)
        opened.check_encoder()
        return opened

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its folder, which is opened again wherever that is.

        Raises:
            UsageError: It is in memory only.
        """
        if self.path is None:
            raise UsageError("an index in memory can not leave its process", stage=_STAGE, fix="build it into a folder")
        return _reopened, (str(self.path.resolve()), self.documents, self.encoder, self.fingerprint())

    # --- what it holds ---------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many documents there are."""
        return len(self.ids)

    def __repr__(self) -> str:
        """Its size, model, and what searches it."""
        model = self.contents.about["model"]
        return f"<VectorIndex of {len(self)} documents by {model}, searched by {self.contents.search.kind}>"

    @property
    def ids(self) -> DocIds:
        """The documents' ids in order; hits are codes of it."""
        return self.contents.ids

    @property
    def kind(self) -> str:
        """What searches it; never `auto`, but what that has chosen."""
        return self.contents.search.kind

    @property
    def dimensions(self) -> int:
        """Numbers in each vector."""
        return self.contents.vectors.dimensions

    @property
    def nbytes(self) -> int:
        """Bytes of its vectors, of what is searched, of ids and of tables, in memory or mapped."""
        held = self.contents
        tables = held.owners.nbytes + held.truncated.nbytes + int(held.ids.array.nbytes)
        shared = held.search.nbytes if held.search.kind != "exact_float32" else 0  # that one scans the vectors
        return held.vectors.nbytes + shared + tables

    @property
    def space(self) -> str:
        """The fingerprint of the encoder: vectors of one space can be compared."""
        return str(self.contents.about["encoder"])

    def describe(self) -> dict[str, Any]:
        """What it is: sizes, encoder, what searches it and how; JSON values."""
        held = self.contents
        return {
            "documents": len(held.ids),
            "rows": len(held.owners),
            "deleted_rows": len(held.owners) - held.live_rows,
            "dimensions": self.dimensions,
            "model": held.about["model"],
            "encoder": held.about["encoder_kind"],
            "encoder_settings": held.about["encoder_settings"],
            "precision": held.about["precision"],
            "index": self.kind,
            "exact": held.search.exact,
            "settings": held.search.settings(),
            "vector_bytes": held.vectors.nbytes,
            "searched_bytes": held.search.nbytes,
        }

    @cached_property
    def ledger(self) -> Ledger:
        """A note for each document that is longer than the model reads."""
        codes, amounts = self.contents.truncated_documents()
        pairs = zip(self.ids.take(codes), amounts.tolist(), strict=True)
        return Ledger(tuple(Note(_STAGE, "truncated", doc_id=doc_id, amount=amount) for doc_id, amount in pairs))

    def fingerprint(self) -> str:
        """A digest of the encoder, of what was encoded and how, of every change since, and of what searches it."""
        held = self.contents
        return digest(
            "vector index", 4, held.about["contents"], held.search.kind, held.search.settings(), self.encoder.settings()
        )

    def check_encoder(self) -> None:
        """Refuse to search with an encoder of another vector space; see `made_by.check_space`.

        Raises:
            UsageError: The encoder's fingerprint is not the one in the manifest.
        """
        check_space(self.encoder, self.contents.about, stage=_STAGE)

    def check_truncation(self, session: Session) -> None:
        """Refuse an index of documents that were cut, where that is an error.

        Raises:
            DataError: A document is longer than the model reads, and the session's policy is `error`.
        """
        for note in self.ledger.notes[:1]:
            truncation_note(session, stage=_STAGE, tokens=note.amount, doc_id=note.doc_id)

    def vectors(self, codes: Codes) -> NDArray[np.float32]:
        """Copies of the vectors of some documents, float32 of shape (codes, dimensions).

        A document of several windows has the mean of their vectors.
        """
        held = self.contents
        starts, ends = held.row_starts[codes], held.row_starts[np.asarray(codes) + 1]
        if held.one_row_each:
            return held.vectors.take(held.row_order[starts])
        means = [
            held.vectors.take(held.row_order[start:end]).mean(axis=0, dtype=np.float64)
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        ]
        return np.array(means, dtype=np.float32).reshape(len(starts), self.dimensions)

    # --- searching -------------------------------------------------------------------------------------------

    def check_search(self, *, rescore: int | None, effort: Mapping[str, int | None], k: int | None = None) -> None:
        """Refuse settings that this kind of search does not have; None stands for one that is not given.

        Args:
            rescore: As for `search`.
            effort: As for `search`.
            k: How many documents will be asked for, if that is known.

        Raises:
            UsageError: The kind has no such setting, or it is out of range.
        """
        check_effort(self.kind, effort, stage=_STAGE)
        check_rescore(self.kind, rescore, k, exact=self.contents.search.exact, stage=_STAGE)

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        *,
        rescore: int | None = None,
        effort: Mapping[str, int] = _NO_SETTINGS,
    ) -> Hits:
        """The best k documents of each query, by score descending and document id ascending.

        Args:
            queries: float32 of shape (queries, dimensions).
            k: How many documents for each query, at least 1; fewer come back when the index holds fewer.
            rescore: How many rows that an approximate search finds are scored anew by the stored vectors, for each
                query; 0 for none, otherwise at least k. None takes the kind's own number.
            effort: Settings of an approximate search by name, such as `nprobe`.

        Raises:
            DataError: The queries have not the index's dimensions, or a number is not finite.
            UsageError: `k` or a setting is out of range, or the kind does not have the setting.
        """
        whole(k, least=1, stage=_STAGE, parameter="k")
        self.check_search(rescore=rescore, effort=effort, k=k)
        queries = checked_queries(queries, self.dimensions, stage=_STAGE)
        if rescore is None:
            rescore = 2 * k + self._rescored if self._rescored else 0
        return best_documents(self.contents, queries, k, rescore=rescore, effort=effort)

    @cached_property
    def _rescored(self) -> int:
        """How many rows beyond twice the depth the kind has scored anew, where nobody says how many; 0 for none."""
        return row_kind(self.kind, stage=_STAGE).rescore

    # --- changing --------------------------------------------------------------------------------------------

    def add(
        self, documents: Iterable[Document], *, session: Session | None = None, corpus: Corpus | None = None
    ) -> Self:
        """Encode further documents; gives the index that holds them too.

        The index is no longer that of the corpus it was made from; pass `corpus` to let hits have texts. The new
        vectors are in memory until they are written, and every commit writes what searches the index and its tables
        anew: add many documents at once rather than one by one. An adding to an index on disk that was killed goes on
        from the last finished shard, like a build; the shards lie beside the folder, under its name and
        `.added.shards`.

        Args:
            documents: The new documents.
            session: How to carry it out.
            corpus: A corpus of exactly the documents that the index then holds.

        Raises:
            DataError: A document's id stands twice or is in the index already, it is longer than the model reads
                and the session's policy is `error`, or its vector has not the index's dimensions.
            UsageError: Another writer is at work, the index has been changed since it was opened, or the corpus is
                another.
        """
        session, documents = session or Session(), list(documents)
        self.encoder.resolve(session)
        self.check_encoder()
        check_addition(self.encoder, session, self.contents.about)
        check_new(self.contents, [document.id for document in documents])
        folder = None if self.path is None else shards_beside(self.path.with_name(f"{self.path.name}.added"))
        new = Corpus.of(documents) if documents else None
        shards = (
            () if new is None else _numbered(encode_corpus(new, self.encoder, session, folder=folder, stage=_STAGE))
        )
        rows = together(shards, self.dimensions)
        doc_ids: list[str] = [] if new is None else new.ids.array.to_pylist()
        changed = self._changed(
            lambda _: added(self.contents, doc_ids, rows.vectors, rows.owners, rows.truncated), corpus
        )
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        return changed

    def delete(self, doc_ids: Iterable[str], *, corpus: Corpus | None = None) -> Self:
        """The index without some documents. Their rows stay in the files until `compact`, and are never found.

        Args:
            doc_ids: The documents to go.
            corpus: As for `add`.

        Raises:
            DataError: An id is not in the index, or stands twice.
            UsageError: As for `add`.
        """
        gone = list(doc_ids)
        return self._changed(lambda _: deleted(self.contents, gone), corpus)

    def compact(self) -> Self:
        """The index without deleted rows and in one part, and what searches it built anew.

        It costs what a build costs after encoding: all live vectors are read and written once, one block in memory at
        a time (an index in memory holds them twice meanwhile), then an approximate kind learns and takes in all rows;
        one with too few rows left to learn from keeps what it has learned. Until readers have closed the old files,
        the disk holds both.
        """
        corpus = self.documents if isinstance(self.documents, Corpus) else None
        return self._changed(lambda place: compacted(self.contents, place), corpus)

    def _changed(self, change: Callable[[Path | None], Contents], corpus: Corpus | None) -> Self:
        """The index with other contents, committed if it lives on disk; see `commit.commit`."""

        def changed(place: Path | None) -> Contents:
            contents = change(place)
            if corpus is None:
                return contents
            _check_ids(corpus, contents.ids)
            return replace(contents, about={**contents.about, "corpus": corpus.fingerprint()})

        if self.path is None:
            return type(self)(changed(None), encoder=self.encoder, documents=corpus)
        lock = locked(self.path / LOCK)
        try:
            commit(self.path, self.contents, changed)
        finally:
            lock.release()
        return type(self).open(self.path, corpus=corpus, encoder=self.encoder)


def _reopened(path: str, documents: Corpus | None, encoder: Encoder, fingerprint: str) -> VectorIndex:
    """An index that was pickled as its folder.

    Raises:
        NotFoundError: There is no such folder on this machine.
        UsageError: It holds another index, or another state of the index, here.
    """
    index = VectorIndex.open(path, corpus=documents, encoder=encoder)
    if index.fingerprint() != fingerprint:
        raise UsageError("the folder holds another index than it did elsewhere", stage=_STAGE, value=path)
    return index


def _numbered(shards: Iterable[Shard]) -> Iterator[Shard]:
    """Shards whose owners are codes of the corpus, not places in the shard."""
    first = 0
    for shard in shards:
        yield replace(shard, owners=shard.owners + first)
        first += int(shard.owners[-1]) + 1 if len(shard.owners) else 0


def _check_ids(corpus: Corpus | None, ids: DocIds) -> None:
    """Refuse a corpus that holds other documents than an index."""
    if corpus is not None and not corpus.ids.same(ids):
        raise UsageError(
            "the corpus does not hold the documents of the index",
            stage=_STAGE,
            value=corpus,
            accepted=f"a corpus of the same {len(ids)} documents",
            fix="pass the corpus that the index was made from or changed to, or none",
        )
