"""Pairs through a Provence model: laid out as blocks, batched by length, and put together again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from rankloom.encoders.batches import Limits, similar_lengths
from rankloom.encoders.one_thread import one_thread
from rankloom.models import LoadedModel
from rankloom.parallel import completed
from rankloom.ranking import ScoreKind
from rankloom.rerank.pruning.provence_layout import ProvenceLayout
from rankloom.rerank.pruning.question_and_text import PairRows, QuestionAndText, Row
from rankloom.rerank.pruning.sentence_stage import SentencePair


class PairOutput(NamedTuple):
    """What a model says of a pair.

    Args:
        scores: Of each block; float32 of shape (blocks,).
        probabilities: Of each token of the sentences, piece after piece; float32 of shape (tokens,).
        counts: Tokens of each piece of a sentence; int64 of shape (pieces,).
        pieces: In how many pieces each sentence was read, none if it was not; int64 of shape (sentences,).
        truncated: Tokens that were not read.
    """

    scores: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    counts: NDArray[np.int64]
    pieces: NDArray[np.int64]
    truncated: int


class Output(NamedTuple):
    """What a model says of some pairs, and what that took.

    Args:
        pairs: One for each pair, in their order.
        calls: Batches.
        tokens: Tokens that were read, special ones included.
    """

    pairs: list[PairOutput]
    calls: int
    tokens: int


def read_pairs(
    loaded: LoadedModel,
    layout: ProvenceLayout,
    pairs: Sequence[SentencePair],
    *,
    titled: bool,
    batch_size: int,
    blocks: int | None = None,
) -> Output:
    """What a model says of some pairs; each text is tokenised once.

    Args:
        loaded: A `ProvenceModel`, whose lock is held.
        layout: How the model is read.
        pairs: The pairs.
        titled: Whether titles of documents are read before their texts.
        batch_size: Most blocks in one batch.
        blocks: How many blocks of each pair are read, from the first; None for all.
    """
    titles = [pair.document.title if titled else "" for pair in pairs]
    inputs = QuestionAndText(loaded.model, layout)
    laid_out = _laid_out(inputs, pairs, titles, blocks)
    rows = [row for some in laid_out for row in some.rows]
    scores = np.zeros(len(rows), dtype=np.float32)
    tokens: list[NDArray[np.float32]] = [scores[:0]] * len(rows)
    lengths = np.array([len(row.tokens) for row in rows], dtype=np.int64)
    batches = list(similar_lengths(lengths, Limits.of_pairs(loaded.device, batch_size)))
    threads = torch.get_num_threads() if loaded.device == "cpu" else 1
    begin = one_thread if threads > 1 else None  # as cross-encoders do it: see `rankloom.encoders.forward`
    work = partial(_forward, loaded, inputs, rows)
    for places, (some_scores, kept) in completed(work, batches, threads=threads, begin=begin):
        scores[places] = some_scores
        for place, one in zip(places.tolist(), kept, strict=True):
            row = rows[place]
            tokens[place] = one[row.begin : row.begin + sum(row.lengths)]
    found, start = [], 0
    for some, title in zip(laid_out, titles, strict=True):
        end = start + len(some.rows)
        found.append(_together(some, scores[start:end], tokens[start:end], titled=bool(title)))
        start = end
    return Output(found, len(batches), sum(len(row.tokens) for row in rows))


def _laid_out(
    inputs: QuestionAndText, pairs: Sequence[SentencePair], titles: Sequence[str], blocks: int | None
) -> list[PairRows]:
    """The rows of each pair."""
    questions = [inputs.question(pair.query) for pair in pairs]
    texts = [inputs.pieces(pair.document.text, pair.offsets, title) for pair, title in zip(pairs, titles, strict=True)]
    tokens = inputs.tokens([*questions, *(piece for pieces in texts for piece in pieces)])
    return [
        inputs.rows(tokens[question], [tokens[piece] for piece in pieces], blocks=blocks)
        for question, pieces in zip(questions, texts, strict=True)
    ]


def _forward(
    loaded: LoadedModel, inputs: QuestionAndText, rows: Sequence[Row], places: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scores of some rows, and probabilities of being kept for each token, float32 of shape (rows, tokens)."""
    features: dict[str, Any] = inputs.features([rows[place] for place in places])
    with torch.inference_mode():
        heads = loaded.model.heads(**{name: one.to(loaded.device) for name, one in features.items()})
        scores = heads.scores.float()
        if inputs.layout.kind == ScoreKind.PROBABILITY:
            scores = scores.sigmoid()
        kept = heads.tokens.float().softmax(dim=-1)[..., 1]
    return scores.cpu().numpy(), kept.cpu().numpy()


def _together(
    some: PairRows, scores: NDArray[np.float32], tokens: Sequence[NDArray[np.float32]], *, titled: bool
) -> PairOutput:
    """A pair of its blocks; the title of a document is no sentence of its text."""
    counts = np.array([length for row in some.rows for length in row.lengths], dtype=np.int64)
    pieces = np.array(some.pieces, dtype=np.int64)
    probabilities = np.concatenate(tokens)
    if titled:
        own = counts[: pieces[0]].sum()
        probabilities, counts, pieces = probabilities[own:], counts[pieces[0] :], pieces[1:]
    return PairOutput(scores, probabilities, counts, pieces, some.truncated)
