"""Where test collections are found: folders, the bundled mini collection, RANKLOOM_DATA, ir_datasets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from rankloom.corpus_ir_datasets import guarded, load_ir_dataset
from rankloom.errors import DataError, NotFoundError, nearest
from rankloom.eval.catalog import CollectionRecord
from rankloom.eval.queries import read_queries
from rankloom.extras import installed
from rankloom.files import checksum
from rankloom.fingerprint import digest
from rankloom.ledger import Note
from rankloom.qrels import Qrels, read_qrels_noted
from rankloom.records import Query
from rankloom.yaml_file import find_beside

_STAGE = "load_collection"
_DATA = "RANKLOOM_DATA"


@dataclass(frozen=True, slots=True)
class Folder:
    """A split of a collection in BEIR's layout.

    Args:
        id: Name and split.
        path: The folder.
        split: Which judgements.
    """

    id: str
    path: Path
    split: str

    @property
    def corpus(self) -> Path:
        """The documents."""
        return _plain_or_gzipped(self.path / "corpus.jsonl")

    @property
    def queries(self) -> Path:
        """All queries of all splits."""
        return _plain_or_gzipped(self.path / "queries.jsonl")

    @property
    def qrels(self) -> Path:
        """The judgements of the split."""
        return self.path / "qrels" / f"{self.split}.tsv"


@dataclass(frozen=True, slots=True)
class Judged:
    """Judged queries and their judgements, in one order.

    Args:
        queries: The queries that have judgements.
        qrels: Query id -> document id -> grade.
        notes: Judgements that others overruled.
    """

    queries: tuple[Query, ...]
    qrels: Qrels
    notes: tuple[Note, ...] = ()


def data_folder() -> Path | None:
    """The folder of real collections: RANKLOOM_DATA, or `../shared/data` beside the repository; None if neither.

    Raises:
        NotFoundError: RANKLOOM_DATA names a folder that is not there.
    """
    named = os.environ.get(_DATA)
    if named:
        if not Path(named).is_dir():
            raise NotFoundError(f"{_DATA} names a folder that is not there", stage=_STAGE, value=named)
        return Path(named)
    roots = (Path(__file__).resolve().parents[1], Path.cwd())
    return next((path for root in roots if (path := root.parent / "shared" / "data").is_dir()), None)


def find_path(name: str, split: str | None, folder: Path = Path()) -> Folder | None:
    """The folder whose path was given, or None.

    Args:
        name: A path, perhaps followed by `:SPLIT`.
        split: The split, if it is not in the name.
        folder: Where a relative path starts, if it does not in the current folder.

    Raises:
        NotFoundError: The collection is there, but not the split; names the splits.
        ConfigError: There is a collection in both folders.
    """
    path, named = _without_split(name, split)
    found = find_beside(path, folder, _is_collection)
    return None if found is None else _split(Path(path).as_posix(), found, named)


def find_local(record: CollectionRecord, split: str, called: str | None = None) -> Folder | None:
    """The folder of a collection of the catalogue that has the split, or None.

    Args:
        record: The collection; its full name or its `folder` is looked for.
        split: The split.
        called: What else it was called; a folder of that name goes before.
    """
    names = [name for name in (called, record.name, record.folder) if name]
    folders = (Folder(f"{name}/{split}", root / name, split) for root in _roots() for name in names)
    return next((found for found in folders if _is_collection(found.path) and found.qrels.is_file()), None)


def find_folder(name: str, split: str | None) -> Folder | None:
    """The folder that a name which the catalogue lacks stands for, or None.

    Args:
        name: A name, perhaps followed by `:SPLIT`, or ending in `/SPLIT`; what stands before the last slash is ignored.
        split: The split, if it is not in the name.

    Raises:
        NotFoundError: The collection is there, but not the split; names the splits.
    """
    name, split = _without_split(name, split)
    if Path(name).is_absolute() or name.startswith("."):  # a path, not a name whose prefix can be ignored
        return None
    parts = [part for part in name.split("/") if part]
    for root in _roots():
        # `beir/scifact/test` is the split test of scifact; `beir/scifact` is scifact.
        if split is None and len(parts) > 1 and _is_collection(root / parts[-2]):
            return _split(parts[-2], root / parts[-2], parts[-1])
        if parts and _is_collection(root / parts[-1]):
            return _split(parts[-1], root / parts[-1], split)
    return None


def find_candidates(name: str) -> tuple[Path, Path | None]:
    """The file of stored hits that a name stands for, and the judgements beside it, if there are any.

    Raises:
        NotFoundError: There are none of that name; names what there is.
    """
    data = data_folder()
    folder = None if data is None else data / "candidates"
    path = None if folder is None else folder / f"{name}.jsonl"
    if folder is None or path is None or not path.is_file():
        known = sorted(
            found.relative_to(folder).with_suffix("").as_posix() for found in folder.glob("*/*.jsonl")
        ) if folder else []  # fmt: skip
        close = nearest(name, known)
        raise NotFoundError(
            "there are no such candidates",
            stage=_STAGE,
            value=name,
            accepted=", ".join(known) or None,
            fix=f"did you mean {close!r}?" if close else f"point {_DATA} at the folder that holds candidates/",
        )
    judged = path.with_name("qrels.txt")
    return path, judged if judged.is_file() else None


def available() -> list[str]:
    """Names of collections on this machine."""
    return sorted({path.name for root in _roots() if root.is_dir() for path in root.iterdir() if _is_collection(path)})


def judged_queries(queries: Path, qrels: Path) -> Judged:
    """The queries of a file that are judged, in the order of that file, and their judgements in the same order."""
    grades, notes = read_qrels_noted(qrels)
    return only_judged(read_queries(queries), grades, str(queries), notes)


def ir_datasets_knows(name: str) -> bool:
    """Whether ir_datasets is installed and has a collection of this name."""
    if not installed("ir_datasets"):
        return False
    try:
        load_ir_dataset(name)
    except NotFoundError:
        return False
    return True


def ir_datasets_queries(dataset_id: str, *, offline: bool, excluded_grade: int | None = None) -> Judged:
    """The judged queries and judgements of an ir_datasets collection.

    Args:
        dataset_id: Such as `beir/scifact/test`.
        offline: Refuse to download.
        excluded_grade: The grade that rules a document out for a query; such documents become `excluded_ids`.

    Raises:
        NotFoundError: It has none, or it is not on this machine and the network is out of bounds.
    """
    dataset = load_ir_dataset(dataset_id)
    if not (dataset.has_queries() and dataset.has_qrels()):
        raise NotFoundError("the collection has no queries or no judgements", stage=_STAGE, value=dataset_id)
    qrels: Qrels = {}
    excluded: dict[str, list[str]] = {}
    for judged in guarded(dataset.qrels_iter, dataset_id=dataset_id, offline=offline):
        if int(judged.relevance) == excluded_grade:
            excluded.setdefault(judged.query_id, []).append(judged.doc_id)
        else:
            qrels.setdefault(judged.query_id, {})[judged.doc_id] = int(judged.relevance)
    queries = tuple(
        Query(query.query_id, query.default_text(), metadata=_excluding(excluded.get(query.query_id)))
        for query in guarded(dataset.queries_iter, dataset_id=dataset_id, offline=offline)
    )
    return only_judged(queries, qrels, f"ir_datasets:{dataset_id}", ())


def source_fingerprint(source: str | Path) -> str:
    """A digest of a document source: the file's bytes, or the name of an ir_datasets collection."""
    path = Path(source)
    if path.is_file():
        return digest("file", path.name, checksum(path))
    if path.is_dir():
        inner = sorted(found for found in path.rglob("*") if found.is_file())
        return digest("folder", [(found.relative_to(path).as_posix(), checksum(found)) for found in inner])
    return digest("source", str(source))


