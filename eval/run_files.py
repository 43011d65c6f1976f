"""Finding TREC runs: files, folders of files, and what experiments have written, with a name for each."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rankloom.errors import NotFoundError
from rankloom.eval.outputs import RUNS, read_manifest

#: Endings that a run's name goes without.
_ENDINGS = (".trec", ".run", ".txt", ".res")
_COLUMNS = 6  # query id, Q0, document id, rank, score, tag


class Skipped(NamedTuple):
    """A file that is not compared, and why."""

    path: Path
    reason: str


class RunFiles(NamedTuple):
    """Runs by name, in the order in which they were found, and what else was there."""

    files: dict[str, Path]
    skipped: tuple[Skipped, ...]


def find_runs(paths: Sequence[Path]) -> RunFiles:
    """The runs that paths stand for.

    A file is taken for a run. Of a folder that an experiment has written, the runs of its pipelines are taken, in their
    order; of any other, every file, in folders below too, whose first line has the six columns of a run. A run is
    called as its file, without `.trec`, `.run`, `.txt`, `.res` and `.gz`; where two are called the same, both
    are called by as many of the folders above them as tell them apart.

    Args:
        paths: Files and folders.

    Raises:
        NotFoundError: A path is not there, or a folder holds no run.
    """
    found: list[Path] = []
    skipped: list[Skipped] = []
    for path in paths:
        if path.is_file():
            taken = [path]
        elif path.is_dir():
            taken = list(_in_folder(path, skipped))
            if not taken:
                raise NotFoundError("the folder holds no run", stage="compare", value=str(path), accepted=_ACCEPTED)
        else:
            raise NotFoundError("there is no such file or folder", stage="compare", value=str(path))
        for file in taken:
            if any(file.samefile(other) for other in found):
                skipped.append(Skipped(file, "it stands among the runs already"))
            else:
                found.append(file)
    return RunFiles(dict(zip(_names(found), found, strict=True)), tuple(skipped))


_ACCEPTED = "files of six columns: query id, Q0, document id, rank, score, tag"


def _in_folder(folder: Path, skipped: list[Skipped]) -> Iterator[Path]:
    """The runs in a folder and in those below."""
    manifest = read_manifest(folder)
    if manifest is not None:
        for path in (folder / RUNS / f"{name}.trec" for name in manifest.get("pipelines", {})):
            if path.is_file():
                yield path
            else:
                skipped.append(Skipped(path, "the experiment's run is not there any more"))
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _in_folder(path, skipped)
        elif _is_run(path):
            yield path
        else:
            skipped.append(Skipped(path, "its first line has not the six columns of a run"))


def _is_run(path: Path) -> bool:
    """Whether the first line that is not blank is one of a run."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            line = next((line for line in file if line.strip()), b"")
    except (OSError, EOFError, zlib.error):
        return False
    columns = line.split()
    if len(columns) != _COLUMNS:
        return False
    try:
        float(columns[4])
    except ValueError:
        return False
    return True


def _names(files: Sequence[Path]) -> list[str]:
    """A name for each file."""
    parts = [(*_folders(file), _stem(file)) for file in files]
    lengths = [1] * len(files)
    while True:
        names = ["/".join(part[-length:]) for part, length in zip(parts, lengths, strict=True)]
        clashing = [
            place for place, name in enumerate(names) if names.count(name) > 1 and lengths[place] < len(parts[place])
        ]
        if not clashing:
            break
        for place in clashing:
            lengths[place] += 1
    # `a.trec` and `a.txt` of one folder: then by their whole file names.
    return [
        name if names.count(name) == 1 else "/".join((*_folders(file)[-1:], file.name))
        for name, file in zip(names, files, strict=True)
    ]


def _folders(file: Path) -> tuple[str, ...]:
    """The folders above a file, without the one in which experiments keep their runs."""
    above = file.resolve().parent
    if above.name == RUNS and read_manifest(above.parent) is not None:
        above = above.parent
    return above.parts


def _stem(file: Path) -> str:
    """The name of a run by its file."""
    name = file.name.removesuffix(".gz")
    ending = next((ending for ending in _ENDINGS if name.endswith(ending) and name != ending), "")
    return name.removesuffix(ending)
