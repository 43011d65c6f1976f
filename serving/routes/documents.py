"""Documents of a live index: added, replaced, deleted, read; and snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from fastapi import APIRouter

from rankloom.errors import NotFoundError
from rankloom.records import Document
from rankloom.serving import schemas
from rankloom.serving.limits import check_documents
from rankloom.serving.live_index import LiveIndex
from rankloom.serving.problems import ConflictError
from rankloom.serving.routes.parts import ServerOf, problems
from rankloom.serving.server import Server

router = APIRouter()


@router.post("/v1/documents", responses=problems(404, 409, 507))
async def add(asked: schemas.DocumentsRequest, server: ServerOf) -> schemas.ChangeAnswer:
    """Add documents; nothing happens if one of them is there already."""
    documents = _documents(asked, server)
    return await server.change(partial(_added, documents=documents))


@router.put("/v1/documents", responses=problems(404, 507))
async def put(asked: schemas.DocumentsRequest, server: ServerOf) -> schemas.ChangeAnswer:
    """Add documents, in the place of those that have their ids."""
    documents = _documents(asked, server)
    return await server.change(partial(_put, documents=documents))


@router.post("/v1/documents/delete", responses=problems(404, 507))
async def delete(asked: schemas.DeleteRequest, server: ServerOf) -> schemas.ChangeAnswer:
    """Delete documents; ids that are not there are passed over, and are not among the `ids` of the answer."""
    return await server.change(partial(_deleted, doc_ids=asked.ids))


@router.get("/v1/documents/{doc_id:path}", responses=problems(404))
async def get(doc_id: str, server: ServerOf) -> schemas.DocumentAnswer:
    """A document as it is now."""
    document = server.live.get(doc_id)
    if document is None:
        raise _unknown(doc_id)
    return schemas.DocumentAnswer(
        id=document.id, text=document.text, title=document.title, metadata=dict(document.metadata)
    )


@router.delete("/v1/documents/{doc_id:path}", responses=problems(404, 507))
async def delete_one(doc_id: str, server: ServerOf) -> schemas.ChangeAnswer:
    """Delete a document."""
    changed = await server.change(partial(_deleted, doc_ids=[doc_id]))
    if not changed.ids:
        raise _unknown(doc_id)
    return changed


@router.post("/v1/snapshot", responses=problems(404, 409, 507))
async def snapshot(asked: schemas.SnapshotRequest, server: ServerOf) -> schemas.SnapshotAnswer:
    """Write corpus and indexes as they are now to a folder beside them, which `rankloom search` reads."""
    return await server.change(partial(_snapshot, name=asked.name))


def _documents(asked: schemas.DocumentsRequest, server: Server) -> tuple[Document, ...]:
    """The documents of a request, within the limits."""
    given = [Document(one.id, one.text, one.title, one.metadata) for one in asked.documents]
    return check_documents(given, server.limits)


def _added(live: LiveIndex, documents: Sequence[Document]) -> schemas.ChangeAnswer:
    """Put documents in, none of which is there."""
    for document in documents:
        if live.get(document.id) is not None:
            fix = "PUT replaces documents"
            raise ConflictError("this document is there already", stage="documents", value=document.id, fix=fix)
    return _put(live, documents)


def _put(live: LiveIndex, documents: Sequence[Document]) -> schemas.ChangeAnswer:
    """Put documents in."""
    change = live.put(documents)
    return schemas.ChangeAnswer(change=change, documents=len(live), ids=[document.id for document in documents])


def _deleted(live: LiveIndex, doc_ids: Sequence[str]) -> schemas.ChangeAnswer:
    """Delete documents."""
    gone = live.delete(doc_ids)
    return schemas.ChangeAnswer(change=live.change, documents=len(live), ids=gone)


def _snapshot(live: LiveIndex, name: str) -> schemas.SnapshotAnswer:
    """Write a snapshot."""
    live.snapshot(name)
    return schemas.SnapshotAnswer(name=name, documents=len(live), change=live.change)


def _unknown(doc_id: str) -> NotFoundError:
    """The error for a document that is not there."""
    return NotFoundError("there is no such document", stage="documents", value=doc_id)
