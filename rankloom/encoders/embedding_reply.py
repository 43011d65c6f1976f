"""What an embedding endpoint replies, held against what was asked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import StageError


def checked_reply(reply: Any, *, texts: int, dimensions: int | None, stage: str) -> NDArray[np.float32]:
    """The vectors of a reply in the order of the texts, float32 of shape (texts, dimensions).

    Args:
        reply: What the `openai` package makes of a reply; its parts come in any order, each with its `index`.
        texts: How many were sent.
        dimensions: How many numbers each vector shall have; None for as many as they have.
        stage: Who asks, for errors.

    Raises:
        StageError: Vectors are missing, repeated, too many, of other lengths, or not finite.
    """
    parts = list(getattr(reply, "data", None) or [])
    if sorted(str(part.index) for part in parts) != sorted(str(place) for place in range(texts)):
        raise StageError(
            "the endpoint did not give one vector for each text",
            stage=stage,
            value=f"{len(parts)} vectors for {texts} texts",
            accepted="an index for each vector, from 0, none twice and none left out",
        )
    rows = [part.embedding for part in sorted(parts, key=lambda part: int(part.index))]
    try:
        vectors = np.array(rows, dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise StageError(f"the endpoint gave no vectors of numbers ({error})", stage=stage) from error
    if vectors.ndim != 2 or (dimensions is not None and vectors.shape[1] != dimensions):
        raise StageError(
            "the endpoint gave vectors of another length than was asked for",
            stage=stage,
            value=list(vectors.shape[1:]),
            accepted=None if dimensions is None else str(dimensions),
            fix="leave dimensions out if the model has only one length",
        )
    if not np.isfinite(vectors).all():
        raise StageError("the endpoint gave vectors that are not finite", stage=stage)
    return vectors


def share_of_tokens(reply: Any, lengths: list[int]) -> NDArray[np.int64]:
    """The tokens that a request took, shared out by the lengths of its texts; 0 for all where it was not counted.

    >>> from types import SimpleNamespace
    >>> share_of_tokens(SimpleNamespace(usage=SimpleNamespace(total_tokens=7)), [10, 10, 20]).tolist()
    [1, 2, 4]
    """
    usage = getattr(reply, "usage", None)
    total = getattr(usage, "total_tokens", None) or getattr(usage, "prompt_tokens", None) or 0
    ends = np.cumsum(lengths, dtype=np.int64) * int(total) // max(1, sum(lengths))
    return np.diff(ends, prepend=0)
