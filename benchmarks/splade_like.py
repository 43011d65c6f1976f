"""Sparse vectors that resemble SPLADE's, of any number, drawn from a seed alone.

No large collection of SPLADE's document vectors can be shipped, so these are drawn. What is taken from real ones are
the weights: quantiles of the query vectors that `splade_distil_cocodenser_medium` makes of NFCorpus's 323 queries and
(long sentences of 95 terms, weighted as documents are) of SciFact's 300 claims, as published with Anserini. What is
assumed is which terms stand together. Two assumptions are offered, because pruning depends on them:

- `topical`: fields hold topics, topics hold terms, a document is about one topic and mentions another. Terms of a topic
  come together, as they do in texts; a query is asked of a document and repeats or expands its heaviest terms.
- `independent`: every term of a document is drawn by its frequency alone. Nothing groups documents: the hardest case.

Frequencies of terms follow the law of Zipf and Mandelbrot in both, set so that a query and a document share 1.3 terms
on average (FLOPS): an assumption, too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

SEED = 7
TERMS = 30_522  # as many as WordPiece has
DOCUMENT_LENGTH, QUERY_LENGTH = 120, 30
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
DOCUMENT_WEIGHTS = (0.005, 0.02, 0.12, 0.29, 0.65, 1.71, 3.24)  # of SciFact's claims
QUERY_WEIGHTS = (0.005, 0.03, 0.12, 0.29, 0.73, 2.61, 3.55)  # of NFCorpus's queries
_TOPIC_SIZE = 50  # documents that are mostly about one topic, on average
_FIELD_SIZE = 50  # topics in a field
_OWN, _SHARED, _FIELD_TERMS, _BACKGROUND = 60, 120, 500, 60  # terms of a topic, shared in a field, of it, of anything


class Vectors(NamedTuple):
    """Sparse vectors, one after another.

    Args:
        offsets: Where each starts, int64 of shape (vectors + 1,).
        terms: int32, ascending within a vector.
        weights: float32 of the same shape.
    """

    offsets: NDArray[np.int64]
    terms: NDArray[np.int32]
    weights: NDArray[np.float32]


class _World(NamedTuple):
    """What vectors are drawn from: sums of the law of frequencies, the terms of each topic, quantiles of weights."""

    law: NDArray[np.float64]
    profiles: NDArray[np.int32]
    weights: NDArray[np.float64]


def collection(documents: int, queries: int, *, topical: bool = True, seed: int = SEED) -> tuple[Vectors, Vectors]:
    """Documents and queries; the same arguments give the same arrays."""
    rng = np.random.default_rng(seed)
    law = 1.0 / (np.arange(TERMS) + 30.0) ** 0.9
    law = np.cumsum(law / law.sum())
    names = rng.permutation(TERMS).astype(np.int32)  # which term has which place in the law
    topics = max(20, documents // _TOPIC_SIZE)
    profiles = _profiles(rng, topics, law) if topical else np.zeros((topics, 0), dtype=np.int32)
    lengths = np.clip(rng.lognormal(np.log(DOCUMENT_LENGTH), 0.25, documents), 30, 300)
    lengths = np.maximum(1, lengths * DOCUMENT_LENGTH / lengths.mean()).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    held = Vectors(offsets, np.empty(offsets[-1], dtype=np.int32), np.empty(offsets[-1], dtype=np.float32))
    about = _topics(rng, documents, topics)
    _draw_documents(rng, _World(law, profiles, np.array([QUANTILES, DOCUMENT_WEIGHTS])), about, held)
    sources = rng.integers(0, documents, queries)
    origins = np.stack([sources, about[sources, 0]], axis=1)
    size = queries * QUERY_LENGTH
    offsets = np.arange(queries + 1, dtype=np.int64) * QUERY_LENGTH
    asked = Vectors(offsets, np.empty(size, dtype=np.int32), np.empty(size, dtype=np.float32))
    _draw_queries(rng, _World(law, profiles, np.array([QUANTILES, QUERY_WEIGHTS])), held, origins, asked)
    return _named(held, names), _named(asked, names)


def _profiles(rng: np.random.Generator, topics: int, law: NDArray[np.float64]) -> NDArray[np.int32]:
    """The terms of each topic, most salient first, by their places in the law; int32 of shape (topics, terms)."""
    fields = -(-topics // _FIELD_SIZE)
    shared = np.searchsorted(law, rng.random((fields, _FIELD_TERMS)))
    own = np.searchsorted(law, rng.random((topics, _OWN)))
    chosen = rng.integers(0, _FIELD_TERMS, (topics, _SHARED))
    both = np.concatenate([own, shared[np.arange(topics)[:, None] // _FIELD_SIZE, chosen]], axis=1)
    order = np.argsort(rng.random(both.shape) * np.where(np.arange(both.shape[1]) < _OWN, 1.0, 1.6), axis=1)
    return np.take_along_axis(np.minimum(both, TERMS - 1), order, axis=1).astype(np.int32)


def _topics(rng: np.random.Generator, documents: int, topics: int) -> NDArray[np.int64]:
    """The topic of each document and the other it mentions, as often as not of the same field."""
    popularity = np.cumsum(1.0 / (np.arange(topics) + 20.0) ** 0.7)
    about = np.searchsorted(popularity, rng.random((documents, 2)) * popularity[-1])
    near = about[:, 0] // _FIELD_SIZE * _FIELD_SIZE + rng.integers(0, _FIELD_SIZE, documents)
    about[:, 1] = np.where(rng.random(documents) < 0.5, np.minimum(near, topics - 1), about[:, 1])
    return about


def _named(held: Vectors, names: NDArray[np.int32]) -> Vectors:
    """Places in the law become term numbers, ascending within each vector."""
    terms = names[held.terms]
    owners = np.repeat(np.arange(len(held.offsets) - 1), np.diff(held.offsets))
    order = np.argsort(owners * np.int64(TERMS) + terms)
    return Vectors(held.offsets, terms[order], held.weights[order])


@numba.njit
def _draw_documents(rng: Any, world: Any, about: Any, held: Any) -> None:
    """Rank a document's candidates by salience and noise; the best get the weights of the quantiles."""
    offsets, terms, weights = held
    width = world.profiles.shape[1]
    stamps = np.full(len(world.law), -1, dtype=np.int64)
    pool, scores = np.empty(2 * width + 4000, dtype=np.int32), np.empty(2 * width + 4000, dtype=np.float64)
    for document in range(len(offsets) - 1):
        length, size = offsets[document + 1] - offsets[document], 0
        for which in range(2):
            for place in range(width):
                term = world.profiles[about[document, which], place]
                if stamps[term] != document:
                    stamps[term] = document
                    pool[size] = term
                    scores[size] = -3.0 * place / width - 1.2 * which + 0.8 * rng.standard_normal()
                    size += 1
        wanted = max(size + _BACKGROUND, length)
        while size < wanted:
            term = min(np.searchsorted(world.law, rng.random()), len(world.law) - 1)
            if stamps[term] != document:
                stamps[term] = document
                pool[size], scores[size] = term, rng.standard_normal() - 2.2
                size += 1
        order = np.argsort(-scores[:size])
        for rank in range(length):
            terms[offsets[document] + rank] = pool[order[rank]]
            weight = np.interp(1.0 - (rank + rng.random()) / length, world.weights[0], world.weights[1])
            weights[offsets[document] + rank] = weight * np.exp(0.1 * rng.standard_normal())


