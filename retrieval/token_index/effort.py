"""How far candidate search looks, by the number of hits and by what a user asks for.

Thresholds are those of PLAID's code. Probes and candidates are more than its, which are 1 and 64 for ten hits, 2 and
256 for a hundred, 4 and 1024 for a thousand: `benchmarks/token_candidates.py` measures both.
"""

from __future__ import annotations

from typing import NamedTuple

from rankloom.checks import whole
from rankloom.errors import UsageError

ROUGH = 4  # documents that pass the first round, for each that is scored by its vectors


class Effort(NamedTuple):
    """How far a search looks.

    Args:
        nprobe: Centroids probed for each query vector.
        candidates: Documents scored by their vectors.
        threshold: Centroids that have no larger cosine with a query vector do not matter in the first round.
    """

    nprobe: int
    candidates: int
    threshold: float


_EFFORTS = ((10, Effort(4, 64, 0.5)), (100, Effort(8, 400, 0.45)))  # for up to so many hits
_DEEP = Effort(8, 1024, 0.4)


def effort(k: int, nprobe: int | None = None, candidates: int | None = None) -> Effort:
    """How far a search for k hits looks, as far as a user does not say: to twice as many candidates as hits, or more.

    Example:
        >>> effort(10), effort(2000, nprobe=2)
        (Effort(nprobe=4, candidates=64, threshold=0.5), Effort(nprobe=2, candidates=4000, threshold=0.4))
    """
    usual = next((one for most, one in _EFFORTS if k <= most), _DEEP._replace(candidates=max(_DEEP.candidates, 2 * k)))
    return Effort(nprobe or usual.nprobe, candidates or usual.candidates, usual.threshold)


def check_effort(nprobe: int | None, candidates: int | None, k: int | None = None, *, stage: str) -> None:
    """Refuse numbers that a search can not follow; None stands for one that is not given.

    Raises:
        UsageError: One is no whole number of at least 1, or fewer documents would be scored than are asked for.
    """
    if nprobe is not None:
        whole(nprobe, least=1, stage=stage, parameter="nprobe")
    if candidates is None:
        return
    whole(candidates, least=1, stage=stage, parameter="candidates")
    if k is not None and candidates < k:
        raise UsageError(
            "fewer documents would be scored than there are to be hits",
            stage=stage,
            value=f"candidates {candidates}",
            accepted=f"at least k, which is {k}",
            fix="raise candidates, lower k, or leave candidates out",
        )
