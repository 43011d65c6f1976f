"""The folder of downloaded collections: what is there, how it was verified, and getting what is missing.

Beside every download lies `PATH.receipt.json`: where it came from, its checksum, how that was verified, and the files
it gave. Where no checksum is published, the first download is trusted, and a later one that differs is an error;
unless the server did not even tell its length, which the receipt then says.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from rankloom.corpus_ir_datasets import guarded, load_ir_dataset
from rankloom.errors import DataError, NotFoundError
from rankloom.eval.arrivals import Arrivals
from rankloom.eval.catalog import CollectionRecord, FileRecord
from rankloom.eval.download import Downloaded, download
from rankloom.eval.unpack import Member, unpack
from rankloom.files import write_json
from rankloom.session import Session

_log = logging.getLogger("rankloom")
_STAGE = "download"
_FOLDER = "RANKLOOM_DOWNLOADS"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What is known of a download.

    Args:
        url: Where it came from.
        sha256: Its SHA-256 sum; of a list of files, that of the first.
        verified: `md5` or `sha256`, published sums that held; `first use`, where none is published; `nothing`, where
            the server did not tell the length either, so that nobody knows whether a file was cut off.
        files: What it gave: path beside the receipt -> size and SHA-256 sum.
    """

    url: str
    sha256: str
    verified: str
    files: dict[str, Member]


def downloads_folder() -> Path:
    """Where downloads lie: RANKLOOM_DOWNLOADS, or the user's data folder. It may not be there yet."""
    named = os.environ.get(_FOLDER)
    if named:
        return Path(named)
    from platformdirs import user_data_path

    return user_data_path("rankloom", appauthor=False) / "collections"


class Downloads:
    """The downloads of one family of collections.

    Args:
        family: Such as `beir`; a folder of that name inside `root`.
        root: By default `downloads_folder()`.
    """

    def __init__(self, family: str, root: Path | None = None) -> None:
        self.folder = (root or downloads_folder()) / family

    def place(self, file: FileRecord) -> Path:
        """Where a file's content lies: itself, or the folder of an archive or a list."""
        return self.folder / file.place

    def receipt(self, file: FileRecord) -> Receipt | None:
        """The receipt of a download, if there is one."""
        try:
            raw = json.loads(self._receipt_path(file).read_text(encoding="utf-8"))
            raw["files"] = {name: Member(**member) for name, member in raw["files"].items()}
            return Receipt(**raw)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"the receipt of a download can not be read ({error})",
                stage=_STAGE,
                value=str(self._receipt_path(file)),
                fix="delete it, and download again",
            ) from error

    def held(self, file: FileRecord) -> Receipt | None:
        """The receipt of a download all of whose files are there in their sizes; None if it is not, or not whole."""
        receipt = self.receipt(file)
        if receipt is None:
            return None
        sizes = {self.folder / name: member.size for name, member in receipt.files.items()}
        return receipt if all(path.is_file() and path.stat().st_size == size for path, size in sizes.items()) else None

    def paths(self, file: FileRecord) -> list[Path]:
        """The files that a download gave, in order; empty if it is not there."""
        receipt = self.held(file)
        return [self.folder / name for name in receipt.files] if receipt else []

    def get(self, file: FileRecord, session: Session) -> Receipt:
        """Download a file, verify and unpack it; nothing happens if it is there.

        Raises:
            NotFoundError: The session is offline, or the server has no such file.
            StageError: The server could not be reached.
            DataError: A checksum does not hold, or an archive is damaged.
        """
        held = self.held(file)
        if held is not None:
            return held
        path = self.folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.parent / ".lock", self.folder.name):
            held = self.held(file)  # another process may have been faster
            if held is not None:
                return held
            before = self.receipt(file)
            arrivals = Arrivals(path.with_name(f"{path.name}.arrived.json"))
            get = self._list if file.listing else self._one
            receipt = get(file, before, arrivals, session)
            write_json(self._receipt_path(file), asdict(receipt))
            if file.archive:
                path.unlink()
            arrivals.discard()
        return receipt

    def _one(self, file: FileRecord, before: Receipt | None, arrivals: Arrivals, session: Session) -> Receipt:
        """Download one file, and unpack it if it is an archive."""
        path = self.folder / file.path
        arrived = arrivals.get(file.url, path)
        if arrived is None or file.md5 not in (None, arrived.md5) or file.sha256 not in (None, arrived.sha256):
            arrived = download(
                file.url, path, session=session, md5=file.md5, sha256=file.sha256, size=file.size, headers=file.headers
            )
            arrivals.add(file.url, arrived)
        verified = "sha256" if file.sha256 else "md5" if file.md5 else _trusted([arrived])
        if before is not None and before.verified == "first use" and verified in ("first use", "nothing"):
            _same(file.url, before.sha256, arrived, self._receipt_path(file))
        if not file.archive:
            return Receipt(file.url, arrived.sha256, verified, {file.path: Member(arrived.size, arrived.sha256)})
        members = self._unpacked(file)
        return Receipt(
            file.url, arrived.sha256, verified, {f"{file.place}/{name}": one for name, one in members.items()}
        )

    def _unpacked(self, file: FileRecord) -> dict[str, Member]:
        """Unpack an archive that has arrived; one that can not be unpacked is thrown away."""
        path = self.folder / file.path
        fresh = path.with_name(f".{path.name}.unpacking.tmp")
        shutil.rmtree(fresh, ignore_errors=True)  # what a process left that was killed
        try:
            members = unpack(path, fresh)
            shutil.rmtree(self.place(file), ignore_errors=True)  # what is left of an earlier download
            fresh.rename(self.place(file))
        except DataError:
            path.unlink()
            raise
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return members

    def _list(self, file: FileRecord, before: Receipt | None, arrivals: Arrivals, session: Session) -> Receipt:
        """Download the files whose addresses a server lists."""
        index = self.folder / file.path / "files.json"
        download(file.url, index, session=session, headers=file.headers)
        try:
            urls = json.loads(index.read_text(encoding="utf-8"))
        except ValueError:
            urls = None
        if not isinstance(urls, list) or not urls or not all(isinstance(url, str) for url in urls):
            raise DataError(
                "the server's list of files is not one", stage=_STAGE, value=file.url, accepted="JSON: [URL]"
            )
        if before is not None and len(before.files) != len(urls):
            raise DataError(
                "the server lists another number of files than at the first download",
                stage=_STAGE,
                value=f"{file.url}: {len(urls)}",
                accepted=str(len(before.files)),
                fix=f"if the change is rightful, delete {self._receipt_path(file)} and download again",
            )
        trusted = before.files if before is not None and before.verified == "first use" else {}
        files: dict[str, Downloaded] = {}
        for number, url in enumerate(urls):
            name = f"{file.path}/{number:05d}.parquet"
            arrived = arrivals.get(url, self.folder / name)
            if arrived is None:
                arrived = download(url, self.folder / name, session=session)
                arrivals.add(url, arrived)
            if name in trusted:
                _same(url, trusted[name].sha256, arrived, self._receipt_path(file))
            files[name] = arrived
        index.unlink()
        members = {name: Member(one.size, one.sha256) for name, one in files.items()}
        return Receipt(file.url, next(iter(members.values())).sha256, _trusted(files.values()), members)

    def _receipt_path(self, file: FileRecord) -> Path:
        """Where the receipt of a file lies."""
        return self.folder / f"{file.path}.receipt.json"


