"""Documents on their way into an index of impacts, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rankloom.errors import DataError
from rankloom.retrieval.index.inversion import Inverted

LARGEST_VALUE = 2**31 - 1


class ImpactBatch(NamedTuple):
    """Terms of some documents and their impacts.

    Args:
        doc_ids: Ids of the documents.
        words: Different terms, at least those of these documents.
        offsets: Where the terms of each document start, whole numbers of shape (documents + 1,), the first of them 0.
        places: Where in `words` each term stands, whole numbers; no term twice in a document.
        values: Impacts, whole numbers from 1; of the same shape.
    """

    doc_ids: Sequence[str]
    words: Sequence[str]
    offsets: NDArray[Any]
    places: NDArray[Any]
    values: NDArray[Any]


def counted(batch: ImpactBatch, numbers: NDArray[np.int32]) -> Inverted:
    """A batch with the numbers of its words in the place of the words.

    Raises:
        DataError: The columns do not fit together, a number is not whole or out of range, or a term stands twice in a
            document.
    """
    offsets, places = _whole(batch.offsets, "an offset"), _whole(batch.places, "a place")
    distinct = np.diff(offsets)
    if (
        len(offsets) != len(batch.doc_ids) + 1
        or offsets[0] != 0
        or len(distinct[distinct < 0])
        or not len(places) == len(batch.values) == offsets[-1]
    ):
        raise DataError(
            "the columns of a batch do not fit together", stage="index", accepted="offsets from 0 to the end"
        )
    if len(places) and not 0 <= places.min() <= places.max() < len(numbers):
        raise DataError("a place is out of range", stage="index", accepted=f"0 to {len(numbers) - 1}")
    values, terms = check_values(batch.values), numbers[places]
    _check_once(batch, distinct, terms)
    sums = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(values)])
    return Inverted(distinct, sums[offsets[1:]] - sums[offsets[:-1]], terms, values.astype(np.int32))


def check_values(given: ArrayLike) -> NDArray[np.int64]:
    """Values as int64.

    Raises:
        DataError: One is not whole, or out of range.
    """
    values = _whole(given, "a value", fix="round it; LearnedSparse.of_vectors takes SparseVectors, and a scale")
    if len(values) and not (values.min() >= 1 and values.max() <= LARGEST_VALUE):
        raise DataError(
            "a value is out of range",
            stage="index",
            value=int(values.min() if values.min() < 1 else values.max()),
            accepted=f"whole numbers from 1 to {LARGEST_VALUE}",
        )
    return values


def _whole(given: ArrayLike, what: str, *, fix: str | None = None) -> NDArray[np.int64]:
    """Numbers as int64; none is cut off on the way.

    Raises:
        DataError: One is not whole.
    """
    numbers = np.asarray(given)
    broken: list[Any] = []
    if numbers.dtype.kind not in "iufb":  # texts; also whole numbers of more than 64 bits
        broken = [str(numbers.dtype)]
    elif numbers.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            broken = numbers[~(numbers % 1 == 0)].tolist()  # NaN and infinity as well
    if broken:
        raise DataError(
            f"{what} is no whole number", stage="index", value=broken[0], accepted="integers of 64 bits", fix=fix
        )
    return numbers.astype(np.int64)


def _check_once(batch: ImpactBatch, distinct: NDArray[np.int64], terms: NDArray[np.int32]) -> None:
    """Refuse a term that stands twice in a document."""
    owners = np.repeat(np.arange(len(distinct)), distinct)
    keys = np.sort(owners << 32 | terms)
    for key in keys[1:][keys[1:] == keys[:-1]][:1].tolist():
        owner, term = key >> 32, key & 0xFFFFFFFF
        word = batch.words[int(np.asarray(batch.places)[(owners == owner) & (terms == term)][0])]
        raise DataError(f"the term {word!r} stands twice in a document", stage="index", value=batch.doc_ids[owner])
