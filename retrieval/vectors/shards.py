"""Encoding a corpus so that a killed build goes on where it stopped.

Documents are encoded in shards on a fixed grid of codes. Each finished shard is a file of its own (`shard_files.py`)
in a folder beside the index to be; the folder goes when the index is complete. A shard's bytes do not depend on who
encodes it, so that several processes may fill the folder and the ordinary build then only reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rankloom.corpus import Corpus
from rankloom.encoders import Encoder, truncation_note
from rankloom.encoders.precision import computed_with
from rankloom.fingerprint import digest
from rankloom.retrieval.made_by import vectors_digest
from rankloom.retrieval.shard_files import keep, kept, shard_path
from rankloom.retrieval.vectors.npy_file import check_width
from rankloom.session import Session

#: Documents in one shard: half a minute of work for a small model on one CPU core.
SHARD_SIZE = 512


@dataclass(frozen=True, slots=True)
class Shard:
    """Vectors of consecutive documents, in their order: one row for each, or one for each window of it.

    Args:
        vectors: float32 of shape (rows, dimensions).
        owners: Which document each row is of, counted from the shard's first; ascending, int64 of shape (rows,).
        tokens: Tokens that the model read of each row; int64 of shape (rows,).
        truncated: Tokens of each row that it did not read; int64 of shape (rows,).
    """

    vectors: NDArray[np.float32]
    owners: NDArray[np.int64]
    tokens: NDArray[np.int64]
    truncated: NDArray[np.int64]


def shards_beside(path: str | Path) -> Path:
    """The folder of the finished shards of an index to be."""
    target = Path(path)
    return target.with_name(f"{target.name}.shards")


def shard_count(corpus: Corpus) -> int:
    """How many shards a corpus has."""
    return -(-len(corpus) // SHARD_SIZE)


def encode_shard(
    corpus: Corpus,
    number: int,
    encoder: Encoder,
    session: Session,
    *,
    folder: Path | None,
    stage: str = "dense",
) -> Shard:
    """One shard of a corpus: read if the folder holds it, otherwise computed and put there.

    Safe to call from several processes for the same folder; a shard appears whole or not at all.

    Args:
        corpus: The documents; `Document.contents` is what is encoded.
        number: Which shard, 0 to `shard_count(corpus)` - 1.
        encoder: The model.
        session: Device and dtype, and what happens to a text that is cut.
        folder: Where finished shards are kept; None keeps none.
        stage: Name for errors.

    Raises:
        DataError: A document is longer than the model reads, and the session's policy is `error`.
    """
    encoder.resolve(session)  # the fingerprint is that of the weights, not of the name
    first = number * SHARD_SIZE
    windows = encoder.passages([document.contents for document in corpus.slice(first, first + SHARD_SIZE)], session)
    made_from = digest(vectors_digest(encoder, session), computed_with(encoder, session, stage=stage), windows)
    path = None if folder is None else shard_path(folder, number)
    found = None if path is None else kept(path, made_from)
    if found is not None:
        shard = Shard(**{name: found[1][name] for name in Shard.__slots__})
    else:
        shard = encode_windows(windows, encoder, session)
        if path is not None:
            keep(path, made_from, {name: getattr(shard, name) for name in Shard.__slots__})
    cut = np.flatnonzero(shard.truncated)
    if len(cut):  # an error in some sessions, also of a shard that another session has encoded
        doc_id = corpus.ids[first + int(shard.owners[cut[0]])]
        truncation_note(session, stage=stage, tokens=int(shard.truncated[cut[0]]), doc_id=doc_id)
    return shard


def encode_corpus(
    corpus: Corpus, encoder: Encoder, session: Session, *, folder: Path | None = None, stage: str = "dense"
) -> Iterator[Shard]:
    """The shards of a corpus in order, one in memory at a time; see `encode_shard`.

    Raises:
        DataError: A document is longer than the model reads, and the session's policy is `error`.
    """
    with session.progress.task(f"{stage} index", len(corpus)) as advance:
        for number in range(shard_count(corpus)):
            yield encode_shard(corpus, number, encoder, session, folder=folder, stage=stage)
            advance(min(SHARD_SIZE, len(corpus) - number * SHARD_SIZE))


def encode_windows(windows: Sequence[Sequence[str]], encoder: Encoder, session: Session) -> Shard:
    """Rows for some documents, each given as the windows it is encoded by; see `Encoder.passages`."""
    owners = np.repeat(np.arange(len(windows), dtype=np.int64), [len(texts) for texts in windows])
    texts = [text for passages in windows for text in passages]
    vectors, tokens, truncated, _ = encoder.encode(texts, role="document", session=session)
    return Shard(vectors, owners, tokens, truncated)


def together(shards: Iterable[Shard], dimensions: int) -> Shard:
    """Shards as one, of no rows if there are none.

    Raises:
        DataError: Vectors are not of so many dimensions.
    """
    nothing = np.zeros(0, dtype=np.int64)
    parts = [Shard(np.zeros((0, dimensions), dtype=np.float32), nothing, nothing, nothing), *shards]
    for part in parts:
        check_width(part.vectors, dimensions)
    return Shard(*(np.concatenate([getattr(part, name) for part in parts]) for name in Shard.__slots__))
