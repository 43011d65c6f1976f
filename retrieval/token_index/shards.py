"""Encoding a corpus to token vectors so that a killed build goes on where it stopped.

Documents are encoded in shards on a fixed grid of codes; each finished shard is a file of its own (`shard_files.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rankloom.corpus import Corpus
from rankloom.encoders import truncation_note
from rankloom.encoders.precision import on_device
from rankloom.fingerprint import digest
from rankloom.order import Offsets
from rankloom.retrieval.made_by import vectors_digest
from rankloom.retrieval.shard_files import keep, kept, shard_path
from rankloom.retrieval.token_index.document_encoder import DocumentEncoder
from rankloom.retrieval.token_index.storage import Matrix
from rankloom.retrieval.vectors.npy_file import check_width
from rankloom.session import Session
from rankloom.token_encoder import TokenEncoder, TokensEncoded, without_blank
from rankloom.token_vectors import TokenVectors

#: Documents in one shard: half a minute of work for a small model on one CPU core.
SHARD_SIZE = 512


class EncodedCorpus:
    """The token vectors of a corpus, which can be read through again and again.

    Args:
        corpus: The documents; `Document.contents` is what is encoded. A blank one has no vectors.
        encoder: The model.
        session: Device and dtype, and what happens to a text that is cut.
        folder: Where finished shards are kept, and read again: one is in memory at a time.
        stage: Name for errors.

    Raises:
        DataError: A document is longer than the model reads, and the session's policy is `error`.
    """

    def __init__(self, corpus: Corpus, encoder: TokenEncoder, session: Session, *, folder: Path, stage: str) -> None:
        self._corpus, self._encoder, self._session, self._folder, self._stage = corpus, encoder, session, folder, stage
        lengths, truncated = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        self._dimensions = 0
        with session.progress.task(f"{stage} index", len(corpus)) as advance:
            for number in range(self._count):
                shard = self._shard(number)
                self._dimensions = shard.vectors.dimensions
                lengths.append(shard.vectors.lengths)
                truncated.append(shard.truncated)
                advance(len(shard.vectors))
        #: Where each document's vectors start, int64 of shape (documents + 1,).
        self.offsets: Offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
        #: Tokens of each document that the model did not read, int64 of shape (documents,).
        self.truncated: NDArray[np.int64] = np.concatenate(truncated)

    def __len__(self) -> int:
        """How many vectors there are."""
        return int(self.offsets[-1])

    @property
    def dimensions(self) -> int:
        """Numbers in each vector; 0 for a corpus without documents."""
        return self._dimensions

    def blocks(self, size: int) -> Iterator[tuple[int, Matrix]]:
        """Stretches of at most `size` vectors in order: the number of the first, and they; a shard in memory."""
        first = 0
        for number in range(self._count):
            vectors = self._shard(number).vectors.vectors
            check_width(vectors, self._dimensions)
            for start in range(0, len(vectors), size):
                yield first + start, vectors[start : start + size]
            first += len(vectors)

    @property
    def _count(self) -> int:
        """How many shards there are."""
        return -(-len(self._corpus) // SHARD_SIZE)

    def _shard(self, number: int) -> TokensEncoded:
        """One shard: read if the folder holds it, otherwise computed and put there."""
        encoder, session = self._encoder, self._session
        first = number * SHARD_SIZE
        texts = [document.contents for document in self._corpus.slice(first, first + SHARD_SIZE)]
        computed = on_device(encoder.precision_in(session), session, stage=self._stage)
        made_from = digest("token vectors", vectors_digest(DocumentEncoder(encoder), session), computed, texts)
        path = shard_path(self._folder, number)
        found = kept(path, made_from)
        if found is not None:
            columns = found[1]
            vectors = TokenVectors(columns["vectors"], columns["offsets"])
            shard = TokensEncoded(vectors, columns["tokens"], columns["truncated"], calls=0)
        else:
            shard = without_blank(encoder.encode(texts, role="document", session=session), texts)
            arrays = {"vectors": shard.vectors.vectors, "offsets": shard.vectors.offsets}
            keep(path, made_from, {**arrays, "tokens": shard.tokens, "truncated": shard.truncated})
        for cut in np.flatnonzero(shard.truncated)[:1].tolist():  # an error in some sessions, also of a kept shard
            doc_id = self._corpus.ids[first + cut]
            truncation_note(session, stage=self._stage, tokens=int(shard.truncated[cut]), doc_id=doc_id)
        return shard
