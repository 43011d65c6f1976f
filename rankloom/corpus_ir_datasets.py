"""Documents of an ir_datasets collection, with or without the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

from rankloom.errors import NotFoundError, nearest
from rankloom.extras import require

_OFFLINE: ContextVar[bool] = ContextVar("rankloom_ir_datasets_offline", default=False)
_DOWNLOADERS = ("RequestsDownload", "GoogleDriveDownload", "GoogleCloudBucketStream")
_GUARDED = "_rankloom_guarded"


def load_ir_dataset(dataset_id: str) -> Any:
    """An ir_datasets collection by its id; nothing is downloaded yet.

    Raises:
        MissingExtraError: ir_datasets is not installed.
        NotFoundError: It knows no such id; names the nearest.
    """
    module = require("ir_datasets", extra="datasets", stage="ir_datasets")
    _guard_downloads()
    try:
        return module.load(dataset_id)
    except KeyError as error:
        close = nearest(dataset_id, list(module.registry))
        raise NotFoundError(
            "ir_datasets knows no such collection",
            value=dataset_id,
            fix=f"did you mean {close!r}?" if close else "see https://ir-datasets.com",
        ) from error


def guarded(items: Callable[[], Iterator[Any]], *, dataset_id: str, offline: bool) -> Iterator[Any]:
    """Iterate over parts of a collection; offline, refuse to download what is not on this machine.

    Args:
        items: Makes the iterator, such as `dataset.docs_iter`.
        dataset_id: Its collection, for the error.
        offline: Whether the network is out of bounds.

    Raises:
        NotFoundError: Offline, and the collection would have to be downloaded.
    """
    end = object()
    iterator: Iterator[Any] | None = None
    while True:
        # A generator shares its caller's context, so the mark may stand only while ir_datasets works.
        token = _OFFLINE.set(offline)
        try:
            iterator = iter(items()) if iterator is None else iterator
            item = next(iterator, end)
        except Exception as error:
            if offline and _refused(error):
                raise NotFoundError(
                    "the collection is not on this machine, and the session is offline",
                    stage="ir_datasets",
                    value=dataset_id,
                    fix="run once with the network on, or copy it into the folder of IR_DATASETS_HOME",
                ) from error
            raise
        finally:
            _OFFLINE.reset(token)
        if item is end:
            return
        yield item


def read_ir_dataset(dataset_id: str, *, offline: bool) -> Iterator[dict[str, Any]]:
    """The documents of a collection as mappings of id, title, text and metadata.

    Args:
        dataset_id: Such as `beir/scifact`.
        offline: Refuse to download.

    Raises:
        NotFoundError: No such collection, or it is not here and the network is out of bounds.
    """
    dataset = load_ir_dataset(dataset_id)
    if not dataset.has_docs():
        raise NotFoundError("the collection has no documents", stage="ir_datasets", value=dataset_id)
    return (_record(doc) for doc in guarded(dataset.docs_iter, dataset_id=dataset_id, offline=offline))


def _record(doc: Any) -> dict[str, Any]:
    """One ir_datasets document; fields that are neither id, title nor text become metadata."""
    fields = dict(zip(doc._fields, doc, strict=True))
    doc_id, title = fields.pop("doc_id"), fields.pop("title", "")
    if isinstance(fields.get("text"), str):
        text = fields.pop("text")
    elif isinstance(fields.get("body"), str):
        text = fields.pop("body")
    else:  # formats with sections and marked-up fields say themselves what their text is
        text, title, fields = doc.default_text(), "", {}
    return {"id": doc_id, "title": title if isinstance(title, str) else "", "text": text, "metadata": fields}


class _RefusedDownload(Exception):  # noqa: N818 - never leaves this file
    """A download was asked for offline."""


def _refused(error: BaseException) -> bool:
    """Whether an error is, or was made from, a refused download."""
    causes = [error.__cause__, error.__context__, *(arg for arg in error.args if isinstance(arg, BaseException))]
    for arg in error.args:
        if isinstance(arg, list):  # ir_datasets collects (mirror, error) pairs
            causes.extend(pair[1] for pair in arg if isinstance(pair, tuple) and len(pair) == 2)
    return isinstance(error, _RefusedDownload) or any(_refused(cause) for cause in causes if cause is not None)


def _guard_downloads() -> None:
    """Make ir_datasets' downloaders ask whether the network may be used; it has no such switch of its own."""
    from ir_datasets.util import download

    for name in _DOWNLOADERS:
        downloader = getattr(download, name, None)
        if downloader is None or getattr(downloader, _GUARDED, False):
            continue
        downloader.stream = _asking(downloader.stream)
        setattr(downloader, _GUARDED, True)


def _asking(stream: Callable[[Any], AbstractContextManager[Any]]) -> Callable[[Any], AbstractContextManager[Any]]:
    """A downloader's `stream` that refuses while the network is out of bounds."""

    @contextmanager
    def asking(self: Any) -> Iterator[Any]:
        if _OFFLINE.get():
            raise _RefusedDownload(repr(self))
        with stream(self) as opened:
            yield opened

    return asking
