"""Encoding a corpus so that a killed build goes on where it stopped.

Documents are encoded in shards on a fixed grid of codes. Each finished shard is a file of its own (`shard_files.py`)
in a folder beside the index to be; the folder goes when the index is complete.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rankloom.corpus import Corpus
from rankloom.encoders import SentenceEncoder, truncation_note
from rankloom.fingerprint import digest
from rankloom.retrieval.shard_files import keep, kept, shard_path
from rankloom.session import Session

#: Documents in one shard: half a minute of work for a small model on one CPU core.
SHARD_SIZE = 512


@dataclass(frozen=True, slots=True)
class Shard:
    """Vectors of consecutive documents.

    Args:
        vectors: float32 of shape (documents, dimensions), in code order.
        tokens: Tokens that the model read of each; int64 of shape (documents,).
        truncated: Tokens of each that it did not read; int64 of shape (documents,).
    """

    vectors: NDArray[np.float32]
    tokens: NDArray[np.int64]
    truncated: NDArray[np.int64]


def encode_corpus(
    corpus: Corpus, encoder: SentenceEncoder, session: Session, *, folder: Path | None = None, stage: str
) -> Iterator[Shard]:
    """The shards of a corpus in code order; those that `folder` holds are read, the others computed and put there.

    Args:
        corpus: The documents; `Document.contents` is what is encoded.
        encoder: The model.
        session: Progress, device and dtype, and what happens to a text that is cut.
        folder: Where finished shards are kept; None keeps none.
        stage: Name for progress and errors.

    Raises:
        DataError: A document is longer than the model reads, and the session's policy is `error`.
    """
    made_from = digest(encoder, corpus, session.dtype, SHARD_SIZE)
    with session.progress.task(f"{stage} index", len(corpus)) as advance:
        for start in range(0, len(corpus), SHARD_SIZE):
            path = None if folder is None else shard_path(folder, start // SHARD_SIZE)
            shard = None if path is None else _kept(path, made_from)
            if shard is None:
                documents = corpus.slice(start, start + SHARD_SIZE)
                texts = [document.contents for document in documents]
                shard = Shard(*encoder.encode(texts, role="document", session=session)[:3])
                if path is not None:
                    columns = {"vectors": shard.vectors, "tokens": shard.tokens, "truncated": shard.truncated}
                    keep(path, made_from, columns)
            _check_truncation(corpus, start, shard, session, stage)
            yield shard
            advance(len(shard.vectors))


def _check_truncation(corpus: Corpus, start: int, shard: Shard, session: Session, stage: str) -> None:
    """Raise for the first document that was cut, if that is an error in this session."""
    cut = np.flatnonzero(shard.truncated)
    if len(cut):
        first = int(cut[0])
        truncation_note(session, stage=stage, tokens=int(shard.truncated[first]), doc_id=corpus.ids[start + first])


def _kept(path: Path, made_from: str) -> Shard | None:
    """A shard that was written before, if there is one that will do."""
    found = kept(path, made_from)
    return None if found is None else Shard(*(found[1][name] for name in ("vectors", "tokens", "truncated")))