def download_collection(
    record: CollectionRecord, split: str, *, session: Session, root: Path | None = None
) -> list[Receipt]:
    """Download all that one split of a collection needs, from its own source or through ir_datasets.

    Args:
        record: The collection.
        split: One of its splits.
        session: May use the network unless `offline`; shows progress in bytes.
        root: The folder of downloads, by default `downloads_folder()`.

    Returns:
        A receipt for each file; none for what ir_datasets keeps.

    Raises:
        NotFoundError: It can not be downloaded, is not at its source, or the session is offline.
        MissingExtraError: It comes through ir_datasets, which is not installed.
        StageError: The source could not be reached.
        DataError: A checksum does not hold, or an archive is damaged.
    """
    files = record.files_of(split)
    if files:
        downloads = Downloads(record.family, root)
        return [downloads.get(file, session) for file in files]
    dataset_id = record.splits[split].ir_datasets
    if dataset_id is None:
        raise NotFoundError(
            "this collection can not be downloaded", stage=_STAGE, value=f"{record.name}/{split}", fix=record.access
        )
    dataset = load_ir_dataset(dataset_id)
    for part in (dataset.queries_iter, dataset.qrels_iter, dataset.docs_iter):
        next(guarded(part, dataset_id=dataset_id, offline=session.offline), None)
    return []


@contextmanager
def _locked(path: Path, family: str) -> Iterator[None]:
    """Hold a lock; who has to wait for it is told."""
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        _log.warning("waiting for another download of %s, which holds %s", family, path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _trusted(arrived: Iterable[Downloaded]) -> str:
    """How files are verified for which no checksum is published."""
    return "first use" if all(one.measured for one in arrived) else "nothing"


def _same(url: str, before: str, arrived: Downloaded, receipt: Path) -> None:
    """Refuse a download that differs from the one that was trusted first."""
    if arrived.sha256 != before:
        arrived.path.unlink(missing_ok=True)
        raise DataError(
            "the file at its source is not the one of the first download",
            stage=_STAGE,
            value=f"{url}: SHA-256 {arrived.sha256}",
            accepted=before,
            fix=f"if the change is rightful, delete {receipt} and download again",
        )
