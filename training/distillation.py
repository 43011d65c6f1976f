"""What a student learns from teachers: queries, a few documents each, and the scores that an ensemble gives them.

Geng et al.: Towards Competitive Search Relevance For Inference-Free Learned Sparse Retrievers, 2024 (arXiv:2411.04403),
section on heterogeneous teachers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import DataError, UsageError
from rankloom.files import write_text
from rankloom.lines import bad_line, json_lines

_STAGE = "distillation"
#: What averaged scores are multiplied by before a softmax, as in the OpenSearch models' training.
SCALE = 30.0
_LEAST_RANGE = 1e-6  # of a list in which all scores are the same


@dataclass(frozen=True, slots=True)
class Example:
    """One query and what teachers say of some documents.

    Args:
        query: What is asked.
        texts: The documents; a relevant one first, where one is known.
        scores: Teacher -> its score of each document, as the teacher gives it.

    Raises:
        UsageError: A teacher has not one score for each document.
    """

    query: str
    texts: tuple[str, ...]
    scores: Mapping[str, tuple[float, ...]]

    def __post_init__(self) -> None:
        """Refuse scores that belong to other documents."""
        for teacher, scores in self.scores.items():
            if len(scores) != len(self.texts):
                raise UsageError(
                    f"{teacher} scores {len(scores)} documents of {len(self.texts)}", stage=_STAGE, value=self.query
                )


def ensemble(scores: Mapping[str, Sequence[float]], *, scale: float = SCALE) -> NDArray[np.float64]:
    """One score for each document: each teacher's brought to 0..1 over the query's documents, averaged, scaled.

    Teachers of any scale can be mixed: similarities, BM25 scores, logits. A teacher that scores all documents alike
    says nothing and counts 0 for each.

    Args:
        scores: Teacher -> score of each document.
        scale: What the average is multiplied by.

    Returns:
        float64 of shape (documents,), from 0 to `scale`.

    Raises:
        UsageError: There are no teachers, or a score is not a finite number.

    Example:
        >>> ensemble({"bm25": [12.0, 2.0, 7.0], "dense": [0.9, 0.1, 0.1]}, scale=1.0).tolist()
        [1.0, 0.0, 0.25]
    """
    if not scores:
        raise UsageError("there are no teachers", stage=_STAGE)
    values = np.array([list(one) for one in scores.values()], dtype=np.float64)
    if not np.isfinite(values).all():
        raise UsageError("a teacher's score is not a finite number", stage=_STAGE, value=sorted(scores))
    if not values.shape[1]:
        return np.zeros(0)
    low = values.min(axis=1, keepdims=True)
    spread = values.max(axis=1, keepdims=True) - low
    scaled: NDArray[np.float64] = scale * ((values - low) / np.maximum(spread, _LEAST_RANGE)).mean(axis=0)
    return scaled


def mixed(
    examples: Sequence[Example],
    teachers: Sequence[str],
    *,
    mix: Literal["mean", "standard", "minmax"],
    scale: float = 1.0,
) -> NDArray[np.float64]:
    """One score for each document of many examples, for losses that learn margins.

    Args:
        examples: All with the same number of documents.
        teachers: Whose scores are mixed.
        mix: `mean` is of raw scores (T2 of Hofstätter et al., 2020, whose teachers are of one scale); `standard`
            divides each teacher's by their standard deviation around the means of examples, over all examples, so that
            its margins keep their proportions; `minmax` is `ensemble`.
        scale: What the result is multiplied by.

    Returns:
        float64 of shape (examples, documents).

    Raises:
        UsageError: There are no teachers, or a score is not a finite number.
    """
    if mix == "minmax":
        return np.array([ensemble({name: one.scores[name] for name in teachers}, scale=scale) for one in examples])
    if not teachers:
        raise UsageError("there are no teachers", stage=_STAGE)
    scores = np.array([[one.scores[name] for one in examples] for name in teachers], dtype=np.float64)
    if not np.isfinite(scores).all():
        raise UsageError("a teacher's score is not a finite number", stage=_STAGE, value=list(teachers))
    if mix == "standard":
        around = scores - scores.mean(axis=2, keepdims=True)
        scores = scores / np.maximum(around.std(axis=(1, 2), keepdims=True), _LEAST_RANGE)
    mean: NDArray[np.float64] = scale * scores.mean(axis=0)
    return mean


def write_examples(examples: Iterable[Example], path: str | Path) -> int:
    """Write examples as JSON Lines, whole or not at all; returns how many."""
    lines = [
        json.dumps({"query": one.query, "texts": one.texts, "scores": dict(one.scores)}, ensure_ascii=False)
        for one in examples
    ]
    write_text(Path(path), "".join(f"{line}\n" for line in lines))
    return len(lines)


def read_examples(path: str | Path) -> Iterator[Example]:
    """Read what `write_examples` has written.

    Raises:
        NotFoundError: There is no such file.
        DataError: A malformed line.
    """
    file = Path(path)
    for number, record in json_lines(file, stage=_STAGE):
        try:
            scores = {teacher: tuple(map(float, given)) for teacher, given in record["scores"].items()}
            yield Example(record["query"], tuple(record["texts"]), scores)
        except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
            raise bad_line(file, number, f"no example ({error})", stage=_STAGE) from error
    if not file.stat().st_size:
        raise DataError("the file holds no example", stage=_STAGE, value=str(path))
