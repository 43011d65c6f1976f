"""Collections that the catalogue knows for the length of a test."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rankloom.eval.catalog import CollectionRecord, catalog, lookup, records_of


@contextmanager
def catalogued() -> Iterator[Any]:
    """Give a function that puts records into the catalogue; they are taken out when the block ends."""
    known = catalog()
    before = dict(known)

    def put(name: str, **values: Any) -> CollectionRecord:
        known[name] = records_of({"collections": {name: {"title": "Tiny", **values}}})[name]
        forget()
        return known[name]

    try:
        yield put
    finally:
        known.clear()
        known.update(before)
        forget()


def forget() -> None:
    """Make the catalogue look its names up anew."""
    lookup._by_name.cache_clear()
    lookup._by_dataset.cache_clear()
