"""How well a student ranks the documents of queries that were held out from training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from rankloom.training.distillation import Example
from rankloom.training.student import Student

_CUT = 10
_AT_ONCE = 64  # documents


def measured(student: Student, held_out: Sequence[Example]) -> dict[str, float]:
    """`nDCG@10` of a student; nothing if no query was held out.

    Args:
        student: Any.
        held_out: Queries and their documents, of which the first is the only one known to be relevant. A student that
            `crosses` ranks the documents of all of them for each, another one each query's own.
    """
    if not held_out:
        return {}
    training = student.training
    student.eval()
    with torch.no_grad():
        gains = torch.cat(list(_gains(student, held_out)))
    student.train(training)
    return {f"nDCG@{_CUT}": round(float(gains.mean()), 4)}


def _gains(student: Student, held_out: Sequence[Example]) -> Iterator[Tensor]:
    """NDCG of each query, which is the gain of the place of its one relevant document."""
    if not student.crosses:
        for one in held_out:
            scores = student([one.query], one.texts)
            yield _gain(scores, torch.zeros(1, dtype=torch.long, device=scores.device))
        return
    places = {text: place for place, text in enumerate(dict.fromkeys(text for one in held_out for text in one.texts))}
    queries, texts = [one.query for one in held_out], list(places)
    parts = [
        student(queries, texts[start : start + _AT_ONCE], crossed=True) for start in range(0, len(texts), _AT_ONCE)
    ]
    scores = torch.cat(parts, dim=1)
    yield _gain(scores, torch.tensor([places[one.texts[0]] for one in held_out], device=scores.device))


def _gain(scores: Tensor, own: Tensor) -> Tensor:
    """1 / log2(1 + rank) of one document of each row, 0 below the cut; ties count against it."""
    relevant = scores.gather(1, own.unsqueeze(1))
    rank = (scores >= relevant).sum(dim=1).double()
    return torch.where(rank <= _CUT, 1 / torch.log2(1 + rank), torch.zeros_like(rank))
