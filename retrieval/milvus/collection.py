"""A collection in Milvus that holds the documents of a corpus, with the encoders it was made by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import same_corpus
from rankloom.corpus import Corpus
from rankloom.encoders import Encoder, SentenceEncoder, truncation_note
from rankloom.errors import NotFoundError, UsageError
from rankloom.fingerprint import digest
from rankloom.ledger import Ledger, Note
from rankloom.records import Document
from rankloom.retrieval.milvus.connection import STAGE, Connection
from rankloom.retrieval.milvus.contents import ID, TRUNCATED, Contents
from rankloom.retrieval.milvus.rows import BATCH, from_key, key, rows_of
from rankloom.retrieval.sparse_encoder import SparseEncoder
from rankloom.session import Session


class MilvusCollection:
    """A collection of ours. `build_collection` makes one; use `open` for one that is there, not the constructor.

    Args:
        connection: Where it is.
        name: Its name there.
        contents: Its manifest.
        encoder: The dense encoder; None if it has no dense vectors.
        sparse: The sparse encoder; None if it has no learned sparse vectors.
    """

    def __init__(
        self,
        connection: Connection,
        name: str,
        contents: Contents,
        *,
        encoder: Encoder | None,
        sparse: SparseEncoder | None,
    ) -> None:
        self.connection, self.name, self.contents = connection, name, contents
        self.encoder, self.sparse = encoder, sparse
        self.engine = connection.engine

    @classmethod
    def open(
        cls,
        uri: str | Path,
        *,
        collection: str,
        corpus: Corpus | None = None,
        encoder: Encoder | None = None,
        sparse: SparseEncoder | None = None,
        timeout: float = 60.0,
        session: Session | None = None,
    ) -> Self:
        """Open a collection that is there.

        Args:
            uri: Where Milvus is; see `Connection`.
            collection: The name there.
            corpus: The corpus it was made from, to be held against the manifest.
            encoder: The dense encoder; by default the one it was made with, under the same name.
            sparse: The sparse encoder, likewise.
            timeout: Seconds that a request may take.
            session: Tells whether the network may be used.

        Raises:
            NotFoundError: There is no such collection, or the session is offline and the server on another machine.
            UsageError: It is not ours, was not loaded to the end, or was made with another encoder or corpus.
            DamagedIndexError: Its manifest is of another version or can not be read.
            StageError: Milvus failed.
        """
        connection = Connection(uri, timeout=timeout, offline=(session or Session()).offline)
        if not connection.ask("has_collection", collection):
            raise NotFoundError(
                f"there is no such collection in {connection.uri}",
                stage=STAGE,
                value=collection,
                fix="build it with Milvus.build",
            )
        held = manifest_of(connection, collection)
        if not held.complete:
            raise UsageError(
                "the collection was not loaded to the end",
                stage=STAGE,
                value=collection,
                fix="call Milvus.build with the same arguments as before; it goes on where it stopped",
            )
        same_corpus(corpus, held.corpus, stage=STAGE)
        if "dense" in held.fields:
            encoder = encoder or SentenceEncoder(held.model, stage=STAGE)
        if "sparse" in held.fields:
            sparse = sparse or SparseEncoder(held.sparse_model, stage=STAGE)
        opened = cls(connection, collection, held, encoder=encoder, sparse=sparse)
        opened.check_encoders()
        connection.ask("load_collection", collection)
        return opened

    # --- what it holds ---------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many documents it holds, counted now."""
        return self.count()

    def __repr__(self) -> str:
        """Its name, place and what can be searched."""
        return f"<MilvusCollection {self.name!r} in {self.connection.uri}: {', '.join(self.contents.fields)}>"

    def fingerprint(self) -> str:
        """A digest of contents and engine, not of the place: what was found in one place is true in another.

        The engine is the one that answered when the collection was opened; nothing is asked now.
        """
        return digest(self.contents, self.engine)

    @property
    def space(self) -> str:
        """The dense encoder's fingerprint: vectors of one space can be compared."""
        return self.contents.encoder

    @property
    def ledger(self) -> Ledger:
        """How many documents are longer than the models read."""
        cut = self.count(f"{TRUNCATED} > 0")
        return Ledger((Note(STAGE, "truncated", detail=f"the ends of {cut} documents were not read"),) if cut else ())

    def dense_encoder(self, session: Session) -> Encoder:
        """The encoder of its dense vectors, which is the one it was made with.

        Raises:
            UsageError: It holds no dense vectors, or was made with another encoder.
        """
        if self.encoder is None:
            raise UsageError("the collection holds no dense vectors", stage=STAGE, value=self.name)
        self.encoder.resolve(session)
        self.check_encoders()
        return self.encoder

    def check_encoders(self) -> None:
        """Refuse to search with other models than the collection was made with.

        A model that is not on this machine passes: it is checked when it has been fetched.

        Raises:
            UsageError: An encoder is not the one in the manifest.
        """
        here = Session(offline=True)
        pairs: list[tuple[Any, str, str]] = []
        if self.encoder is not None:
            pairs.append((self.encoder, self.contents.encoder, self.contents.model))
        if self.sparse is not None:
            pairs.append((self.sparse, self.contents.terms, self.contents.sparse_model))
        for encoder, made_with, model in pairs:
            if encoder.fingerprint() == made_with:
                continue
            try:
                encoder.resolve(here)
            except NotFoundError:
                continue
            if encoder.fingerprint() != made_with:
                raise UsageError(
                    "the collection was made with another model, or with other weights under the same name",
                    stage=STAGE,
                    value=encoder.model,
                    accepted=f"the model it was made with, {model} ({made_with})",
                    fix="open it with that model, or build another collection",
                )

    def check_truncation(self, session: Session) -> None:
        """Refuse a collection of documents that were cut, where that is an error.

        Raises:
            DataError: A document is longer than a model reads, and the session's policy is `error`.
        """
        if session.on_truncate == "error":
            found = self.connection.ask(
                "query", self.name, filter=f"{TRUNCATED} > 0", output_fields=[ID, TRUNCATED], limit=1
            )
            for row in found:
                truncation_note(session, stage=STAGE, tokens=int(row[TRUNCATED]), doc_id=from_key(row[ID]))

    def present(self, doc_ids: Sequence[str]) -> set[str]:
        """Which of some ids it holds."""
        return {from_key(row[ID]) for row in self._rows(doc_ids, [ID])}

    def vectors(self, doc_ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The dense vectors of those of some ids that it holds."""
        rows = self._rows(doc_ids, [ID, "dense"])
        return {from_key(row[ID]): np.asarray(row["dense"], dtype=np.float32) for row in rows}

    def count(self, condition: str = "") -> int:
        """How many documents fulfil a condition of Milvus; all if it is empty."""
        found = self.connection.ask("query", self.name, filter=condition, output_fields=["count(*)"])
        return int(found[0]["count(*)"])

    def _rows(self, doc_ids: Sequence[str], fields: list[str]) -> Iterator[dict[str, Any]]:
        """Fields of the rows of some ids, fetched by requests of a batch."""
        keys = [key(doc_id) for doc_id in dict.fromkeys(doc_ids)]
        for start in range(0, len(keys), BATCH):
            part = keys[start : start + BATCH]
            yield from self.connection.ask("get", self.name, ids=part, output_fields=fields)

    # --- changing it -------------------------------------------------------------------------------------------

    def write(self, documents: Sequence[Document], session: Session) -> None:
        """Encode some documents and write them; one whose id is there already takes the old one's place."""
        rows = rows_of(documents, self.contents.fields, self.encoder, self.sparse, session)
        self.connection.ask("upsert", self.name, rows)

    def flush(self) -> None:
        """Have everything written to disk, which also lets approximate indexes be built."""
        self.connection.ask("flush", self.name)

    def told(self, contents: Contents) -> Self:
        """The collection under another manifest, which is written."""
        self.connection.ask("alter_collection_properties", self.name, properties=contents.properties())
        return type(self)(self.connection, self.name, contents, encoder=self.encoder, sparse=self.sparse)

    def close(self) -> None:
        """Free the models and close the connection; both come back with the next search."""
        for encoder in (self.encoder, self.sparse):
            if encoder is not None:
                encoder.close()
        self.connection.close()


def manifest_of(connection: Connection, collection: str) -> Contents:
    """The manifest of a collection that is there.

    Raises:
        UsageError: It is not ours.
        DamagedIndexError: The manifest is of another version, or can not be read.
    """
    described = connection.ask("describe_collection", collection)
    return Contents.read(described.get("properties") or {}, collection=collection)
