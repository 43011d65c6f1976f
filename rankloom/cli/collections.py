"""`rankloom collections`: which test collections are known, what is known of them, and downloading them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from rankloom.cli.help import help_of
from rankloom.cli.options import OfflineOption, Output, OutputOption, offline_choice, reporter
from rankloom.cli.show import message, show_json, show_table, size_in_words
from rankloom.errors import NotFoundError, nearest

if TYPE_CHECKING:
    from rankloom.eval.catalog import CollectionRecord
    from rankloom.eval.downloads import Receipt

collections_app = typer.Typer(
    help="Look at test collections, or download them.", no_args_is_help=True, rich_markup_mode=None
)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Such as beir/scifact or bright/biology.")]


def list_collections(
    word: Annotated[str, typer.Argument(metavar="[WORD]", help="Only names that hold this word.")] = "",
    here: Annotated[bool, typer.Option("--here", help="Only those that are on this machine.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """List the collections of the catalogue, and which are here.

    What ir_datasets holds on this machine is not looked into.

    Examples:
      rankloom collections ls
      rankloom collections ls bright
      rankloom collections ls --here --output json
    """
    from rankloom.eval.catalog import catalog

    records = [record for name, record in catalog().items() if word.lower() in name]
    rows = [row for row in map(_row, records) if row["here"] or not here]
    if output is Output.JSON:
        show_json(rows)
        return
    header = ["name", "documents", "splits", "licence", "here"]
    show_table(header, [[_in_words(row[column]) for column in header] for row in rows])


def show_collection(name: NameArgument, output: OutputOption = Output.TEXT) -> None:
    """Show all that is known of one collection.

    Examples:
      rankloom collections show beir/arguana
      rankloom collections show trec-dl/2019 --output json
    """
    record = _record(name)
    if output is Output.JSON:
        show_json({**record.model_dump(mode="json"), "quirks": record.quirks, "here": _here(record)})
        return
    facts = {
        "title": record.title, "aliases": record.aliases, "language": record.language, "documents": record.documents,
        "fields": record.fields, "licence": record.licence, "quirks": record.quirks, "home page": record.homepage,
        "access": record.access, "here": _here(record),
    }  # fmt: skip
    typer.echo(record.name)
    for label, fact in facts.items():
        typer.echo(f"  {label + ':':12}{_in_words(fact)}")
    for note in record.notes:
        typer.echo(f"  note:       {note}")
    rows = [
        [split, _in_words(one.queries), _in_words(one.judgements), _size(record, split), _in_words(one.ir_datasets)]
        for split, one in record.splits.items()
    ]
    show_table(["split", "queries", "judgements", "download", "ir_datasets"], rows)


def download(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Such as beir/scifact or bright/aops/test.")],
    offline: OfflineOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Download collections into RANKLOOM_DOWNLOADS, or the user's data folder.

    A download that is cut off goes on where it stopped, and counts only when its checksum holds. A collection without
    files of its own comes through ir_datasets. A name without a split gets the usual split.

    Examples:
      rankloom collections download beir/scifact
      rankloom collections download bright/biology bright/biology/long
    """
    from rankloom.eval.downloads import download_collection, downloads_folder
    from rankloom.session import Session

    session = Session(offline=offline_choice(offline), progress=reporter())
    received: dict[str, list[Receipt]] = {}
    for name in names:
        record, split = _record_and_split(name)
        message(f"{record.name}/{split}: licence: {record.licence or 'unknown; see its home page'}")
        received[f"{record.name}/{split}"] = download_collection(record, split, session=session)
    if output is Output.JSON:
        collections = {name: [_received(receipt) for receipt in receipts] for name, receipts in received.items()}
        show_json({"folder": str(downloads_folder()), "collections": collections})
        return
    for name, receipts in received.items():
        typer.echo(f"{name}: in {downloads_folder()}" if receipts else f"{name}: held by ir_datasets")
        for receipt in receipts:
            typer.echo(f"  {receipt.url}\n    SHA-256 {receipt.sha256} ({_VERIFIED[receipt.verified]})")


_VERIFIED = {
    "md5": "the published MD5 sum holds",
    "sha256": "as published",
    "first use": "none is published; a later download that differs will be an error",
    "nothing": "NOT VERIFIED: none is published, and the server did not tell the length; it may have been cut off",
}


def _received(receipt: Receipt) -> dict[str, str]:
    """A receipt without its list of files."""
    return {"url": receipt.url, "sha256": receipt.sha256, "verified": receipt.verified}


def _row(record: CollectionRecord) -> dict[str, object]:
    """One collection in the list."""
    return {
        "name": record.name,
        "title": record.title,
        "documents": record.documents,
        "splits": list(record.splits),
        "licence": record.licence,
        "here": _here(record),
    }


def _here(record: CollectionRecord) -> list[str]:
    """The splits that can be loaded from a folder or a download."""
    from rankloom.eval.sources import find_local

    return [split for split in record.splits if find_local(record, split) is not None or _downloaded(record, split)]


def _downloaded(record: CollectionRecord, split: str) -> bool:
    """Whether all files of a split have been downloaded."""
    from rankloom.eval.downloads import Downloads

    files = record.files_of(split)
    return bool(files) and all(Downloads(record.family).held(file) is not None for file in files)


def _size(record: CollectionRecord, split: str) -> str:
    """How much a split is to download, as far as it is known."""
    sizes = [file.size for file in record.files_of(split)]
    known = sum(size for size in sizes if size is not None)
    if not sizes:
        return "-"
    return size_in_words(known) if None not in sizes else "unknown"


def _record(name: str) -> CollectionRecord:
    """The record of a name, with or without a split."""
    return _record_and_split(name)[0]


def _record_and_split(name: str) -> tuple[CollectionRecord, str]:
    """The record and the split that a name asks for."""
    from rankloom.eval.catalog import catalog, wanted

    found = wanted(name)
    if found is None:
        close = nearest(name, catalog()) or nearest(name.rsplit("/", 1)[0], catalog())
        raise NotFoundError(
            "the catalogue has no such collection",
            stage="collections",
            value=name,
            fix=f"did you mean {close!r}?" if close else "see `rankloom collections ls`",
        )
    split = found.split or found.record.default_split
    if split not in found.record.splits:
        raise NotFoundError(
            f"the collection {found.record.name} has no split of that name",
            stage="collections",
            value=split,
            accepted=", ".join(found.record.splits),
        )
    return found.record, split


def _in_words(value: object) -> str:
    """A value of a table; `-` for nothing, and for what no source says."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None else str(value)


_VERBS: dict[str, Callable[..., None]] = {"ls": list_collections, "show": show_collection, "download": download}
for _name, _verb in _VERBS.items():
    collections_app.command(_name, help=help_of(_verb))(_verb)
