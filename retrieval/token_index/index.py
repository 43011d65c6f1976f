"""The token index: stored vectors of every document's tokens, and what searches them.

What is stored is what is scored: exact scores are MaxSim over the vectors as the storage gives them back.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np

from rankloom.cached_index import opened_or_built
from rankloom.checks import same_corpus, whole
from rankloom.corpus import Corpus, corpus_beside
from rankloom.encoders import truncation_note
from rankloom.errors import UsageError
from rankloom.files import atomic_path
from rankloom.fingerprint import digest
from rankloom.ids import DocIds
from rankloom.ledger import Ledger, Note
from rankloom.models import resolve_device
from rankloom.order import Codes
from rankloom.retrieval.made_by import check_space, facts, vectors_digest
from rankloom.retrieval.token_index.candidate_search import CandidateSearch
from rankloom.retrieval.token_index.contents import VERSION, TokenContents
from rankloom.retrieval.token_index.document_encoder import DocumentEncoder
from rankloom.retrieval.token_index.exact_search import ExactSearch
from rankloom.retrieval.token_index.kinds import SEARCHES, NoSearch, check_effort, check_kinds
from rankloom.retrieval.token_index.scoring import document_rows
from rankloom.retrieval.token_index.shards import EncodedCorpus
from rankloom.retrieval.vectors.best_documents import Hits
from rankloom.retrieval.vectors.shards import shards_beside
from rankloom.session import Session
from rankloom.token_encoder import TokenEncoder
from rankloom.token_vectors import TokenVectors

_STAGE = "multi_vector"
_NO_SETTINGS: Mapping[str, Any] = {}


class TokenIndex:
    """Token vectors of documents, with the encoder they were made by. Use `build`, `open` or `of`.

    An index never changes: when documents come or go, it is built anew.

    Args:
        contents: What it holds.
        encoder: Encodes queries.
        documents: The corpus, when it is at hand.
        path: Where it lives; None for an index in memory.
    """

    def __init__(
        self,
        contents: TokenContents,
        *,
        encoder: TokenEncoder,
        documents: Corpus | None = None,
        path: Path | None = None,
    ) -> None:
        self.contents, self.encoder, self.documents, self.path = contents, encoder, documents, path

    # --- ways in ---------------------------------------------------------------------------------------------

    @classmethod
    def of(
        cls,
        corpus: Corpus,
        *,
        encoder: TokenEncoder,
        session: Session | None = None,
        storage: str = "float16",
        search: str = "exact",
        settings: Mapping[str, Any] = _NO_SETTINGS,
    ) -> Self:
        """Encode a corpus and keep the index in memory; the parameters are those of `build`.

        Until it is built, the vectors lie in float32 in a temporary folder (`TMPDIR` says where): they are two to
        sixteen times as large as the index.
        """
        session = session or Session()
        check_kinds(storage, search, settings, stage=_STAGE)
        encoder.resolve(session)
        origin = _origin(encoder, session, storage, search, settings)
        with TemporaryDirectory(prefix="rankloom-") as folder:
            encoded = EncodedCorpus(corpus, encoder, session, folder=Path(folder), stage=_STAGE)
            contents = TokenContents.build(corpus, encoded, origin, folder=None, progress=session.progress)
        return cls(contents, encoder=encoder, documents=corpus)

    @classmethod
    def build(
        cls,
        corpus: Corpus,
        path: str | Path,
        *,
        encoder: TokenEncoder,
        session: Session | None = None,
        storage: str = "float16",
        search: str = "exact",
        settings: Mapping[str, Any] = _NO_SETTINGS,
        shards: Path | None = None,
    ) -> Self:
        """Encode a corpus, write the index to a folder and open it; one shard of vectors is in memory at a time.

        The folder appears whole or not at all; an existing one is replaced. A build that was killed goes on from the
        last finished shard when it is started again (the shards, in float32, lie beside the folder, under its name and
        `.shards`).

        Args:
            corpus: The documents; `Document.contents` is what is encoded.
            path: Where the index shall live.
            encoder: The model, and what makes fewer vectors of a text's.
            session: How to carry it out.
            storage: As what vectors are kept: `float16`, `int8`, or `residual` (a centroid and a few bits a number).
            search: What finds documents: `exact`, or `centroids` (approximate; exact scores of candidates); `none` for
                vectors that are only read.
            settings: `bits` of residual storage; how many `centroids` there are.
            shards: A folder that keeps the shards, so that another index of the same vectors need not encode.

        Raises:
            UsageError: There is no such storage, search or setting.
            DataError: A document is longer than the model reads, and the session's policy is `error`; or a vector is
                one that the storage can not hold.
        """
        session, target = session or Session(), Path(path)
        check_kinds(storage, search, settings, stage=_STAGE)
        encoder.resolve(session)
        folder = shards or shards_beside(target)
        encoded = EncodedCorpus(corpus, encoder, session, folder=folder, stage=_STAGE)
        origin = _origin(encoder, session, storage, search, settings)
        with atomic_path(target) as temporary:
            TokenContents.build(corpus, encoded, origin, folder=temporary, progress=session.progress)
        if shards is None:
            shutil.rmtree(folder, ignore_errors=True)
        return cls.open(target, corpus=corpus, encoder=encoder)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        corpus: Corpus | None = None,
        encoder: TokenEncoder | None = None,
        model: str | None = None,
        options: Mapping[str, Any] = _NO_SETTINGS,
        verify: bool = False,
    ) -> Self:
        """Open an index that `build` has written; vectors are memory-mapped.

        Args:
            path: Where the index lives.
            corpus: The corpus it was made from, so that hits have texts; by default the one beside the index (see
                `rankloom.corpus.corpus_beside`), and without one, hits have ids and scores only.
            encoder: Encodes queries; by default the one that the index was made with.
            model: Where its model is to be found, if not under the same name.
            options: Parameters of the encoder that shall be others than they were; what they make of documents must be
                the same.
            verify: Compare the checksum of every file, also of those above 16 MiB; reads them all.

        Raises:
            NotFoundError: There is no such folder.
            DamagedIndexError: It is no index, is of another version, or a file is missing or damaged.
            UsageError: The index was made with another model or from another corpus.
        """
        folder = Path(path)
        contents = TokenContents.read(folder, verify=verify)
        about = contents.about
        corpus = corpus_beside(folder, about["corpus"]) if corpus is None else corpus
        same_corpus(corpus, about["corpus"], stage=_STAGE)
        if encoder is None:
            settings = {**about["encoder_parameters"], **options}
            encoder = TokenEncoder(about["model"] if model is None else model, stage=_STAGE, **settings)
        opened = cls(contents, encoder=encoder, documents=corpus, path=folder)
        opened.check_encoder()
        return opened

    @classmethod
    def for_corpus(
        cls,
        corpus: Corpus,
        session: Session,
        *,
        encoder: TokenEncoder,
        storage: str,
        searches: Sequence[str],
        settings: Mapping[str, Any],
    ) -> Self:
        """The index that the session's cache holds, or is given now; without a cache, one in memory.

        Args:
            corpus: The documents.
            session: Its cache keeps the index, and the shards for others of the same vectors.
            encoder: As for `build`, and so the others.
            storage: As what vectors are kept.
            searches: Kinds of search that will do: the first that the cache holds, otherwise the last.
            settings: Of storage and search.

        Raises:
            NotFoundError: The model is not to be had.
            UsageError: There is no such storage, search or setting.
            DataError: As for `build`.
        """
        built: dict[str, Any] = {"storage": storage, "search": searches[-1], "settings": settings}
        if session.cache is None:
            return cls.of(corpus, encoder=encoder, session=session, **built)
        encoder.resolve(session)
        vectors = digest(VERSION, vectors_digest(DocumentEncoder(encoder), session), corpus)
        shards = session.cache.index_directory(f"{_STAGE}_shards", vectors)
        keys = [digest(vectors, storage, search, settings) for search in searches]
        folders = [session.cache.index_directory(_STAGE, key) for key in keys]
        index = opened_or_built(
            next((folder for folder in folders if folder.is_dir()), folders[-1]),
            lambda there: cls.open(there, corpus=corpus, encoder=encoder),
            lambda there: cls.build(corpus, there, encoder=encoder, session=session, shards=shards, **built),
        )
        index.check_truncation(session)
        return index

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its folder, which is opened again wherever that is.

        Raises:
            UsageError: It is in memory only.
        """
        if self.path is None:
            raise UsageError("an index in memory can not leave its process", stage=_STAGE, fix="build it into a folder")
        return _reopened, (str(self.path.resolve()), self.documents, self.encoder, self.contents.about["contents"])

    # --- what it holds ---------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many documents there are."""
        return len(self.ids)

    def __repr__(self) -> str:
        """Its size, model, and what searches it."""
        held = self.contents
        return (
            f"<TokenIndex of {len(self)} documents by {held.about['model']}: {len(held.storage)} vectors as "
            f"{held.storage.kind}, search {held.search.kind}>"
        )

    @property
    def ids(self) -> DocIds:
        """The documents' ids in order; hits are codes of it."""
        return self.contents.ids

    @property
    def dimensions(self) -> int:
        """Numbers in each vector."""
        return self.contents.storage.dimensions

    @property
    def nbytes(self) -> int:
        """Bytes of its vectors, of what is searched, of ids and of tables, in memory or mapped."""
        return self.contents.nbytes

    @property
    def space(self) -> str:
        """The fingerprint of what encoded the documents: vectors of one space can be compared."""
        return str(self.contents.about["encoder"])

    def describe(self) -> dict[str, Any]:
        """What it is: sizes, encoder, storage, what searches it and how; JSON values."""
        held = self.contents
        documents, vectors = len(held.ids), len(held.storage)
        return {
            "documents": documents,
            "vectors": vectors,
            "vectors_per_document": vectors / documents if documents else 0.0,
            "dimensions": self.dimensions,
            "model": held.about["model"],
            "encoder_settings": held.about["encoder_parameters"],
            "precision": held.about["precision"],
            "storage": held.storage.kind,
            "storage_settings": held.storage.settings(),
            "search": held.search.kind,
            "search_settings": held.search.settings(),
            "exact": held.search.exact,
            "vector_bytes": held.storage.nbytes,
            "searched_bytes": held.search.nbytes,
            "bytes": held.nbytes,
            "bytes_per_document": held.nbytes / documents if documents else 0.0,
            "bytes_per_vector": held.storage.nbytes / vectors if vectors else 0.0,
        }

    @cached_property
    def ledger(self) -> Ledger:
        """A note for each document that is longer than the model reads, and for each that has no vectors."""
        cut = np.flatnonzero(self.contents.truncated)
        pairs = zip(self.ids.take(cut.astype(np.int32)), self.contents.truncated[cut].tolist(), strict=True)
        bare = np.flatnonzero(np.diff(self.contents.offsets) == 0)
        return Ledger(
            (
                *(Note(_STAGE, "truncated", doc_id=doc_id, amount=amount) for doc_id, amount in pairs),
                *(Note(_STAGE, "no_vectors", doc_id=doc_id) for doc_id in self.ids.take(bare.astype(np.int32))),
            )
        )

    def fingerprint(self) -> str:
        """A digest of the encoder, of what was encoded and how, of how it is kept, and of what searches it."""
        held = self.contents
        found = (held.search.kind, held.search.settings())
        asking = (self.encoder.fingerprint(role="query"), self.encoder.precision)
        return digest("token index", VERSION, held.about["contents"], *found, *asking)

    def check_encoder(self) -> None:
        """Refuse to search with an encoder that makes other vectors of documents; see `made_by.check_space`.

        Raises:
            UsageError: The fingerprint of its documents is not the one in the manifest.
        """
        check_space(DocumentEncoder(self.encoder), self.contents.about, stage=_STAGE)

    def check_truncation(self, session: Session) -> None:
        """Refuse an index of documents that were cut, where that is an error.

        Raises:
            DataError: A document is longer than the model reads, and the session's policy is `error`.
        """
        for note in self.ledger.of("truncated")[:1]:
            truncation_note(session, stage=_STAGE, tokens=note.amount, doc_id=note.doc_id)

    def vectors(self, codes: Codes) -> TokenVectors:
        """Copies of the vectors of some documents, as they are stored."""
        rows, starts = document_rows(self.contents.offsets, codes)
        return TokenVectors(self.contents.storage.take(rows), starts)

    # --- searching -------------------------------------------------------------------------------------------

    def search(
        self,
        queries: TokenVectors,
        k: int,
        *,
        effort: Mapping[str, int] = _NO_SETTINGS,
        session: Session | None = None,
    ) -> Hits:
        """The best k documents of each query, by score descending and document id ascending.

        Args:
            queries: A query without vectors finds nothing.
            k: How many documents for each query, at least 1; fewer come back when the index holds fewer.
            effort: `nprobe` and `candidates` of a search by centroids.
            session: Whose device multiplies in an exact search, if it is a CUDA one; by default the processor does.

        Raises:
            DataError: The queries have not the index's dimensions, or a number is not finite.
            UsageError: `k` or a setting is out of range, or the kind of search does not have the setting; or the index
                was built without one.
        """
        whole(k, least=1, stage=_STAGE, parameter="k")
        check_effort(self.contents.search.kind, effort, k, stage=_STAGE)
        search = self.contents.search
        if isinstance(search, NoSearch):
            raise UsageError(
                "the index was built to be read, not to be searched",
                stage=_STAGE,
                value=f"search={search.kind}",
                accepted=" or ".join(SEARCHES),
                fix="build it with search='exact'",
            )
        if isinstance(search, CandidateSearch):
            return search.search(queries, k, **effort)
        asked = "cpu" if session is None else session.device
        return search.search(queries, k, device=asked if asked == "cpu" else resolve_device(asked, stage=_STAGE))

    def close(self) -> None:
        """Free the model, and the memory of accelerators."""
        self.encoder.close()
        if isinstance(self.contents.search, ExactSearch):
            self.contents.search.close()


def _origin(
    encoder: TokenEncoder, session: Session, storage: str, search: str, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """What an index is made by, and how it shall be kept and searched."""
    given = {name: value for name, value in settings.items() if value is not None}
    asked = {"storage": storage, "search": search, "settings": given}
    made_by = facts(DocumentEncoder(encoder), encoder.precision_in(session))
    return {**made_by, "encoder_parameters": encoder.settings(), "asked": asked}


def _reopened(path: str, documents: Corpus | None, encoder: TokenEncoder, holds: str) -> TokenIndex:
    """An index that was pickled as its folder.

    Raises:
        NotFoundError: There is no such folder on this machine.
        UsageError: It holds another index here.
    """
    index = TokenIndex.open(path, corpus=documents, encoder=encoder)
    if index.contents.about["contents"] != holds:
        raise UsageError("the folder holds another index than it did elsewhere", stage=_STAGE, value=path)
    return index
