"""Splits of files that know none: articles in the order of a digest of their ids.

Half of them are `test`, a tenth `validation`, the others `train`, each with its own questions alone. What is trained on
one has then not seen the articles of another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

#: Split -> where its articles begin and end, in hundredths of all.
SPLITS = {"test": (0, 50), "validation": (50, 60), "train": (60, 100)}


def articles_of(article_ids: Iterable[str], split: str) -> list[str]:
    """The articles of a split, in the order of their digests; an id that stands twice is one article.

    Args:
        article_ids: The ids of all articles, in any order.
        split: One of `SPLITS`.

    Example:
        >>> articles_of("abcdefghij", "validation")
        ['j']
    """
    ordered = sorted(dict.fromkeys(article_ids), key=lambda article_id: hashlib.sha256(article_id.encode()).hexdigest())
    begin, end = (share * len(ordered) // 100 for share in SPLITS[split])
    return ordered[begin:end]
