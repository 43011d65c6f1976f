"""Commits: how what a vector index holds comes into its folder, and out again.

Each commit writes a folder of its own, `000001`, `000002` and so on, and then replaces the manifest, in one step; until
then, and for everyone who has opened the index before, nothing has changed. Vectors stay in the folder of the commit
that brought them, until a later one writes them anew (`changes.py`). What no manifest names is removed by
the next writer.

    manifest.json
    000001/vectors.npy     float32 rows, memory-mapped
           search/         what the kind of search needs besides: codes, lists, a graph
    000002/vectors.npy     the rows that the second commit added
           owners.npy      the document code of every row, -1 for deleted ones
           truncated.npy   tokens of every row that the model did not read
           ids.arrow       document ids, sorted
           search/
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rankloom.errors import DamagedIndexError, DataError, UsageError
from rankloom.files import MANIFEST, Manifest, atomic_path, checksum, refused_by_system, write_json
from rankloom.fingerprint import digest_bytes
from rankloom.ids import DocIds
from rankloom.retrieval.vectors.contents import Contents
from rankloom.retrieval.vectors.npy_file import MatrixFile, mapped
from rankloom.retrieval.vectors.row_kinds import row_kind
from rankloom.retrieval.vectors.vector_parts import VectorParts

FORMAT, VERSION = "rankloom-vector-index", 4
VECTORS, SEARCH, LOCK = "vectors.npy", "search", "lock"
_OWNERS, _TRUNCATED, _IDS = "owners.npy", "truncated.npy", "ids.arrow"
_TRIES = 10  # to open an index while writers replace it
_STAGE = "dense"


def generation_name(generation: int) -> str:
    """The folder of a commit."""
    return f"{generation:06}"


def write_generation(place: Path, contents: Contents) -> None:
    """Write what a commit adds into a folder: vectors in memory, the tables, and the search unless it has its place.

    Args:
        place: The folder, which is made if it is not there.
        contents: What the index holds now; its first parts, as many as it names files of, are written already.
    """
    import pyarrow as pa

    place.mkdir(exist_ok=True)
    new = contents.vectors.parts[len(contents.files) :]
    if new:
        with MatrixFile(place / VECTORS, contents.vectors.dimensions) as file:
            for part in new:
                file.append(part)
    np.save(place / _OWNERS, contents.owners)
    np.save(place / _TRUNCATED, contents.truncated)
    batch = pa.record_batch([contents.ids.array], names=["id"])
    with pa.ipc.new_file(place / _IDS, batch.schema) as file:
        file.write_batch(batch)
    if not contents.search_folder:
        (place / SEARCH).mkdir()
        contents.search.write(place / SEARCH)


def named_in(contents: Contents, place: Path) -> Contents:
    """Contents with the names of the files that `write_generation` has given them."""
    folder = generation_name(contents.generation)
    vectors = f"{folder}/{VECTORS}"
    new = vectors not in contents.files and (place / VECTORS).is_file()
    files = (*contents.files, vectors) if new else contents.files
    return replace(contents, files=files, search_folder=contents.search_folder or f"{folder}/{SEARCH}")


def write_manifest(directory: Path, contents: Contents, *, known: Manifest | None = None) -> None:
    """Make contents whose files are in place the last commit, once they have been opened again.

    Args:
        directory: The folder of the index.
        contents: What the index holds now.
        known: The manifest before, whose checksums stand for files that have not changed.

    Raises:
        DamagedIndexError: The files can not be read, or do not fit together; the manifest stays as it was.
    """
    folder = generation_name(contents.generation)
    search = directory / contents.search_folder
    named = [
        *contents.files,
        *(f"{folder}/{name}" for name in (_OWNERS, _TRUNCATED, _IDS)),
        *(f"{contents.search_folder}/{path.name}" for path in sorted(search.iterdir())),
    ]
    before = {} if known is None else known.checksums
    fields = {
        **contents.about,
        "generation": contents.generation,
        "documents": len(contents.ids),
        "rows": len(contents.owners),
        "deleted_rows": len(contents.owners) - contents.live_rows,
        "truncated_documents": len(contents.truncated_documents()[0]),
        "truncated_tokens": int(contents.truncated_documents()[1].sum()),
        "dimensions": contents.vectors.dimensions,
        "index": contents.search.kind,
        "settings": contents.search.settings(),
        "vectors": list(contents.files),
        "search": contents.search_folder,
        "sizes": {name: (directory / name).stat().st_size for name in named},
        "checksums": {name: before.get(name) or checksum(directory / name) for name in named},
    }
    _opened(directory, fields)
    write_json(directory / MANIFEST, {"format": FORMAT, "version": VERSION, **fields})


def commit(directory: Path, before: Contents, change: Callable[[Path], Contents]) -> None:
    """Write changed contents as the next commit of an index; the caller holds its lock.

    Args:
        directory: The folder of the index.
        before: What is changed, as it was read.
        change: Gives what the index holds then. It is handed the folder that the commit is written into, which is not
            there yet; vectors that it puts there are named in its `files`.

    Raises:
        UsageError: The folder holds another index, or another state of it, than was read.
    """
    known = Manifest.read(directory, format=FORMAT, version=VERSION)
    # every build counts its commits from 1: only the whole manifest, with all checksums, tells one index from another
    if _manifest_digest(_manifest_bytes(directory)) != before.read_from:
        raise UsageError(
            "the index has been changed since it was opened, or another was put in its place",
            stage=_STAGE,
            value=str(directory),
            fix="open it again, and change that",
        )
    _remove_unnamed(directory, known)  # what a writer that was killed has left
    folder = directory / generation_name(before.generation + 1)
    with atomic_path(folder) as temporary:
        contents = change(temporary)
        write_generation(temporary, contents)
    write_manifest(directory, named_in(contents, folder), known=known)
    _remove_unnamed(directory, Manifest.read(directory, format=FORMAT, version=VERSION))


def read_commit(directory: Path, *, verify: bool = False) -> Contents:
    """What the last commit of an index holds; vectors and what is searched are memory-mapped.

    Args:
        directory: Where the index lives.
        verify: Compare the checksum of every file, also of those above 16 MiB; reads them all.

    Raises:
        NotFoundError: There is no such folder.
        DamagedIndexError: It is no index, is of another version, or a file is missing or damaged.
        StageError: The system does not let us read a file: too many are open, or it is not ours to read.
    """
    for _ in range(_TRIES):
        before = _manifest_bytes(directory)
        try:
            manifest = Manifest.read(directory, format=FORMAT, version=VERSION, verify=verify)
            contents = _opened(directory, manifest.fields)
        except DamagedIndexError:
            # a writer may have put another commit in its place, and removed what this one named
            if _manifest_bytes(directory) == before:
                raise
        else:
            if _manifest_bytes(directory) == before:
                return replace(contents, read_from=_manifest_digest(before))
    raise DamagedIndexError("the index changes faster than it can be opened", value=str(directory), fix="try again")


def _damaged(directory: Path, reason: str) -> DamagedIndexError:
    """The error for a folder that is not what its manifest says."""
    return DamagedIndexError(
        f"the index can not be read ({reason})",
        stage=_STAGE,
        value=str(directory),
        fix="delete the folder and build it again",
    )


def _opened(directory: Path, fields: Mapping[str, Any]) -> Contents:
    """What a manifest with these fields describes."""
    import pyarrow as pa

    try:
        folder = directory / generation_name(fields["generation"])
        kind = row_kind(fields["index"], stage=_STAGE)
        files = [directory / name for name in fields["vectors"]]
        # where a few rows are scored anew, they are read as they lie, so that the full vectors take no memory
        vectors = VectorParts.on_disk(files) if kind.rescore else VectorParts([mapped(file) for file in files])
        owners, truncated = np.load(folder / _OWNERS), np.load(folder / _TRUNCATED)
        ids = DocIds(pa.ipc.open_file(pa.memory_map(str(folder / _IDS))).get_batch(0).column("id"))
        search = kind.read(directory / fields["search"], vectors, fields["settings"])
        contents = Contents(
            vectors, owners, ids, truncated, search, _about(fields),
            fields["generation"], tuple(fields["vectors"]), fields["search"],
        )  # fmt: skip
        fitting = (
            len(vectors) == len(owners) == len(truncated) == len(search) == fields["rows"]
            and vectors.dimensions == fields["dimensions"]
            and len(ids) == fields["documents"]
            and int(owners.max(initial=-1)) < len(ids)
        )
    except (DataError, KeyError, OSError, RuntimeError, TypeError, ValueError, IndexError) as error:
        raise refused_by_system(directory, error, stage=_STAGE) or _damaged(directory, str(error)) from error
    if not fitting:
        raise _damaged(directory, "the number of rows or documents is not the one in the manifest")
    return contents


#: What is kept of a manifest from commit to commit: what the index was made of.
_ABOUT = ("model", "encoder", "encoder_kind", "encoder_settings", "precision", "corpus", "asked", "contents")


def _about(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What an index was made of, from its manifest."""
    return {name: fields[name] for name in _ABOUT}


def _remove_unnamed(directory: Path, manifest: Manifest) -> None:
    """Remove what a manifest does not name; readers that have it open keep it."""
    named = manifest.checksums.keys()
    kept = {name.split("/", maxsplit=1)[0] for name in named} | {generation_name(manifest.fields["generation"])}
    for path in directory.iterdir():
        if path.name in {MANIFEST, LOCK}:
            continue
        if path.name not in kept:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        elif path.is_dir():
            for inner in path.iterdir():
                if not any(name.startswith(f"{path.name}/{inner.name}") for name in named):
                    shutil.rmtree(inner, ignore_errors=True) if inner.is_dir() else inner.unlink(missing_ok=True)


def _manifest_digest(content: bytes | None) -> str:
    """What tells one manifest from every other."""
    return "" if content is None else digest_bytes(content)


def _manifest_bytes(directory: Path) -> bytes | None:
    """The manifest as it is now; None if there is none."""
    try:
        return (directory / MANIFEST).read_bytes()
    except OSError:
        return None
