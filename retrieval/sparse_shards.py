"""Weighted terms of a corpus, in shards on a fixed grid of codes, so that a killed build goes on where it stopped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankloom.corpus import Corpus
from rankloom.encoders import truncation_note
from rankloom.fingerprint import digest
from rankloom.retrieval.shard_files import keep, kept, shard_path
from rankloom.retrieval.sparse_encoder import TermEncoder
from rankloom.session import Session
from rankloom.weighted_terms import Terms

#: Documents in one shard: half a minute of work for a small model on one CPU core.
SHARD_SIZE = 512


@dataclass(frozen=True, slots=True)
class SparseShard:
    """Terms of consecutive documents.

    Args:
        terms: For each document in code order, its terms and weights.
        tokens: Tokens that the model read of each; int64 of shape (documents,).
        truncated: Tokens of each that it did not read; int64 of shape (documents,).
    """

    terms: list[Terms]
    tokens: NDArray[np.int64]
    truncated: NDArray[np.int64]


def term_shard_count(corpus: Corpus) -> int:
    """How many shards a corpus has."""
    return -(-len(corpus) // SHARD_SIZE)


def encode_term_shard(
    corpus: Corpus, number: int, encoder: TermEncoder, session: Session, *, folder: Path | None, stage: str
) -> SparseShard:
    """One shard of a corpus: read if the folder holds it, otherwise computed and put there.

    Safe to call from several processes for the same folder; a shard appears whole or not at all.

    Args:
        corpus: The documents; `Document.contents` is what is encoded.
        number: Which shard, 0 to `term_shard_count(corpus)` - 1.
        encoder: What makes terms of texts.
        session: Device and dtype, and what happens to a text that is cut.
        folder: Where finished shards are kept; None keeps none.
        stage: Name for errors.

    Raises:
        DataError: A document is longer than the model reads, and the session's policy is `error`.
    """
    made_from = digest("terms", encoder, corpus, session.dtype, SHARD_SIZE)
    path, start = None if folder is None else shard_path(folder, number), number * SHARD_SIZE
    found = None if path is None else kept(path, made_from)
    if found is not None:
        shard = _unpacked(*found)
    else:
        texts = [document.contents for document in corpus.slice(start, start + SHARD_SIZE)]
        shard = SparseShard(*encoder.encode(texts, role="document", session=session)[:3])
        if path is not None:
            values, arrays = _packed(shard)
            keep(path, made_from, arrays, values)
    for cut in np.flatnonzero(shard.truncated)[:1].tolist():  # raises if the session says so
        truncation_note(session, stage=stage, tokens=int(shard.truncated[cut]), doc_id=corpus.ids[start + cut])
    return shard


def encode_terms(
    corpus: Corpus, encoder: TermEncoder, session: Session, *, folder: Path | None = None, stage: str
) -> Iterator[SparseShard]:
    """The shards of a corpus in code order, one in memory at a time; see `encode_term_shard`.

    Raises:
        DataError: A document is longer than the model reads, and the session's policy is `error`.
    """
    with session.progress.task(f"{stage} index", len(corpus)) as advance:
        for number in range(term_shard_count(corpus)):
            shard = encode_term_shard(corpus, number, encoder, session, folder=folder, stage=stage)
            yield shard
            advance(len(shard.terms))


def _packed(shard: SparseShard) -> tuple[dict[str, Any], dict[str, Any]]:
    """A shard as JSON values and columns."""
    words = list(dict.fromkeys(word for terms in shard.terms for word in terms))
    numbers = {word: number for number, word in enumerate(words)}
    arrays = {
        "ends": np.cumsum([0, *map(len, shard.terms)], dtype=np.int64),
        "numbers": np.array([numbers[word] for terms in shard.terms for word in terms], dtype=np.int32),
        "weights": np.array([weight for terms in shard.terms for weight in terms.values()], dtype=np.float32),
        "tokens": shard.tokens,
        "truncated": shard.truncated,
    }
    return {"words": words}, arrays


def _unpacked(values: dict[str, Any], arrays: dict[str, Any]) -> SparseShard:
    """A shard from its JSON values and columns."""
    words = [values["words"][number] for number in arrays["numbers"].tolist()]
    weights = arrays["weights"].tolist()
    terms: list[Terms] = [
        dict(zip(words[first:last], weights[first:last], strict=True))
        for first, last in pairwise(arrays["ends"].tolist())
    ]
    return SparseShard(terms, arrays["tokens"], arrays["truncated"])
