"""Unpacking archives of collections: zip and tar, regular files only, none outside the folder."""

from __future__ import annotations

import hashlib
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from rankloom.errors import DataError

_STAGE = "unpack"
_BLOCK = 1 << 20
_ENCRYPTED = 1  # the bit of a zip entry's flags


@dataclass(frozen=True, slots=True)
class Member:
    """A file out of an archive.

    Args:
        size: In bytes.
        sha256: Its SHA-256 sum.
    """

    size: int
    sha256: str


def unpack(archive: Path, folder: Path) -> dict[str, Member]:
    """Unpack an archive's regular files into a new folder, flushed to the disk.

    Args:
        archive: A `.zip`, or a `.tar` with or without gzip.
        folder: Where to; made here.

    Returns:
        What was unpacked, by its path inside the folder.

    Raises:
        DataError: It is no such archive, is damaged or encrypted, or holds one path twice or one that leads out of
            the folder.
    """
    found: dict[str, Member] = {}
    try:
        for name, content in _members(archive):
            inner = PurePosixPath(name)
            if not inner.parts or inner.is_absolute() or ".." in inner.parts or "\\" in name or ":" in inner.parts[0]:
                raise _unfit(archive, "holds a path that leads out of it", name)
            found[inner.as_posix()] = _copy(content, folder.joinpath(*inner.parts))
    except (FileExistsError, NotADirectoryError) as error:  # the folder is new: what is there is of this archive
        raise _unfit(archive, "holds one path twice", Path(error.filename).relative_to(folder).as_posix()) from error
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # a full disk says nothing about the archive
            raise
        reason = next(iter(str(error).splitlines()), type(error).__name__)  # tarfile tells all that it tried
        raise _unfit(archive, f"can not be read ({reason.rstrip(':')})") from error
    return found


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Name and content of each regular file."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as zipped:
            for entry in zipped.infolist():
                if entry.flag_bits & _ENCRYPTED:
                    raise _unfit(archive, "is encrypted", entry.filename)
                if not entry.is_dir():
                    with zipped.open(entry) as content:
                        yield entry.filename, content
        return
    with tarfile.open(archive) as tarred:
        for member in tarred:
            content_of = tarred.extractfile(member) if member.isfile() else None
            if content_of is not None:
                with content_of:
                    yield member.name, content_of
        # a damaged header ends the list like the true end does; gzip's checksum, behind the last byte, tells
        while tarred.fileobj is not None and tarred.fileobj.read(_BLOCK):
            pass


def _copy(content: IO[bytes], target: Path) -> Member:
    """Write a new file; returns its size and checksum."""
    state, size = hashlib.sha256(), 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as file:
        while block := content.read(_BLOCK):
            file.write(block)
            state.update(block)
            size += len(block)
        file.flush()
        os.fsync(file.fileno())
    return Member(size, state.hexdigest())


def _unfit(archive: Path, problem: str, name: str = "") -> DataError:
    """The error for an archive that can not be unpacked."""
    return DataError(
        f"the archive {problem}",
        stage=_STAGE,
        value=f"{archive}: {name}" if name else str(archive),
        accepted="a .zip or .tar (with or without gzip) without password, each path once and inside it",
        fix="download it again; if it stays so, the file at its source is unfit",
    )
