"""Queries as a scan multiplies them: int8 codes or plain numbers, and what bounds the difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rankloom.order import Offsets
from rankloom.retrieval.vectors.quantised import quantised, query_measures
from rankloom.token_vectors import TokenVectors

_STAGE = "multi_vector"
_FINER = 254  # steps of the second part of a code in one of the first: what the first leaves is half of its step


@dataclass(frozen=True)
class Asked:
    """The vectors of some queries, one below the other.

    Args:
        codes: What is multiplied with documents' codes or vectors: (parts x query vectors, dimensions). Of two parts,
            the second refines the first.
        weights: What products are to be multiplied with, float32 of shape (parts, query vectors).
        starts: Where each query's vectors start, int64 of shape (queries + 1,).
        errors: How far each vector is from its codes; float32 of shape (query vectors,), rounded up.
        lengths: The lengths of codes, likewise.
        units: Each query was divided by its unit, a power of two, so that no product overflows; float64 of shape
            (queries,).
    """

    codes: NDArray[np.int8] | NDArray[np.float32]
    weights: NDArray[np.float32]
    starts: Offsets
    errors: NDArray[np.float32]
    lengths: NDArray[np.float32]
    units: NDArray[np.float64]

    @classmethod
    def plain(cls, queries: TokenVectors) -> Self:
        """The vectors themselves."""
        vectors, units = _divided(queries)
        ones = np.ones(len(vectors), dtype=np.float32)
        errors, lengths = _measured(vectors, vectors, ones)
        return cls(vectors, ones[None], queries.offsets, errors, lengths, units)

    @classmethod
    def coarse(cls, queries: TokenVectors) -> Self:
        """Codes of one part, 127 for a vector's largest number."""
        vectors, units = _divided(queries)
        codes, measures = quantised(vectors, stage=_STAGE)
        errors, lengths = _measured(vectors, codes, measures[0])
        return cls(codes, measures[:1], queries.offsets, errors, lengths, units)

    @classmethod
    def fine(cls, queries: TokenVectors) -> Self:
        """Codes of two parts, which are 250 times as near and cost twice the products."""
        vectors, units = _divided(queries)
        first, measures = quantised(vectors, stage=_STAGE)
        scales = measures[0]
        left = vectors / scales[:, None].astype(np.float64) - first
        second = np.clip(np.rint(left * _FINER), -127, 127).astype(np.int8)
        weights = np.stack([scales, scales / np.float32(_FINER)])
        errors, lengths = _measured(vectors, first + second / _FINER, scales)
        return cls(np.concatenate([first, second]), weights, queries.offsets, errors, lengths, units)


def _measured(
    vectors: NDArray[np.float32],
    kept: NDArray[np.int8] | NDArray[np.float32] | NDArray[np.float64],
    scales: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How far vectors are from some numbers times scales, and how long these are."""
    _, errors, lengths = np.ascontiguousarray(query_measures(vectors, kept, scales).T)
    return errors, lengths


def _divided(queries: TokenVectors) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Each query's vectors divided by a power of two, so that none is longer than 1; and the powers."""
    vectors, units = queries.vectors.copy(), np.ones(len(queries))
    for number, (first, last) in enumerate(_stretches(queries)):
        lengths = np.linalg.norm(vectors[first:last].astype(np.float64), axis=1)
        units[number] = 2.0 ** np.frexp(lengths.max(initial=0))[1]
        vectors[first:last] /= np.float32(units[number])
    return vectors, units


def _stretches(queries: TokenVectors) -> list[tuple[int, int]]:
    """Where each query's vectors start and end."""
    return list(zip(queries.offsets[:-1].tolist(), queries.offsets[1:].tolist(), strict=True))
