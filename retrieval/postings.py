"""From documents as lists of terms to the columns of an inverted index."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import DataError
from rankloom.retrieval.vocabulary import Vocabulary

_BLOCK_TERMS = 1 << 20  # occurrences sorted at a time; larger blocks leave the processor's cache


class Postings(NamedTuple):
    """The documents that hold a term.

    Args:
        documents: Their codes, ascending; int32 of shape (documents,).
        frequencies: How often the term occurs in each; int32 of shape (documents,), at least 1.
    """

    documents: NDArray[np.int32]
    frequencies: NDArray[np.int32]


def invert(documents: Iterable[Sequence[str]], *, expected: int) -> tuple[Vocabulary, dict[str, NDArray[Any]]]:
    """The vocabulary and columns of an inverted index.

    Args:
        documents: The terms of each document, in the order of the documents' codes.
        expected: How many documents there must be.

    Returns:
        The vocabulary, and the columns by name: `posting_offsets` int64 (terms + 1,), `posting_documents` and
        `posting_frequencies` int32 (postings,), `forward_offsets` int64 (documents + 1,), `forward_terms` and
        `forward_frequencies` int32 (postings,), `lengths` int32 (documents,).

    Raises:
        DataError: More or fewer documents than expected.
    """
    seen: defaultdict[str, int] = defaultdict()
    seen.default_factory = seen.__len__  # a new term gets the next number
    blocks = _Blocks()
    for document in documents:
        blocks.add(list(map(seen.__getitem__, document)))
    if len(blocks.lengths) != expected:
        raise DataError(
            f"{len(blocks.lengths)} documents for {expected} ids", stage="inverted index", accepted="one for each id"
        )
    vocabulary, numbers = Vocabulary.number(list(seen))
    distinct, terms, frequencies = blocks.finish()
    terms = numbers[terms]
    order = terms.argsort(kind="stable")  # documents stay in order within a term
    owners = np.repeat(np.arange(expected, dtype=np.int32), distinct)
    return vocabulary, {
        "posting_offsets": _offsets(np.bincount(terms, minlength=len(vocabulary))),
        "posting_documents": owners[order],
        "posting_frequencies": frequencies[order],
        "forward_offsets": _offsets(distinct),
        "forward_terms": terms,
        "forward_frequencies": frequencies,
        "lengths": np.array(blocks.lengths, dtype=np.int32),
    }


class _Blocks:
    """Occurrences of terms, counted a block of documents at a time."""

    def __init__(self) -> None:
        self.lengths = array("i")
        self._waiting = array("i")  # term numbers of the documents since the last block
        self._first = 0  # the first of those documents
        self._counted: list[tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]] = []

    def add(self, terms: list[int]) -> None:
        """Take in the next document."""
        self.lengths.append(len(terms))
        self._waiting.extend(terms)
        if len(self._waiting) >= _BLOCK_TERMS:
            self._count()

    def finish(self) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
        """How many terms each document has, and all documents' terms and frequencies, one after another."""
        self._count()
        distinct, terms, frequencies = zip(*self._counted, strict=True)
        return np.concatenate(distinct), np.concatenate(terms), np.concatenate(frequencies)

    def _count(self) -> None:
        """Turn the waiting occurrences into (document, term, frequency), sorted by document."""
        lengths = np.array(self.lengths[self._first :], dtype=np.int64)
        owners = np.repeat(np.arange(len(lengths)), lengths)
        pairs, frequencies = np.unique((owners << 32) | np.array(self._waiting, dtype=np.int64), return_counts=True)
        distinct = np.bincount(pairs >> 32, minlength=len(lengths)).astype(np.int64)
        self._counted.append((distinct, (pairs & 0xFFFFFFFF).astype(np.int32), frequencies.astype(np.int32)))
        self._first, self._waiting = len(self.lengths), array("i")


def _offsets(counts: NDArray[Any]) -> NDArray[np.int64]:
    """Where each group starts, from the sizes of the groups; int64 of shape (groups + 1,)."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
