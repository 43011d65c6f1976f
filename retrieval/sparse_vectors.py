"""Documents as sparse vectors: weighted terms in columns, and their impacts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import DataError
from rankloom.retrieval.index.impact_batch import ImpactBatch
from rankloom.weighted_terms import Terms

_AT_ONCE = 4096  # documents turned into columns


class SparseVectors(NamedTuple):
    """Weighted terms of some documents.

    Args:
        doc_ids: Ids of the documents.
        words: Different terms, at least those of these documents; one list can serve all batches.
        offsets: Where the terms of each document start, whole numbers of shape (documents + 1,), the first of them 0.
        places: Where in `words` each term stands, whole numbers; no term twice in a document.
        weights: Above 0, in the model's unit; of the same shape.

    Example:
        >>> import numpy as np
        >>> SparseVectors(["d1", "d2"], ["sky", "sea"], np.array([0, 2, 3]), np.array([0, 1, 1]), np.ones(3)).doc_ids
        ['d1', 'd2']
    """

    doc_ids: Sequence[str]
    words: Sequence[str]
    offsets: NDArray[Any]
    places: NDArray[Any]
    weights: NDArray[Any]


def vectors_of(doc_ids: Sequence[str], documents: Sequence[Terms]) -> SparseVectors:
    """Columns of documents whose terms stand in dictionaries."""
    words = list(dict.fromkeys(word for terms in documents for word in terms))
    numbers = {word: number for number, word in enumerate(words)}
    return SparseVectors(
        doc_ids,
        words,
        np.cumsum([0, *map(len, documents)], dtype=np.int64),
        np.array([numbers[word] for terms in documents for word in terms], dtype=np.int32),
        np.array([weight for terms in documents for weight in terms.values()], dtype=np.float64),
    )


def batches_of(documents: Iterable[tuple[str, Terms]]) -> Iterator[SparseVectors]:
    """Documents from a stream, some thousands at a time."""
    stream = iter(documents)
    while batch := list(islice(stream, _AT_ONCE)):
        yield vectors_of([doc_id for doc_id, _ in batch], [terms for _, terms in batch])


def impacts_of(vectors: SparseVectors, scale: int) -> ImpactBatch:
    """Weights as whole impacts: `weight * scale`, rounded, at least 1.

    Raises:
        DataError: A weight is not a positive number.
    """
    weights = np.asarray(vectors.weights, dtype=np.float64)
    for place in np.flatnonzero(~((weights > 0) & (weights < np.inf)))[:1].tolist():
        word = vectors.words[int(vectors.places[place])]
        raise DataError(
            f"the weight of {word!r} is out of range", stage="learned_sparse", value=weights[place], accepted="above 0"
        )
    values = np.maximum(1, np.rint(weights * scale)).astype(np.int64)
    return ImpactBatch(vectors.doc_ids, vectors.words, vectors.offsets, vectors.places, values)
