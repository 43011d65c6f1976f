"""Rows of contrastive training, and batches of them without false negatives.

In a batch, the documents of all rows are each row's negatives. Two rows therefore stand in one batch only if neither
shows a document that is relevant to the other's query.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rankloom.errors import DataError


@dataclass(frozen=True, slots=True)
class Row:
    """One query, a relevant document, and negatives.

    Args:
        query: What is asked.
        positive: A relevant document.
        negatives: Documents that are not relevant; as many in each row of a training.
        source: Rows of one batch have one source, which would else tell documents apart.
        shown: What stands for each of its documents: ids, texts, or pages.
        relevant: What stands for every document that is relevant to the query, this row's or not.
        scores: A judge's of its documents, the relevant one's first; none where nobody was asked.
    """

    query: str
    positive: str
    negatives: tuple[str, ...]
    source: str
    shown: frozenset[Hashable]
    relevant: frozenset[Hashable]
    scores: tuple[float, ...] = ()


def batches(rows: Sequence[Row], *, size: int, count: int, seed: int) -> Iterator[list[int]]:
    """Batches of places of rows.

    Rows are passed through in a random order, again and again; a row that does not go with a batch is left to the next,
    and what fills no batch at the end of a pass to the next pass.

    Args:
        rows: The rows.
        size: Rows in a batch.
        count: How many batches.
        seed: Of the order.

    Raises:
        DataError: Too few rows go together.
    """
    given = turn = 0
    while given < count:
        before = given
        for batch in _one_pass(rows, size, np.random.default_rng([seed, turn])):
            yield batch
            given += 1
            if given == count:
                return
        if given == before:
            raise DataError(
                f"no {size} of {len(rows)} rows go together in a batch",
                stage="training",
                fix="make training.queries smaller, or give more queries",
            )
        turn += 1


def _one_pass(rows: Sequence[Row], size: int, draws: np.random.Generator) -> Iterator[list[int]]:
    """Batches of different rows, until no batch can be filled."""
    left: dict[str, deque[int]] = {}
    for place in draws.permutation(len(rows)).tolist():
        left.setdefault(rows[place].source, deque()).append(place)
    left = {source: places for source, places in left.items() if len(places) >= size}
    while left:
        sources = sorted(left)
        numbers = np.array([len(left[source]) for source in sources])
        source = sources[draws.choice(len(sources), p=numbers / numbers.sum())]
        batch = _filled(rows, left[source], size)
        if batch:
            yield batch
        else:  # the first row goes with too few; it has its turn in the next pass
            left[source].popleft()
        if len(left[source]) < size:
            del left[source]


def _filled(rows: Sequence[Row], left: deque[int], size: int) -> list[int]:
    """The first rows that go with each other, taken from those left; nothing if they are too few."""
    batch: list[int] = []
    aside: list[int] = []
    queries: set[str] = set()
    shown: set[Hashable] = set()
    relevant: set[Hashable] = set()
    while left and len(batch) < size:
        place = left.popleft()
        row = rows[place]
        if row.query in queries or not (row.shown.isdisjoint(relevant) and row.relevant.isdisjoint(shown)):
            aside.append(place)
            continue
        batch.append(place)
        queries.add(row.query)
        shown |= row.shown
        relevant |= row.relevant
    full = len(batch) == size
    left.extendleft(reversed(aside if full else [*batch, *aside]))
    return batch if full else []