def only_judged(queries: tuple[Query, ...], qrels: Qrels, where: str, notes: tuple[Note, ...]) -> Judged:
    """The judged queries and their judgements, both in the order of the queries.

    Raises:
        DataError: A judged query is not among the queries.
    """
    asked = tuple(query for query in queries if qrels.get(query.id))
    if len(asked) != len(qrels):
        lost = sorted(set(qrels) - {query.id for query in asked})
        raise DataError(
            f"{len(lost)} judged queries are not among the queries",
            stage=_STAGE,
            value=lost[0],
            accepted=f"judgements of queries in {where}",
        )
    return Judged(asked, {query.id: qrels[query.id] for query in asked}, notes)


def _excluding(doc_ids: list[str] | None) -> dict[str, list[str]]:
    """The metadata of a query for which some documents do not count."""
    return {"excluded_ids": doc_ids} if doc_ids else {}


def _without_split(name: str, split: str | None) -> tuple[str, str | None]:
    """A name without its `:SPLIT`, and the split."""
    base, colon, named = name.rpartition(":")
    if colon and split is None and not {"/", "\\"} & set(named):  # `C:\\data` names no split
        return base, named
    return name, split


def _roots() -> Iterator[Path]:
    """Folders that hold collections: the bundled one first, so that it can be had however RANKLOOM_DATA is set."""
    yield Path(str(files("rankloom.eval")))
    data = data_folder()
    if data is not None:
        yield data / "collections"


def _is_collection(path: Path) -> bool:
    """Whether a folder is in BEIR's layout."""
    return (path / "qrels").is_dir() and _plain_or_gzipped(path / "corpus.jsonl").is_file()


def _split(name: str, path: Path, split: str | None) -> Folder:
    """One split of a collection.

    Raises:
        NotFoundError: The collection has no such split.
    """
    known = sorted(found.stem for found in (path / "qrels").glob("*.tsv"))
    wanted = split or "test"
    if wanted not in known:
        raise NotFoundError(
            f"the collection {name} has no split of that name", stage=_STAGE, value=wanted, accepted=", ".join(known)
        )
    return Folder(f"{name}/{wanted}", path, wanted)


def _plain_or_gzipped(path: Path) -> Path:
    """The file, or its gzipped form where only that is there."""
    gzipped = path.with_name(f"{path.name}.gz")
    return gzipped if not path.is_file() and gzipped.is_file() else path