@numba.njit
def _draw_queries(rng: Any, world: Any, held: Any, origins: Any, asked: Any) -> None:
    """A query takes its terms from a document (the heaviest likeliest), from its topic, and from the law."""
    width = world.profiles.shape[1]
    stamps = np.full(len(world.law), -1, dtype=np.int64)
    scores, pool = np.empty(QUERY_LENGTH, dtype=np.float64), np.empty(QUERY_LENGTH, dtype=np.int32)
    for query in range(len(origins)):
        source, topic = origins[query]
        begin, size = held.offsets[source], 0
        length = held.offsets[source + 1] - begin
        while size < QUERY_LENGTH:
            kind = rng.random()
            if kind < 0.65:
                rank = min(int(-0.2 * np.log(1.0 - rng.random()) * length), length - 1)
                term, score = held.terms[begin + rank], -2.0 * rank / length
            elif kind < 0.9 and width:
                rank = min(int(-0.3 * np.log(1.0 - rng.random()) * width), width - 1)
                term, score = world.profiles[topic, rank], -1.0 - 2.0 * rank / width
            else:
                term, score = min(np.searchsorted(world.law, rng.random()), len(world.law) - 1), -1.5
            if stamps[term] != query:
                stamps[term] = query
                pool[size], scores[size] = term, score + 0.4 * rng.standard_normal()
                size += 1
        order = np.argsort(-scores)
        for rank in range(QUERY_LENGTH):
            asked.terms[query * QUERY_LENGTH + rank] = pool[order[rank]]
            quantile = 1.0 - (rank + rng.random()) / QUERY_LENGTH
            asked.weights[query * QUERY_LENGTH + rank] = np.interp(quantile, world.weights[0], world.weights[1])
