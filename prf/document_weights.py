"""How much each feedback document counts, from its score."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rankloom.ranking import ScoreKind


def document_weights(scores: NDArray[np.float32], kind: ScoreKind) -> NDArray[np.float64]:
    """How much each feedback document counts, from its score.

    Args:
        scores: float32 of shape (documents,).
        kind: What the scores mean.

    Returns:
        Non-negative weights of any sum, float64 of shape (documents,): similarities and probabilities as they are;
        a softmax of logits and of lists that a plain sum could not weigh (a negative score, or nothing but
        zeros); ones for positions.

    Example:
        >>> document_weights(np.array([8, 4], dtype=np.float32), ScoreKind.SIMILARITY).tolist()
        [8.0, 4.0]
    """
    exact = scores.astype(np.float64)
    if kind is ScoreKind.RANK:
        return np.ones_like(exact)
    if kind is ScoreKind.LOGIT or exact.min() < 0 or not exact.any():
        return np.asarray(np.exp(exact - exact.max()), dtype=np.float64)
    return exact
