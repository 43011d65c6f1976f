"""Finding records: all of them, the one that a name asks for, and the one whose quirks a name shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml

from rankloom.eval.catalog.record import CollectionRecord

#: The files of records, in the order in which collections are listed.
FAMILIES = ("classic", "beir", "nano_beir", "msmarco", "bright", "t2ranking", "cpret", "miracl")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a name asks for.

    Args:
        record: The collection.
        split: The split that was named, if any; it may be one that the record does not know.
        name: What the collection was called, without the split.
    """

    record: CollectionRecord
    split: str | None
    name: str


@lru_cache(maxsize=1)
def catalog() -> Mapping[str, CollectionRecord]:
    """All records, by name.

    Example:
        >>> catalog()["beir/arguana"].drop_self_hits
        True
    """
    found: dict[str, CollectionRecord] = {}
    for family in FAMILIES:
        text = files("rankloom.eval.catalog").joinpath(f"{family}.yaml").read_text(encoding="utf-8")
        found.update(records_of(yaml.load(text, Loader=_LOADER)))  # noqa: S506 - both loaders are safe ones
    return found


def records_of(family: Mapping[str, Any]) -> dict[str, CollectionRecord]:
    """The records of one file: what stands under `collections`, each over the `defaults`.

    Args:
        family: Its content. `base_url` is put before the path of a file that has no address of its own.
    """
    shared = dict(family.get("defaults", {}))
    base = shared.pop("base_url", "")
    found = {}
    for name, entry in family["collections"].items():
        values = {**shared, **entry, "name": name}
        values["files"] = {key: {"url": base + file["path"], **file} for key, file in values.get("files", {}).items()}
        found[name] = CollectionRecord.model_validate(values)
    return found


def wanted(name: str, split: str | None = None) -> Wanted | None:
    """The collection and split that a name asks for, or None if the catalogue has none of that name.

    Args:
        name: A name or alias, perhaps followed by `/SPLIT` or `:SPLIT`; or what ir_datasets calls a split.
        split: The split, if it is not in the name.

    Example:
        >>> wanted("scifact/train").record.name, wanted("scifact/train").split
        ('beir/scifact', 'train')
    """
    known = _by_name()
    exact = known.get(name.lower())
    if exact is not None or split is not None:
        return Wanted(exact, split, name) if exact is not None else None
    base, _, last = name.replace(":", "/").rpartition("/")
    record = known.get(base.lower())
    if record is not None and last in record.splits:
        return Wanted(record, last, base)
    # `msmarco-passage/dev/small` is a name of ir_datasets; `scifact/half` may be a split that a user has added.
    return _by_dataset().get(name.lower()) or (Wanted(record, last, base) if record is not None else None)


def relative(name: str) -> CollectionRecord | None:
    """The collection whose quirks and licence hold for a name: itself, or the one that the name is a part of.

    Args:
        name: Also an id of ir_datasets.

    Example:
        >>> relative("ir_datasets:beir/quora/test").name, relative("dl19/bm25").relevance_level
        ('beir/quora', 2)
    """
    known = _by_name()
    parts = name.lower().removeprefix("ir_datasets:").replace(":", "/").split("/")
    heads = ("/".join(parts[:length]) for length in range(len(parts), 0, -1))
    for head in heads:
        if head in known:
            return known[head]
        if head in _by_dataset():
            return _by_dataset()[head].record
    return None


def relative_of_folder(name: str) -> CollectionRecord | None:
    """The collection whose quirks and licence hold for a folder: of its name, or of the name it begins with.

    Args:
        name: Such as `quora` or `trec-dl19-judged`.

    Example:
        >>> relative_of_folder("quora-small").name
        'beir/quora'
    """
    known, lower = _by_name(), name.lower()
    named = [other for other in known if lower == other or lower.startswith(f"{other}-")]
    return known[max(named, key=len)] if named else None


@lru_cache(maxsize=1)
def _by_name() -> dict[str, CollectionRecord]:
    """Records by their names and aliases, in lower case."""
    return {name.lower(): record for record in catalog().values() for name in (record.name, *record.aliases)}


@lru_cache(maxsize=1)
def _by_dataset() -> dict[str, Wanted]:
    """Records and splits by what ir_datasets calls them, in lower case."""
    return {
        split.ir_datasets.lower(): Wanted(record, name, record.name)
        for record in catalog().values()
        for name, split in record.splits.items()
        if split.ir_datasets
    }


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C is ten times faster, where it was built
