"""Weighted terms of texts, as sparse encoders make them and retrievers over terms read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Terms = Mapping[str, float]


class SparseEncoded(NamedTuple):
    """Weighted terms of some texts, in their order, and what a model did for them.

    Args:
        terms: For each text, its terms and their weights.
        tokens: Tokens that a model read of each text; int64 of shape (texts,), 0 where no model reads.
        truncated: Tokens of each text that the model did not read; int64 of shape (texts,).
        calls: How many batches went through a model.
    """

    terms: list[Terms]
    tokens: NDArray[np.int64]
    truncated: NDArray[np.int64]
    calls: int
