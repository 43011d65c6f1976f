"""Changes of a vector index: what it holds after documents were added, deleted, or its deleted rows dropped.

Rows never move, except when deleted ones are dropped. Document codes are places in the sorted table of ids, so every
change of the documents gives all rows new codes.

Parts on disk stay few however often something is added: rows that come in are written together with the parts before
them that are less than twice as many, so that n rows are in log2(n) parts at most (the logarithmic method; Bentley and
Saxe: Decomposable searching problems, Journal of Algorithms 1980). An open part takes up to two of the system's
file handles.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import DataError
from rankloom.fingerprint import digest
from rankloom.ids import DocIds
from rankloom.order import Codes
from rankloom.retrieval.vectors.commit import VECTORS, generation_name
from rankloom.retrieval.vectors.contents import Contents
from rankloom.retrieval.vectors.npy_file import MatrixFile, check_width, mapped
from rankloom.retrieval.vectors.quantised import checked_lengths
from rankloom.retrieval.vectors.row_kinds import row_kind
from rankloom.retrieval.vectors.row_search import RowSearch
from rankloom.retrieval.vectors.vector_parts import VectorParts

_STAGE = "dense"
_BLOCK = 1 << 14  # rows in memory at a time while they are copied
_log = logging.getLogger("rankloom")


def table_of(doc_ids: Sequence[str]) -> tuple[DocIds, Codes]:
    """The table of some ids that are all different, and the code of each.

    Raises:
        DataError: An id is empty, or stands twice.
    """
    ids, codes = DocIds.encode(doc_ids)
    if len(ids) < len(codes):
        counts = np.bincount(codes)
        raise DataError("a document id stands twice", stage=_STAGE, value=ids[int(counts.argmax())])
    return ids, codes


def check_new(contents: Contents, doc_ids: Sequence[str]) -> None:
    """Refuse documents that can not be added, before they are encoded.

    Raises:
        DataError: An id stands twice, is empty, or is in the index already.
    """
    table_of(doc_ids)
    there = contents.ids.codes(list(doc_ids)) >= 0
    if there.any():
        raise DataError(
            "this document is in the index already",
            stage=_STAGE,
            value=doc_ids[int(there.argmax())],
            fix="delete it first, to put another in its place",
        )


def added(
    contents: Contents,
    doc_ids: Sequence[str],
    vectors: NDArray[np.float32],
    owners: NDArray[np.int64],
    truncated: NDArray[np.int64],
) -> Contents:
    """Contents with further documents.

    Args:
        contents: What is there.
        doc_ids: Ids of the new documents.
        vectors: Their rows, float32 of shape (rows, dimensions).
        owners: The place in `doc_ids` of each row's document, int64 of shape (rows,).
        truncated: Tokens that the model did not read of each row, int64 of shape (rows,).

    Raises:
        DataError: An id stands twice, or is in the index already; the vectors are of other dimensions than those that
            are there, or a number is not finite.
    """
    check_new(contents, doc_ids)
    check_width(vectors, contents.vectors.dimensions)
    checked_lengths(vectors)
    new, codes = table_of(doc_ids)
    ids, (old_codes, new_codes) = contents.ids.merge(new)
    if len(contents.owners):
        search = copy.copy(contents.search)  # whoever holds the contents from before goes on as they were
        search.add(vectors)
    else:
        search = _search_of(contents, VectorParts([vectors]))
    return replace(
        contents,
        vectors=VectorParts([*contents.vectors.parts, vectors]),
        files=_kept_files(contents, len(vectors)),
        owners=np.concatenate([_translated(contents.owners, old_codes), new_codes[codes[owners]]]).astype(np.int32),
        ids=ids,
        truncated=np.concatenate([contents.truncated, truncated]),
        search=search,
        about=_changed(contents.about, "added", new, vectors),
        generation=contents.generation + 1,
        search_folder="",
    )


def deleted(contents: Contents, doc_ids: Sequence[str]) -> Contents:
    """Contents without some documents; their rows stay, and are never found.

    Raises:
        DataError: An id is not in the index, or stands twice.
    """
    gone, _ = table_of(doc_ids)
    codes = contents.ids.codes(list(doc_ids))
    if (codes < 0).any():
        unknown = doc_ids[int((codes < 0).argmax())]
        raise DataError("this document is not in the index", stage=_STAGE, value=unknown)
    stays = np.ones(len(contents.ids), dtype=np.bool_)
    stays[codes] = False
    places = np.where(stays, np.cumsum(stays) - 1, -1).astype(np.int32)
    left = np.flatnonzero(stays).astype(np.int32)
    return replace(
        contents,
        owners=_translated(contents.owners, places),
        ids=DocIds(contents.ids.strings(left)),
        about=_changed(contents.about, "deleted", gone),
        generation=contents.generation + 1,
    )


def compacted(contents: Contents, place: Path | None = None) -> Contents:
    """Contents without deleted rows, in one part, searched by an index that is built anew.

    Where too few rows are left for that, as a product quantiser learns from 16 at least, the index goes by what it has
    learned before, and the log says so.

    Args:
        contents: What is there.
        place: The folder of the commit, which is not there yet: rows go into its file, a block in memory at a time.
            None keeps them in memory.
    """
    live = np.flatnonzero(contents.owners >= 0)
    vectors = VectorParts([contents.vectors.take(live)]) if place is None else _copied(contents.vectors, live, place)
    files = () if place is None else (f"{generation_name(contents.generation + 1)}/{VECTORS}",)
    return replace(
        contents,
        vectors=vectors,
        owners=contents.owners[live],
        truncated=contents.truncated[live],
        search=_search_of(contents, vectors),
        about={**_changed(contents.about, "compacted"), "corpus": contents.about["corpus"]},  # of the same documents
        generation=contents.generation + 1,
        files=files,
        search_folder="",
    )


def _copied(vectors: VectorParts, rows: NDArray[np.int64], place: Path) -> VectorParts:
    """Some rows as a file of their own in a new folder, mapped."""
    place.mkdir()
    with MatrixFile(place / VECTORS, vectors.dimensions) as file:
        for start in range(0, len(rows), _BLOCK):
            file.append(vectors.take(rows[start : start + _BLOCK]))
    return VectorParts([mapped(place / VECTORS)])


def _search_of(contents: Contents, vectors: VectorParts) -> RowSearch:
    """What searches rows that are all there is from now on: built anew, unless they are too few to learn from."""
    kind, settings = row_kind(contents.search.kind, stage=_STAGE), _asked(contents.about)
    least = kind.least_rows(settings)
    if len(vectors) >= least:
        return kind.build(vectors, settings)
    _log.warning(
        "%s: %d vectors are too few for %s to learn from (%d at least); it goes by what it has learned before",
        _STAGE, len(vectors), contents.search.kind, least,
    )  # fmt: skip
    return contents.search.refilled(vectors)


def _kept_files(contents: Contents, rows: int) -> tuple[str, ...]:
    """The files that stay when so many rows come in; those behind them are written anew, together with the new rows."""
    kept = len(contents.files)
    while kept and len(contents.vectors.parts[kept - 1]) < 2 * rows:
        kept -= 1
        rows += len(contents.vectors.parts[kept])
    return contents.files[:kept]


def _asked(about: Mapping[str, Any]) -> dict[str, Any]:
    """The build settings that the user named when the index was made."""
    return dict(about.get("asked", {}))


def _translated(owners: NDArray[np.int32], codes: Codes) -> NDArray[np.int32]:
    """Owners by their new codes; deleted rows stay deleted."""
    padded = np.concatenate([codes, [-1]]).astype(np.int32)  # so that -1 reads the last place
    return np.asarray(padded[owners])


def _changed(about: Mapping[str, Any], what: str, *how: Any) -> dict[str, Any]:
    """What the index is made of after a change; it is no longer the corpus it was made from."""
    return {**about, "corpus": "", "contents": digest(about["contents"], what, *how)}
