"""Weights of query terms: how rare a subword is among the documents that a student is trained on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

_AT_ONCE = 1000


def idf_table(texts: Iterable[str], tokenizer: Any) -> dict[str, float]:
    """Token -> log(1 + (N - n + 0.5) / (n + 0.5)), BM25's idf, for every token of a vocabulary but special ones.

    Tokens that no text holds get the idf of n = 0, the largest.

    Args:
        texts: The documents.
        tokenizer: A fast tokenizer of transformers.
    """
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    held = list(texts)
    counts = np.zeros(len(tokenizer), dtype=np.int64)
    for start in range(0, len(held), _AT_ONCE):
        for encoding in backend.encode_batch_fast(held[start : start + _AT_ONCE], add_special_tokens=False):
            counts[np.unique(encoding.ids)] += 1
    weights = np.log1p((len(held) - counts + 0.5) / (counts + 0.5))
    special = set(tokenizer.all_special_tokens)
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    return {
        token: round(weight, 3) for token, weight in zip(tokens, weights.tolist(), strict=True) if token not in special
    }
