"""How well a student ranks the documents of queries that were held out from training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from rankloom.errors import StageError
from rankloom.training.distillation import Example
from rankloom.training.student import CrossingStudent, Student

_CUT = 10
_AT_ONCE = 64  # documents


def measured(student: Student, held_out: Sequence[Example]) -> dict[str, float]:
    """nDCG@10 of a student, under a name that tells what was ranked; nothing if no query was held out.

    Args:
        student: Any.
        held_out: Queries and their documents, of which the first is the only one known to be relevant. A
            `CrossingStudent` ranks the documents of all of them for each (`nDCG@10`), another one each query's own,
            which are at most 8 and easier to rank (`nDCG@10 of own documents`).

    Raises:
        StageError: A score is not a finite number.
    """
    if not held_out:
        return {}
    training = student.training
    student.eval()
    with torch.no_grad():
        gains = torch.cat(list(_gains(student, held_out)))
    student.train(training)
    name = f"nDCG@{_CUT}" if isinstance(student, CrossingStudent) else f"nDCG@{_CUT} of own documents"
    return {name: round(float(gains.mean()), 4)}


def _gains(student: Student, held_out: Sequence[Example]) -> Iterator[Tensor]:
    """NDCG of each query, which is the gain of the place of its one relevant document."""
    if not isinstance(student, CrossingStudent):
        for one in held_out:
            scores = student([one.query], one.texts)
            yield _gain(scores, torch.zeros(1, dtype=torch.long, device=scores.device))
        return
    places = {text: place for place, text in enumerate(dict.fromkeys(text for one in held_out for text in one.texts))}
    texts = list(places)
    queries = student.read([one.query for one in held_out], "query")
    parts = [
        student.cross(queries, student.read(texts[start : start + _AT_ONCE], "document"))
        for start in range(0, len(texts), _AT_ONCE)
    ]
    scores = torch.cat(parts, dim=1)
    yield _gain(scores, torch.tensor([places[one.texts[0]] for one in held_out], device=scores.device))


def _gain(scores: Tensor, own: Tensor) -> Tensor:
    """1 / log2(1 + rank) of one document of each row, 0 below the cut; ties count against it."""
    if not torch.isfinite(scores).all():  # a comparison with NaN is false, which would look like the best rank
        raise StageError(
            "the student scores documents by what is not a finite number",
            stage="training",
            accepted="finite scores",
            fix="lower training.learning_rate, and train into another folder",
        )
    relevant = scores.gather(1, own.unsqueeze(1))
    rank = (scores >= relevant).sum(dim=1).double()
    return torch.where(rank <= _CUT, 1 / torch.log2(1 + rank), torch.zeros_like(rank))
