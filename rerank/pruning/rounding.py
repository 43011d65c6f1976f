"""Rounding: from probabilities of tokens to decisions on whole sentences.

Provence keeps a sentence if the share of its tokens whose probability is above the threshold is above the same
threshold (`decision`); OpenProvence, if the mean probability is (`probability`). `majority` asks for half of them.

A sentence that was read in pieces has the mean of theirs, whatever their lengths, as in OpenProvence.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rankloom.provence_adapter import Rounding


def sentence_means(
    values: NDArray[np.generic], counts: NDArray[np.int64], pieces: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The mean over each sentence's pieces of the means over their tokens; 0 for a sentence without tokens.

    Args:
        values: One for each token, piece after piece; of shape (tokens,).
        counts: Tokens of each piece; int64 of shape (pieces,).
        pieces: Pieces of each sentence; int64 of shape (sentences,).
    """
    return _means(_means(values, counts), pieces)


def kept(
    probabilities: NDArray[np.float32],
    counts: NDArray[np.int64],
    pieces: NDArray[np.int64],
    *,
    threshold: float,
    rounding: Rounding,
) -> NDArray[np.bool_]:
    """Which sentences are kept; one without tokens never is.

    Args:
        probabilities: Of each token, piece after piece; float32 of shape (tokens,).
        counts: Tokens of each piece; int64 of shape (pieces,).
        pieces: Pieces of each sentence; int64 of shape (sentences,).
        threshold: 0 to 1.
        rounding: The rule.

    Example:
        >>> tokens, counts = np.array([0.2, 0.0, 0.0, 0.15, 0.15], np.float32), np.array([3, 2])
        >>> kept(tokens, counts, np.array([1, 1]), threshold=0.1, rounding="decision").tolist()
        [True, True]
        >>> kept(tokens, counts, np.array([1, 1]), threshold=0.1, rounding="probability").tolist()
        [False, True]
    """
    if rounding == "probability":
        passes = sentence_means(probabilities, counts, pieces) > threshold
    else:
        shares = sentence_means(probabilities > np.float32(threshold), counts, pieces)
        passes = shares >= 0.5 if rounding == "majority" else shares > threshold
    return passes & (_means(counts, pieces) > 0)


def _means(values: NDArray[np.generic], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean of each of some groups that stand one after another; 0 for an empty one."""
    groups = np.repeat(np.arange(len(counts)), counts)
    sums = np.bincount(groups, weights=values.astype(np.float64), minlength=len(counts))
    return np.asarray(sums / np.maximum(counts, 1), dtype=np.float64)
