"""Commits: which segments an index is made of, and which of their documents are deleted.

An index is a folder with a manifest, immutable segments, and a small file of deletions for each segment that has any.
A commit writes what is new beside what is there and then replaces the manifest, in one step; until then, and for
everyone who has opened the index before, nothing has changed. What no manifest names is removed by the next writer.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import DamagedIndexError
from rankloom.files import MANIFEST, Manifest, atomic_path, checksum, write_json
from rankloom.retrieval.index.impact_segment import ImpactSegment
from rankloom.retrieval.index.segment import Segment

FORMAT = "rankloom-impact-index"
VERSION = 2
SEGMENTS, DELETIONS = "segments", "deletions"
_TRIES = 10  # to open an index while writers replace it
_NOTHING: NDArray[np.int32] = np.zeros(0, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class Deletions:
    """What is deleted from a segment, and what that takes away from its statistics.

    Args:
        documents: The deleted documents, ascending; int32.
        terms: Terms that occur in them, ascending; int32.
        counts: In how many of them each occurs, int32 of the same shape.
        total: The sum of all their values.
        filled: How many of them have a term.
        file: Where this is kept, within the index; None if nowhere yet.
    """

    documents: NDArray[np.int32] = field(default_factory=lambda: _NOTHING)
    terms: NDArray[np.int32] = field(default_factory=lambda: _NOTHING)
    counts: NDArray[np.int32] = field(default_factory=lambda: _NOTHING)
    total: int = 0
    filled: int = 0
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A segment and what is deleted from it."""

    segment: Segment | ImpactSegment
    deletions: Deletions = field(default_factory=Deletions)

    def __len__(self) -> int:
        """How many documents are left."""
        return len(self.segment) - len(self.deletions.documents)

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Whether each document is left, bool of shape (documents,)."""
        there = np.ones(len(self.segment), dtype=np.bool_)
        there[self.deletions.documents] = False
        return there

    @property
    def total(self) -> int:
        """The sum of all values left."""
        return self.segment.total - self.deletions.total

    @property
    def filled(self) -> int:
        """How many of the documents left have a term."""
        return self.segment.filled - self.deletions.filled


@dataclass(frozen=True, slots=True)
class Commit:
    """What an index was at one moment.

    Args:
        parts: Its segments.
        about: What it was made of: digests and settings by name.
        linear: Whether values are impacts (scores add up values) or frequencies.
        term_vectors: Whether segments also keep the terms of each document together.
        generation: Counts the commits, from 1; 0 for an index that has none yet.
    """

    parts: tuple[Part, ...] = ()
    about: Mapping[str, str] = field(default_factory=dict)
    linear: bool = False
    term_vectors: bool = False
    generation: int = 0


def read_commit(directory: Path, *, verify: bool = False) -> Commit:
    """The last commit of an index.

    Args:
        directory: Where the index lives.
        verify: Compare the checksum of every file, also of those above 16 MiB; reads them all.

    Raises:
        NotFoundError: There is no such directory.
        DamagedIndexError: It is no index, is of another version, or a file is missing or damaged.
    """
    for _ in range(_TRIES):
        before = _manifest_bytes(directory)
        try:
            manifest = Manifest.read(directory, format=FORMAT, version=VERSION, verify=verify)
            return _opened(directory, manifest, verify=verify)
        except DamagedIndexError:
            # a writer may have put another commit in its place, and removed what this one named
            if _manifest_bytes(directory) == before:
                raise
    raise DamagedIndexError("the index changes faster than it can be opened", value=str(directory), fix="try again")


def _manifest_bytes(directory: Path) -> bytes | None:
    """The manifest as it is now; None if there is none."""
    try:
        return (directory / MANIFEST).read_bytes()
    except OSError:
        return None


def _opened(directory: Path, manifest: Manifest, *, verify: bool) -> Commit:
    """What a manifest describes."""
    fields = manifest.fields
    try:
        linear = bool(fields["linear"])
        parts = [
            Part(
                open_segment(directory / SEGMENTS / str(one["name"]), linear=linear, verify=verify),
                _read_deletions(directory, one["deletions"]),
            )
            for one in fields["segments"]
        ]
        about = {str(key): str(value) for key, value in fields["about"].items()}
        return Commit(
            tuple(parts),
            about,
            linear,
            bool(fields.get("term_vectors", False)),
            int(fields["generation"]),
        )
    except (KeyError, ValueError, TypeError, AttributeError, OSError, zipfile.BadZipFile) as error:
        raise DamagedIndexError(
            f"the manifest or a file of deletions can not be read ({error})",
            value=str(directory),
            fix="delete the index and build it again",
        ) from error


def open_segment(directory: Path, *, linear: bool, verify: bool = False) -> Segment | ImpactSegment:
    """Map a segment of impacts (linear) or of frequencies; see `Segment.open`."""
    return ImpactSegment.open(directory, verify=verify) if linear else Segment.open(directory, verify=verify)


def write_commit(directory: Path, commit: Commit) -> None:
    """Make a commit the last one; its segments are in place already, its deletions are written now."""
    segments: list[dict[str, Any]] = []
    named: list[str] = []
    for part in commit.parts:
        file = part.deletions.file
        if len(part.deletions.documents) and file is None:
            file = f"{DELETIONS}/{part.segment.name}.{commit.generation}.npz"
            _write_deletions(directory / file, part.deletions)
        segments.append({"name": part.segment.name, "documents": len(part), "deletions": file})
        inner = f"{SEGMENTS}/{part.segment.name}/{MANIFEST}"
        named += [inner] if file is None else [inner, file]
    fields = {
        "generation": commit.generation,
        "documents": sum(map(len, commit.parts)),
        "linear": commit.linear,
        "term_vectors": commit.term_vectors,
        "about": dict(commit.about),
        "segments": segments,
    }
    files = {
        "sizes": {name: (directory / name).stat().st_size for name in named},
        "checksums": {name: checksum(directory / name) for name in named},
    }
    write_json(directory / MANIFEST, {"format": FORMAT, "version": VERSION, **fields, **files})
    remove_unnamed(directory, [one["name"] for one in segments], [one["deletions"] for one in segments])


def remove_unnamed(directory: Path, segments: Sequence[str], deletions: Sequence[str | None]) -> None:
    """Remove segments and deletions that the manifest does not name; readers that have them open keep them."""
    for path in (directory / SEGMENTS).glob("*"):
        if path.name not in segments:
            shutil.rmtree(path, ignore_errors=True)
    for path in (directory / DELETIONS).glob("*"):
        if f"{DELETIONS}/{path.name}" not in deletions:
            path.unlink(missing_ok=True)


def _write_deletions(path: Path, deletions: Deletions) -> None:
    """Write deletions as a file, whole or not at all."""
    columns: dict[str, Any] = {name: getattr(deletions, name) for name in ("documents", "terms", "counts")}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, sums=np.array([deletions.total, deletions.filled], dtype=np.int64), **columns)


def _read_deletions(directory: Path, file: str | None) -> Deletions:
    """Read deletions from their file, if there is one."""
    if file is None:
        return Deletions()
    with np.load(directory / file, allow_pickle=False) as held:
        total, filled = held["sums"].tolist()
        return Deletions(held["documents"], held["terms"], held["counts"], total, filled, file)
