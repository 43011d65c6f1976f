"""Fusion methods: the arithmetic that turns a pool of rankings into one score for each document.

Every method takes the pool, a weight for each ranking and the method's settings, and returns float64 scores of shape
(documents,). CombSUM and its relatives: Fox and Shaw 1994. Borda and Condorcet: Aslam and Montague 2001, Montague
and Aslam 2002. RRF: Cormack, Clarke and Buettcher 2009. ISR and logISR: Mourao, Martins and Magalhaes 2013.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rankloom.pool import Matrix, Norm, Pool

Missing = Literal["minimum", "zero", "drop"]
MISSING: tuple[str, ...] = get_args(Missing)
Weights = NDArray[np.float64]
Scored = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Settings:
    """How scores are prepared.

    Args:
        norm: Normalisation of each list, see `rankloom.pool.normalise`.
        missing: What a document scores in a list that does not hold it, for `interpolate`: the list's `minimum`
            (0 for an empty list), `zero`, or `drop`: only documents that every non-empty list holds are kept.
        rrf_k: The constant of RRF.
    """

    norm: Norm = "none"
    missing: Missing = "zero"
    rrf_k: float = 60.0


def interpolate(pool: Pool, weights: Weights, settings: Settings) -> Scored:
    """Weighted sum of scores, with a policy for documents that a list does not hold; NaN marks a dropped document."""
    scores = pool.scores(settings.norm)
    absent = np.isnan(scores)
    if settings.missing == "minimum":
        scores = np.where(absent, pool.minima(settings.norm), scores)
    else:
        scores[absent] = 0.0
    total: Scored = scores @ weights
    if settings.missing == "drop":
        total[(absent & (pool.sizes() > 0)).any(axis=1)] = np.nan
    return total


def combsum(pool: Pool, weights: Weights, settings: Settings) -> Scored:
    """Sum of the weighted scores of the lists that hold the document."""
    total: Scored = np.nansum(pool.scores(settings.norm) * weights, axis=1)
    return total


def combmnz(pool: Pool, weights: Weights, settings: Settings) -> Scored:
    """CombSUM times the number of lists that hold the document."""
    scores = pool.scores(settings.norm)
    total: Scored = np.nansum(scores * weights, axis=1) * _held(scores)
    return total


def combanz(pool: Pool, weights: Weights, settings: Settings) -> Scored:
    """CombSUM divided by the number of lists that hold the document."""
    scores = pool.scores(settings.norm)
    total: Scored = np.nansum(scores * weights, axis=1) / _held(scores)
    return total


def combmax(pool: Pool, weights: Weights, settings: Settings) -> Scored:
    """The largest weighted score of the lists that hold the document."""
    best: Scored = np.nanmax(pool.scores(settings.norm) * weights, axis=1)
    return best


def combmin(pool: Pool, weights: Weights, settings: Settings) -> Scored:
    """The smallest weighted score of the lists that hold the document."""
    worst: Scored = np.nanmin(pool.scores(settings.norm) * weights, axis=1)
    return worst


def combmed(pool: Pool, weights: Weights, settings: Settings) -> Scored:
    """The median weighted score of the lists that hold the document."""
    middle: Scored = np.nanmedian(pool.scores(settings.norm) * weights, axis=1)
    return middle


def rrf(pool: Pool, weights: Weights, settings: Settings) -> Scored:
    """Reciprocal rank fusion: sum of weight / (k + rank) over the lists that hold the document."""
    total: Scored = np.nansum(weights / (settings.rrf_k + pool.ranks()), axis=1)
    return total


def isr(pool: Pool, weights: Weights, settings: Settings) -> Scored:
    """Inverse square rank: the number of lists that hold the document, times the sum of weight / rank^2."""
    ranks = pool.ranks()
    total: Scored = np.nansum(weights / ranks**2, axis=1) * _held(ranks)
    return total


def log_isr(pool: Pool, weights: Weights, settings: Settings) -> Scored:
    """ISR with the logarithm of the number of lists; a document that only one list holds scores 0."""
    ranks = pool.ranks()
    total: Scored = np.nansum(weights / ranks**2, axis=1) * np.log(_held(ranks))
    return total


def borda(pool: Pool, weights: Weights, settings: Settings) -> Scored:
    """Borda count: of c pooled documents, rank r earns c - r + 1; the unranked share what is left of a list evenly."""
    ranks = pool.ranks()
    pooled = np.repeat(np.diff(pool.offsets), np.diff(pool.offsets)).astype(np.float64)[:, None]
    points = np.where(np.isnan(ranks), (pooled - pool.sizes() + 1) / 2, pooled - ranks + 1)
    total: Scored = points @ weights
    return total


def condorcet(pool: Pool, weights: Weights, settings: Settings) -> Scored:
    """Condorcet by Copeland's count: pairwise majorities won minus lost.

    In each list a document beats those below it and those the list does not hold. A weighted majority over the
    lists decides each pair. Takes time and memory in the square of the documents pooled for a query.
    """
    ranks = np.nan_to_num(pool.ranks(), nan=np.inf)
    scores = np.empty(len(ranks))
    bounds = pool.offsets.tolist()
    for start, end in pairwise(bounds):
        scores[start:end] = _copeland(ranks[start:end], weights)
    return scores


Method = Callable[[Pool, Weights, Settings], Scored]
#: Methods by their names in YAML; those of `RANK_METHODS` read ranks only, so scores need no common scale.
METHODS: dict[str, Method] = {
    "interpolate": interpolate,
    "combsum": combsum,
    "combmnz": combmnz,
    "combanz": combanz,
    "combmax": combmax,
    "combmin": combmin,
    "combmed": combmed,
    "rrf": rrf,
    "isr": isr,
    "log_isr": log_isr,
    "borda": borda,
    "condorcet": condorcet,
}
RANK_METHODS = frozenset({"rrf", "isr", "log_isr", "borda", "condorcet"})


def _held(matrix: Matrix) -> Scored:
    """How many lists hold each document."""
    return np.asarray(np.count_nonzero(~np.isnan(matrix), axis=1), dtype=np.float64)


def _copeland(ranks: Matrix, weights: Weights) -> Scored:
    """Majorities won minus lost, for one query; ranks of shape (documents, lists), inf where unranked."""
    margin: Matrix = np.zeros((len(ranks), len(ranks)))
    for column, weight in zip(ranks.T, weights, strict=True):
        margin += weight * np.sign(_difference(column))
    return np.asarray(np.sign(margin).sum(axis=1))


def _difference(column: Scored) -> Matrix:
    """rank_j - rank_i for all pairs; 0 between two unranked documents."""
    finite = np.where(np.isinf(column), len(column) + 1.0, column)
    return np.asarray(finite[None, :] - finite[:, None])
