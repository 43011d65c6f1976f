"""Loading documents into a collection: streamed, by batches, and so that a killed load goes on where it stopped."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rankloom.corpus import Corpus
from rankloom.encoders import Encoder
from rankloom.errors import DataError, StageError, UsageError
from rankloom.extras import require
from rankloom.fingerprint import digest
from rankloom.records import Document
from rankloom.retrieval.made_by import vectors_digest
from rankloom.retrieval.milvus.collection import MilvusCollection, manifest_of
from rankloom.retrieval.milvus.connection import STAGE, Connection
from rankloom.retrieval.milvus.contents import Contents, Field, IndexSettings, schema_of
from rankloom.retrieval.milvus.rows import BATCH, batches_of, key
from rankloom.retrieval.sparse_encoder import SparseEncoder
from rankloom.session import Session


def build_collection(
    corpus: Corpus,
    uri: str | Path,
    *,
    collection: str,
    encoder: Encoder | None = None,
    sparse: SparseEncoder | None = None,
    bm25: bool = False,
    settings: IndexSettings | None = None,
    timeout: float = 60.0,
    session: Session | None = None,
) -> MilvusCollection:
    """Load a corpus into a collection, or what is missing of it.

    Documents go in by batches of 512, one after the other. A build that was killed goes on where it stopped when it
    is called again: batches that are in are neither encoded nor sent, and rows are written by id, so that none
    stands twice. A collection that holds all of the same corpus by the same encoders is opened as it is.

    Args:
        corpus: The documents; `Document.contents` is what is encoded.
        uri: Where Milvus is; see `Connection`.
        collection: The name there.
        encoder: Makes dense vectors; None for none.
        sparse: Makes learned sparse vectors; None for none.
        bm25: Whether Milvus indexes the texts for its own BM25.
        settings: How dense vectors are found; by default exactly.
        timeout: Seconds that a request may take.
        session: How to carry it out.

    Raises:
        UsageError: There is a collection of the name that is not ours, or of another corpus, encoder or index; it
            is left as it is. Or nothing is to be stored.
        DataError: An id or a text is longer than Milvus takes, or a document is longer than a model reads and the
            session's policy is `error`.
        NotFoundError: A model is not to be had, or the session is offline and the server on another machine.
        StageError: Milvus failed.
    """
    session = session or Session()
    connection = Connection(uri, timeout=timeout, offline=session.offline)
    wanted = _contents(corpus, encoder, sparse, settings or IndexSettings(), session, bm25=bm25)
    if connection.ask("has_collection", collection):
        held = manifest_of(connection, collection)
        _check_same(held, wanted, collection)
    else:
        held = wanted
        _create(connection, collection, wanted)
    made = MilvusCollection(connection, collection, held, encoder=encoder, sparse=sparse)
    connection.ask("load_collection", collection)
    if not held.complete:
        made = _load(made, corpus, session)
    made.check_truncation(session)
    return made


def temporary_collection(corpus: Corpus, **parameters: Any) -> MilvusCollection:
    """Load a corpus into a file of Milvus Lite that goes with the collection; parameters as for `build_collection`."""
    folder = tempfile.mkdtemp(prefix="rankloom-milvus-")
    uri = str(Path(folder) / "lite.db")
    try:
        made = build_collection(corpus, uri, collection="corpus", **parameters)
    except BaseException:
        _discard(uri, folder)
        raise
    weakref.finalize(made.connection, _discard, uri, folder)  # later versions of the collection share the connection
    return made


def add_documents(
    collection: MilvusCollection, documents: Iterable[Document], *, session: Session | None = None
) -> MilvusCollection:
    """Add documents; one whose id is there already takes the old one's place.

    Args:
        collection: Where they go.
        documents: As many as wanted; they are streamed.
        session: How to carry it out.

    Returns:
        The collection as it is now: it no longer belongs to a corpus, and what caches remember of the old one does not
        count for it.

    Raises:
        DataError: As for `build_collection`.
        NotFoundError: The session is offline and the server on another machine.
        StageError: Milvus failed; what is in stays, and the same call can be made again.
    """
    session = session or Session()
    collection.connection.check_offline(session)
    collection.check_encoders()
    for batch in batches_of(documents):
        collection = _revised(collection, "add", *((one.id, one.title, one.text) for one in batch))
        collection.write(batch, session)
    return _revised(collection, "added", flushed=True)


def delete_documents(
    collection: MilvusCollection, doc_ids: Sequence[str], *, session: Session | None = None
) -> MilvusCollection:
    """Delete documents.

    Args:
        collection: Where they are.
        doc_ids: Their ids.
        session: Tells whether the network may be used.

    Returns:
        The collection as it is now; see `add_documents`.

    Raises:
        DataError: There is no document of an id; nothing is deleted.
        NotFoundError: The session is offline and the server on another machine.
        StageError: Milvus failed; what is deleted stays so.
    """
    collection.connection.check_offline(session or Session())
    missing = set(doc_ids) - collection.present(doc_ids)
    if missing:
        raise DataError("the collection has no such document", stage=STAGE, value=min(missing))
    parts = [list(doc_ids[start : start + BATCH]) for start in range(0, len(doc_ids), BATCH)]
    collection = _revised(collection, "delete", *doc_ids)
    for part in parts:
        collection.connection.ask("delete", collection.name, ids=[key(doc_id) for doc_id in part])
    return _revised(collection, "deleted", flushed=True)


def _create(connection: Connection, collection: str, contents: Contents) -> None:
    """Make an empty collection with a manifest."""
    schema, indexes = schema_of(contents)
    connection.ask(
        "create_collection",
        collection,
        schema=schema,
        index_params=indexes,
        properties=contents.properties(),
        consistency_level="Strong",  # what has been written is found by the next search
    )


def _load(collection: MilvusCollection, corpus: Corpus, session: Session) -> MilvusCollection:
    """Send what is missing of a corpus, one batch after the other, and say that all is there."""
    with session.progress.task("milvus collection", len(corpus)) as advance:
        for start in range(0, len(corpus), BATCH):
            batch = corpus.slice(start, start + BATCH)
            if len(collection.present([document.id for document in batch])) < len(batch):
                collection.write(batch, session)
            advance(len(batch))
    collection.flush()
    count = collection.count()
    if count != len(corpus):
        raise StageError(
            f"the collection holds {count} documents where the corpus has {len(corpus)}",
            stage=STAGE,
            value=collection.name,
            fix="somebody else writes to it: take another name for the collection",
        )
    return collection.told(replace(collection.contents, documents=count, complete=True))


def _revised(collection: MilvusCollection, *change: object, flushed: bool = False) -> MilvusCollection:
    """The collection after a change, which its manifest tells.

    The manifest is written before rows change and after, so that a change that was cut short is another revision than
    either end of it.
    """
    held = collection.contents
    documents = held.documents
    if flushed:
        collection.flush()
        documents = collection.count()
    revision = digest(held.revision, held.corpus, *change)
    return collection.told(replace(held, corpus="", revision=revision, documents=documents))


def _discard(uri: str, folder: str) -> None:
    """End the Milvus Lite of a file and delete it."""
    try:
        require("milvus_lite.server_manager", extra=STAGE, stage=STAGE).server_manager_instance.release_server(uri)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _contents(
    corpus: Corpus,
    encoder: Encoder | None,
    sparse: SparseEncoder | None,
    settings: IndexSettings,
    session: Session,
    *,
    bm25: bool,
) -> Contents:
    """The manifest of what is to be built."""
    fields: list[Field] = []
    dense_facts: dict[str, Any] = {}
    sparse_facts: dict[str, Any] = {}
    if encoder is not None:
        encoder.resolve(session)
        probe = encoder.encode(["how many numbers"], role="document", session=session)
        fields.append("dense")
        dense_facts = {
            "encoder": encoder.fingerprint(),
            "model": encoder.model,
            "precision": encoder.precision_in(session),
            "vectors": vectors_digest(encoder, session),
            "dimensions": int(probe.vectors.shape[1]),
            "settings": settings.described(),
        }
    if sparse is not None:
        sparse.resolve(session)
        fields.append("sparse")
        sparse_facts = {"terms": sparse.fingerprint(), "space": sparse.space, "sparse_model": sparse.model}
    if bm25:
        fields.append("bm25")
    if not fields:
        raise UsageError("there is nothing to search by", stage=STAGE, fix="pass encoder=, sparse= or bm25=True")
    return Contents(tuple(fields), corpus.fingerprint(), **dense_facts, **sparse_facts)


def _check_same(held: Contents, wanted: Contents, collection: str) -> None:
    """Refuse to load into a collection of something else.

    Raises:
        UsageError: It holds another corpus, or by other encoders or another index.
    """
    parts = {
        "corpus": (held.corpus, wanted.corpus),
        "model": ((held.encoder, held.terms), (wanted.encoder, wanted.terms)),
        "precision": (held.precision, wanted.precision),
        "fields": (held.fields, wanted.fields),
        "index": (dict(held.settings), dict(wanted.settings)),
    }
    other = [name for name, (one, another) in parts.items() if one != another]
    if other:
        raise UsageError(
            f"there is a collection of this name with another {' and another '.join(other)}; it is left alone",
            stage=STAGE,
            value=collection,
            fix="take another name for the collection, or drop it with pymilvus first",
        )
