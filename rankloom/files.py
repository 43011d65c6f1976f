"""Files that are whole or absent: every write goes to a temporary name, is synced, and is renamed.

Directories that hold an index or a corpus carry a manifest with the format, its version, the parameters and a
checksum of each file, so that a damaged or foreign directory is an error when it is opened.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankloom.errors import DamagedIndexError, NotFoundError, StageError, UsageError

MANIFEST = "manifest.json"
_BLOCK = 1 << 20
#: Errors of the system that do not say that a file is damaged, and what to do about them.
_REFUSALS = {
    errno.EMFILE: "let the process have more files open (`ulimit -n`), or close indexes that it no longer needs",
    errno.ENFILE: "close other programs' files, or let the system have more open",
    errno.EACCES: "let this user read the folder and its files",
    errno.EPERM: "let this user read the folder and its files",
    errno.ENOMEM: "free memory, or let the system map more of it (`vm.max_map_count`)",
}
_QUICK = 1 << 24  # bytes of a file whose checksum takes no noticeable time


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """A temporary path beside `target` that becomes `target` when the block ends without an error.

    Args:
        target: File or directory to be written. Parents are made. An existing directory is replaced by another one,
            if it is empty or one of ours, and never by a file.

    Raises:
        UsageError: The target is a directory with other things in it, or one where a file was to be written, or
            stands inside a file.
    """
    check_replaceable(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        if target.is_dir() and not temporary.is_dir():
            raise UsageError("this is a folder, where a file was to be written", value=str(target), fix="name a file")
        _sync_tree(temporary)
        try:
            temporary.replace(target)
        except OSError:  # a directory can not be renamed over a full one
            if not target.is_dir():
                raise
            _replace_directory(temporary, target)
        _sync(target.parent)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def check_replaceable(target: Path) -> None:
    """Refuse to write where that would destroy what is not ours.

    Raises:
        UsageError: The target is a directory with other things in it, or a parent of it is a file.
    """
    if any(parent.exists() and not parent.is_dir() for parent in target.parents):
        raise UsageError("a parent of this path is a file", value=str(target), fix="name another place")
    if target.is_dir() and any(target.iterdir()) and not (target / MANIFEST).is_file():
        raise UsageError(
            "the folder holds other things, and would be replaced",
            value=str(target),
            accepted="a new or empty folder, or one written by rankloom",
            fix="name another folder",
        )


def write_text(target: Path, text: str) -> None:
    """Write a text file atomically, as UTF-8 with Unix line ends."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(target: Path, value: object) -> None:
    """Write a JSON file atomically, indented, keys in the order given."""
    write_text(target, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a directory of ours says about itself.

    Args:
        format: What kind of directory it is, such as `rankloom-corpus`.
        version: Version of that format.
        fields: Parameters and counts, JSON values.
        sizes: File name, as a path within the directory -> bytes.
        checksums: File name -> BLAKE2b digest of its bytes.
    """

    format: str
    version: int
    fields: Mapping[str, Any]
    sizes: Mapping[str, int]
    checksums: Mapping[str, str]

    @classmethod
    def write(cls, directory: Path, *, format: str, version: int, fields: Mapping[str, Any]) -> Manifest:
        """Describe all files now in a directory and in those inside it, and write the description beside them."""
        paths = sorted(path for path in directory.rglob("*") if path.is_file() and path != directory / MANIFEST)
        sizes = {path.relative_to(directory).as_posix(): path.stat().st_size for path in paths}
        checksums = {name: checksum(directory / name) for name in sizes}
        described = {"format": format, "version": version, **fields, "sizes": sizes, "checksums": checksums}
        write_json(directory / MANIFEST, described)
        return cls(format, version, dict(fields), sizes, checksums)

    @classmethod
    def read(cls, directory: Path, *, format: str, version: int, verify: bool = False) -> Manifest:
        """Read a directory's description and hold it against the directory.

        Args:
            directory: The directory to open.
            format: The format that the caller can read.
            version: The version that the caller can read.
            verify: Compare the checksum of every file, which reads them all. Without it, files of more than 16 MiB
                are held against their sizes only.

        Raises:
            NotFoundError: There is no such directory.
            DamagedIndexError: No manifest, another format or version, a file missing or changed.
            StageError: The system does not let us read the manifest; see `refused_by_system`.
        """
        if not directory.is_dir():
            raise NotFoundError(f"there is no {format} directory here", value=str(directory))
        try:
            raw = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
            sizes, checksums = dict(raw.pop("sizes")), dict(raw.pop("checksums"))
            if sizes.keys() != checksums.keys():
                raise KeyError("sizes and checksums are of other files")
            manifest = cls(raw.pop("format"), raw.pop("version"), raw, sizes, checksums)
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise refused_by_system(directory, error) or DamagedIndexError(
                f"the directory has no readable {MANIFEST}",
                value=str(directory),
                accepted=f"a directory written by rankloom as {format}",
                fix="check the path (an index may be a folder inside this one); if it is damaged, build it again",
            ) from error
        if (manifest.format, manifest.version) != (format, version):
            raise DamagedIndexError(
                "the directory is of another format or version",
                value=f"{directory} ({manifest.format} {manifest.version})",
                accepted=f"{format} {version}",
                fix="build it again with this version of rankloom",
            )
        manifest.check(directory, verify=verify)
        return manifest

    def check(self, directory: Path, *, verify: bool) -> None:
        """Raise DamagedIndexError if a file of the directory is missing or changed; see `read`."""
        for name, expected in self.checksums.items():
            path, size = directory / name, self.sizes[name]
            whole = path.is_file() and path.stat().st_size == size
            if not whole or ((verify or size <= _QUICK) and checksum(path) != expected):
                raise DamagedIndexError(
                    f"the file {name} is missing or has changed since it was written",
                    value=str(directory),
                    fix="build it again",
                )


def refused_by_system(directory: Path, error: BaseException, *, stage: str | None = None) -> StageError | None:
    """The error for files that may be whole, but that the system does not let this process read now.

    Args:
        directory: Where they are.
        error: What reading them has raised.
        stage: Who reads, for the error.

    Returns:
        None where `error` tells of the files themselves, so that they may be damaged.
    """
    fix = _REFUSALS.get(error.errno or 0) if isinstance(error, OSError) else None
    if fix is None:
        return None
    return StageError(f"the files can not be read now ({error})", stage=stage, value=str(directory), fix=fix)


def checksum(path: Path) -> str:
    """The BLAKE2b digest of a file, 32 hexadecimal digits."""
    state = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            state.update(block)
    return state.hexdigest()


def _replace_directory(source: Path, target: Path) -> None:
    """Put a directory in another's place."""
    old = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.old.tmp")
    target.rename(old)
    try:
        source.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old)


def _sync_tree(path: Path) -> None:
    """Flush a file, or every file of a directory, to the disk."""
    if path.is_dir():
        for inner in path.iterdir():
            _sync_tree(inner)
    _sync(path)


def _sync(path: Path) -> None:
    """Flush one file or directory entry; platforms that can not open a directory skip it."""
    with suppress(PermissionError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
