"""The test split beside a split that is trained on; collections have queries that stand in both."""

from __future__ import annotations

import logging

from rankloom.errors import DataError, NotFoundError
from rankloom.eval.catalog import wanted
from rankloom.eval.collections import Collection, load_collection
from rankloom.records import Query
from rankloom.session import Session

_log = logging.getLogger("rankloom")
_TEST = "test"


def test_queries(collection: Collection, session: Session) -> tuple[Query, ...]:
    """The queries of the test split of the collection that a split belongs to; none if there is no test split.

    Two of SciFact's claims for training are claims of its test split, word for word. Where the catalogue knows of a
    test split that is not on this machine, a warning says so.

    Args:
        collection: The split that is trained on.
        session: As for `load_collection`.

    Raises:
        DataError: It is itself the test split.
    """
    base, _, split = collection.id.rpartition("/")
    if split == _TEST:
        raise DataError(
            "a test split is not to be trained on",
            stage="training",
            value=collection.id,
            fix="name another split of the collection, such as NAME/train",
        )
    if not base:
        return ()
    try:
        if base.startswith("ir_datasets:"):
            return load_collection(f"{base}/{_TEST}", session=session).queries
        return load_collection(base, split=_TEST, session=session).queries
    except NotFoundError:
        asked = wanted(base.removeprefix("ir_datasets:"), _TEST)
        if asked is not None and _TEST in asked.record.splits:
            _log.warning("%s: the test split is not on this machine; what it asks too is trained on", collection.id)
        return ()
