"""Putting an index together from shards of vectors, in memory or, one shard at a time, in a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rankloom.corpus import Corpus
from rankloom.encoders import Encoder
from rankloom.errors import DataError
from rankloom.fingerprint import digest
from rankloom.ids import DocIds
from rankloom.order import Codes
from rankloom.retrieval.made_by import facts
from rankloom.retrieval.vectors.commit import VECTORS, generation_name, named_in, write_generation, write_manifest
from rankloom.retrieval.vectors.contents import Contents
from rankloom.retrieval.vectors.encoding import GIVEN
from rankloom.retrieval.vectors.npy_file import MatrixFile, check_width, mapped
from rankloom.retrieval.vectors.quantised import checked_lengths
from rankloom.retrieval.vectors.row_kinds import chosen_kind, row_kind
from rankloom.retrieval.vectors.shards import Shard
from rankloom.retrieval.vectors.vector_parts import VectorParts
from rankloom.session import Session

_STAGE = "dense"
_BLOCK = 1 << 14  # rows of a file that are in memory at a time


@dataclass(frozen=True, slots=True)
class Origin:
    """What an index is made of, and how it shall be searched.

    Args:
        encoder: What the manifest keeps of the encoder, and of the precision; see `made_by.facts`.
        corpus: Fingerprint of the corpus; empty if there is none.
        encoded: Whether encoder and corpus say all about the vectors; otherwise their bytes are looked at.
        kind: The kind of search, or `auto`.
        settings: Its build settings by name.
    """

    encoder: Mapping[str, Any]
    corpus: str
    encoded: bool
    kind: str
    settings: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        encoder: Encoder,
        session: Session,
        kind: str,
        settings: Mapping[str, Any],
        *,
        corpus: Corpus | None,
        encoded: bool = True,
    ) -> Self:
        """The origin of vectors that an encoder makes of a corpus in a session, or that are given."""
        return cls(
            facts(encoder, encoder.precision_in(session) if encoded else GIVEN),
            "" if corpus is None else corpus.fingerprint(),
            encoded,
            kind,
            {name: value for name, value in settings.items() if value is not None},
        )


def assembled(ids: DocIds, shards: Iterable[Shard], origin: Origin) -> Contents:
    """An index in memory.

    Args:
        ids: The documents.
        shards: Their rows; owners are codes of `ids`.
        origin: What they are made of.
    """
    kept: list[NDArray[np.float32]] = []
    tables = _Tables.read(shards, kept.append)
    matrix = kept[0] if len(kept) == 1 else np.concatenate(kept)
    return _contents(ids, VectorParts([matrix]), tables, origin)


def assembled_in(directory: Path, ids: DocIds, shards: Iterable[Shard], origin: Origin) -> None:
    """Write an index into a folder that is not there yet; see `assembled`."""
    place = directory / generation_name(1)
    place.mkdir(parents=True)
    with ExitStack() as opened:
        files: list[MatrixFile] = []

        def append(rows: NDArray[np.float32]) -> None:
            if not files:
                files.append(opened.enter_context(MatrixFile(place / VECTORS, rows.shape[1])))
            files[0].append(rows)

        tables = _Tables.read(shards, append)
    contents = _contents(ids, VectorParts([mapped(place / VECTORS)]), tables, origin)
    contents = replace(contents, generation=1, files=(f"{generation_name(1)}/{VECTORS}",))
    write_generation(place, contents)
    write_manifest(directory, named_in(contents, place))


def given_shards(
    vectors: NDArray[np.float32] | str | Path | Iterable[NDArray[np.float32]], codes: Codes
) -> Iterator[Shard]:
    """Vectors that were computed elsewhere, as shards.

    Args:
        vectors: As for `VectorIndex.from_vectors`.
        codes: The document code of each row.

    Raises:
        DataError: There are not as many rows as codes, or what is given is no matrix.
    """
    given = np.load(vectors, mmap_mode="r", allow_pickle=False) if isinstance(vectors, str | Path) else vectors
    first = 0
    for block in _cut(given) if isinstance(given, np.ndarray) else given:
        if block.ndim != 2 or first + len(block) > len(codes):
            raise _unfit(len(codes), f"{first} rows and a block of shape {block.shape}")
        nothing = np.zeros(len(block), dtype=np.int64)
        rows = codes[first : first + len(block)].astype(np.int64)
        yield Shard(np.asarray(block, dtype=np.float32), rows, nothing, nothing)
        first += len(block)
    if first < len(codes):
        raise _unfit(len(codes), f"{first} rows")


@dataclass(frozen=True, slots=True)
class _Tables:
    """What is known of each row besides its vector."""

    owners: NDArray[np.int32]
    truncated: NDArray[np.int64]
    digest: str  # of the vectors' bytes

    @classmethod
    def read(cls, shards: Iterable[Shard], append: Callable[[NDArray[np.float32]], object]) -> Self:
        """Hand the vectors of all shards on, and keep the rest.

        Raises:
            DataError: Shards are of different dimensions, or a number is not finite.
        """
        owners, truncated = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        state = hashlib.blake2b(digest_size=16)
        dimensions: int | None = None
        for shard in shards:
            dimensions = shard.vectors.shape[1] if dimensions is None else dimensions
            check_width(shard.vectors, dimensions)
            checked_lengths(shard.vectors)
            append(shard.vectors)
            state.update(np.ascontiguousarray(shard.vectors).data)
            owners.append(shard.owners)
            truncated.append(shard.truncated)
        return cls(np.concatenate(owners).astype(np.int32), np.concatenate(truncated), state.hexdigest())


def _contents(ids: DocIds, vectors: VectorParts, tables: _Tables, origin: Origin) -> Contents:
    """All that an index holds, with the search built."""
    kind = chosen_kind(origin.kind, len(vectors), vectors.dimensions)
    made = origin.encoder
    how = made["encoder_settings"] if origin.encoded else tables.digest
    about = {
        **made,
        "corpus": origin.corpus,
        "asked": dict(origin.settings),
        "contents": digest(made["encoder"], made["precision"], origin.corpus, ids, tables.owners, how),
    }
    search = row_kind(kind, stage=_STAGE).build(vectors, origin.settings)
    return Contents(vectors, tables.owners, ids, tables.truncated, search, about)


def _cut(matrix: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """A matrix as itself if it is in memory, otherwise in blocks that are."""
    if not isinstance(matrix, np.memmap) or matrix.ndim != 2:
        yield matrix
        return
    for _, block in VectorParts([matrix]).blocks(_BLOCK):
        yield np.array(block, dtype=np.float32)


def _unfit(ids: int, what: str) -> DataError:
    """The error for vectors that are not of their ids."""
    return DataError(
        "vectors and ids do not fit together",
        stage=_STAGE,
        value=what,
        accepted=f"float32 of shape (rows, dimensions), and a row for each of the {ids} ids",
    )
