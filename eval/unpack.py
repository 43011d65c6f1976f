"""Unpacking archives of collections: zip and tar, regular files only, none outside the folder."""

from __future__ import annotations

import hashlib
import os
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from rankloom.errors import DataError

_STAGE = "unpack"
_BLOCK = 1 << 20


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
        DataError: It is no such archive, is damaged, or holds a path that leads out of the folder.
    """
    found: dict[str, Member] = {}
    try:
        for name, content in _members(archive):
            inner = PurePosixPath(name)
            if inner.is_absolute() or ".." in inner.parts or "\\" in name or ":" in inner.parts[0]:
                raise DataError(
                    "the archive holds a path that leads out of it", stage=_STAGE, value=f"{archive}: {name}"
                )
            target = folder.joinpath(*inner.parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            found[inner.as_posix()] = _copy(content, target)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # a full disk says nothing about the archive
            raise
        raise DataError(f"not a readable archive ({error})", stage=_STAGE, value=str(archive)) from error
    return found


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Name and content of each regular file."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as zipped:
            for entry in zipped.infolist():
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


def _copy(content: IO[bytes], target: Path) -> Member:
    """Write a file; returns its size and checksum."""
    state, size = hashlib.sha256(), 0
    with target.open("wb") as file:
        while block := content.read(_BLOCK):
            file.write(block)
            state.update(block)
            size += len(block)
        file.flush()
        os.fsync(file.fileno())
    return Member(size, state.hexdigest())
