"""The words of reductions: `C8x32`, `pool2` and their like."""

from __future__ import annotations

import re
from typing import Final

from rankloom.errors import UsageError, nearest
from rankloom.reduction.clustering import Clusters, ClusterShare
from rankloom.reduction.pooling import Pooling
from rankloom.reduction.reduction import Reduction, Reductions, Unreduced
from rankloom.reduction.selection import Spacing, Tail

#: Every form of a word, and what it does.
FORMS: Final = {
    "none": "all vectors",
    "C8x32": "the means of 8 clusters of a query, of 32 of a document",
    "C25": "the means of as many clusters as 25 % of the text's vectors",
    "K2": "every 2nd token",
    "T8x32": "the last 8 tokens of a query, the last 32 of a document",
    "pool2": "queries whole; of a document the first token, and one cluster for each 2 others",
}
_KNOWN = ("none", "C8x32", "C4x8", "C25", "C50", "C75", "K2", "K4", "T8x32", "T4x8", "pool2", "pool3", "pool4")
_PAIR = re.compile(r"([CT])([0-9]{1,6})X([0-9]{1,6})")
_SINGLE = re.compile(r"([CK])([0-9]{1,6})")
_POOL = re.compile(r"POOL([0-9]{1,6}(?:\.[0-9]{1,3})?)")


def reductions(word: str, *, normalize: bool = True, stage: str = "reduction") -> Reductions:
    """The reductions that a word names. Upper and lower case are the same.

    Args:
        word: One of the forms of `FORMS`, with other numbers: `C4x8`, `C75`, `K4`, `T4x8`, `pool1.5`.
        normalize: Bring the means of clusters to length 1, for models whose vectors have that length.
        stage: Who asks, for the error.

    Raises:
        UsageError: There is no such reduction; or `pool2` and its like without `normalize`: they need vectors of
            length 1.

    Example:
        >>> both = reductions("c8x32")
        >>> both.name, both.query.kept(100), both.document.kept(100)
        ('C8x32', 8, 32)
    """
    found = _parse(word, normalize) if isinstance(word, str) else None
    if found is None:
        close = None if not isinstance(word, str) else nearest(word, _KNOWN) or nearest(word.upper(), _KNOWN)
        raise UsageError(
            "no such reduction",
            stage=stage,
            value=word,
            accepted=", ".join(f"{form} ({what})" for form, what in FORMS.items()),
            fix=f"did you mean {close!r}?" if close else None,
        )
    if isinstance(found.document, Pooling) and not normalize:
        raise UsageError(
            "token pooling needs vectors of length 1, which this model does not give",
            stage=stage,
            value=word,
            fix="take a reduction by clusters, such as C50",
        )
    return found


def _parse(word: str, normalize: bool) -> Reductions | None:
    """The reductions of a word; None if it has no meaning."""
    upper = word.strip().upper()
    if pair := _PAIR.fullmatch(upper):
        return _sized(pair[1], int(pair[2]), int(pair[3]), normalize)
    if pool := _POOL.fullmatch(upper):
        pooling = Pooling(float(pool[1]))
        return Reductions(Unreduced(), pooling, pooling.name) if pooling.factor > 1 else None
    single = _SINGLE.fullmatch(upper)
    both = _of_both_sides(single[1], int(single[2]), normalize) if single else None
    if upper == "NONE":
        both = Unreduced()
    return Reductions(both, both, both.name) if both else None


def _sized(kind: str, query: int, document: int, normalize: bool) -> Reductions | None:
    """The reductions to so many vectors; None if there are to be none."""
    if min(query, document) < 1:
        return None
    name = f"{kind}{query}x{document}"
    if kind == "C":
        return Reductions(Clusters(query, normalize), Clusters(document, normalize), name)
    return Reductions(Tail(query), Tail(document), name)


def _of_both_sides(kind: str, number: int, normalize: bool) -> Reduction | None:
    """The reduction that is the same for queries and documents; None if there is none with this number."""
    if kind == "C":
        return ClusterShare(number, normalize) if 1 <= number <= 99 else None
    return Spacing(number) if number >= 2 else None
