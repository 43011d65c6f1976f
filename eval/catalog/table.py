"""The catalogue as the page `docs/collections.md`; a test holds the page and the catalogue together."""

from __future__ import annotations

from itertools import groupby
from posixpath import commonpath

from rankloom.eval.catalog.lookup import catalog
from rankloom.eval.catalog.record import CollectionRecord

_HEAD = """# Collections

Every test collection that `load_collection` and `collection:` in YAML know by name, with what is applied when it is
measured. This page is written from the catalogue (`eval/catalog/*.yaml`, where the origin of each fact stands) by

    python -m rankloom.eval.catalog > docs/collections.md

A collection is looked for in a folder of BEIR's layout under `collections` of RANKLOOM_DATA, in the folder of
downloads, and in what ir_datasets has on this machine. Loading never downloads; this does:

    rankloom collections ls                          names, licences, and what is here
    rankloom collections show bright/biology         all that is known of one
    rankloom collections download beir/scifact       resumes, verifies, and keeps a receipt

Sources: **file** is a download of our own (with the published checksum it is held against, or **first use**: none is
published, so the first download is trusted and a later one that differs is an error), **ir_datasets** comes through
that package, **folder** has to be put there. A dash stands for what no source states. Check a licence at its origin
before you rely on it; "MTEB says" is hearsay.
"""
_FEW = 3  # names that are spelled out before a note
_COLUMNS = "| name | documents | splits: judged queries | sources | licence | quirks |\n|---|--:|---|---|---|---|"


def page() -> str:
    """The page, in Markdown."""
    sections: dict[str, list[CollectionRecord]] = {}
    for record in catalog().values():
        sections.setdefault(record.family if record.name != record.family else "others", []).append(record)
    parts = [_HEAD]
    for family, records in sections.items():
        parts.append(f"\n## {family}\n\n{_COLUMNS}\n" + "".join(f"{_row(record)}\n" for record in records))
        notes = {note: None for record in records for note in record.notes}
        parts += [f"\n{_who(note, records)}: {note}\n" for note in notes]
    return "".join(parts)


def _row(record: CollectionRecord) -> str:
    """One collection as a row."""
    documents = "-" if record.documents is None else f"{record.documents:,}"
    splits = ", ".join(
        " ".join(names) if queries is None else f"{' '.join(names)}: {queries:,}"
        for queries, names in groupby(record.splits, key=lambda name: record.splits[name].queries)
    )
    cells = (record.name, documents, splits, _sources(record), record.licence or "-", "; ".join(record.quirks) or "-")
    return f"| {' | '.join(cells)} |"


def _sources(record: CollectionRecord) -> str:
    """Where a collection comes from."""
    said = []
    if record.files:
        sums = {"sha256" if file.sha256 else "md5" if file.md5 else "first use" for file in record.files.values()}
        said.append(f"file ({', '.join(sorted(sums))})")
    if any(split.ir_datasets for split in record.splits.values()):
        said.append("ir_datasets")
    if record.access:
        said.append("package" if "package" in record.access else "folder")
    return ", ".join(said)


def _who(note: str, records: list[CollectionRecord]) -> str:
    """The collections that a note is about; the family, where it is about all."""
    about = [record.name for record in records if note in record.notes]
    if len(about) == len(records) > 1:
        return "All"
    return ", ".join(about) if len(about) <= _FEW else f"{commonpath(about)}/*"
