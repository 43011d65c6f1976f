"""Exact scores of chosen documents: MaxSim over their vectors as they are stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from rankloom.order import Codes, Offsets, Scores
from rankloom.retrieval.token_index.storage import TokenStorage
from rankloom.retrieval.vectors.best_documents import Hits
from rankloom.retrieval.vectors.crew import Crew
from rankloom.retrieval.vectors.float_product import float_product

_NUMBERS = 1 << 22  # numbers of vectors that are decoded at a time: 16 MiB
#: A product in float32, summed in any order, is off by no more than this for each number, of the product of lengths
#: (Higham: Accuracy and Stability of Numerical Algorithms, 3.1); a few roundings more are those of comparing.
_ROUNDING, _ROUNDINGS = 2.0**-24 * 1.01, 8


def document_rows(offsets: Offsets, documents: Codes | NDArray[np.int64]) -> tuple[NDArray[np.int64], Offsets]:
    """The rows of some documents one after another, and where those of each start; int64.

    Example:
        >>> rows, starts = document_rows(np.array([0, 2, 2, 5]), np.array([2, 1, 0]))
        >>> rows.tolist(), starts.tolist()
        ([2, 3, 4, 0, 1], [0, 3, 3, 5])
    """
    firsts = offsets[documents]
    lengths = offsets[np.asarray(documents, dtype=np.int64) + 1] - firsts
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    rows = np.arange(starts[-1], dtype=np.int64) + np.repeat(firsts - starts[:-1], lengths)
    return rows, starts


def pieces(offsets: Offsets, documents: NDArray[np.int64], rows: int) -> Iterator[slice]:
    """Stretches of documents that have about so many rows together; at least one document each."""
    ends = np.cumsum(offsets[documents + 1] - offsets[documents])
    first = 0
    while first < len(documents):
        before = int(ends[first - 1]) if first else 0
        last = max(int(np.searchsorted(ends, before + rows, side="right")), first + 1)
        yield slice(first, last)
        first = last


def score_documents(
    storage: TokenStorage, offsets: Offsets, query: NDArray[np.float32], documents: Codes, crew: Crew
) -> NDArray[np.float32]:
    """MaxSim of a query with some documents: products and sums in float64, rounded once.

    A score depends on nothing but the two texts' vectors. A document without vectors scores 0. Products in float32 tell
    which vectors may be the nearest, and only those are multiplied in float64.

    Args:
        storage: The documents' vectors.
        offsets: Where each document's vectors start, int64 of shape (all documents + 1,).
        query: float32 of shape (query vectors, dimensions).
        documents: Codes of the documents to be scored, in any order.
        crew: Who does the work.

    Returns:
        float32 of shape (documents,), in the order asked.
    """
    from rankloom.retrieval.token_index.maxsim_kernel import document_scores, near_by_products

    chosen, narrow, wide = np.asarray(documents, dtype=np.int64), query.copy(), query.astype(np.float64)
    lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    off = ((storage.dimensions + _ROUNDINGS) * _ROUNDING * lengths).astype(np.float32)
    scores = np.zeros(len(chosen), dtype=np.float32)
    for piece in pieces(offsets, chosen, _NUMBERS // max(storage.dimensions, 1)):
        rows, starts = document_rows(offsets, chosen[piece])
        matrix = storage.take(rows)
        products = float_product(matrix, narrow)
        part, near = scores[piece], np.empty(products.shape, dtype=np.bool_)
        crew.spread(len(part), partial(near_by_products, matrix, products, starts, off, near))
        crew.spread(len(part), partial(document_scores, matrix, starts, near, wide, part))
    return scores


def hits_of(found: Mapping[int, tuple[Codes, Scores]], queries: int) -> Hits:
    """Hits of a batch of queries, from codes and scores in order by the number of the query; none for others."""
    nothing = np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32)
    each = [found.get(number, nothing) for number in range(queries)]
    offsets = np.cumsum([0, *(len(codes) for codes, _ in each)], dtype=np.int64)
    codes, scores = zip(nothing, *each, strict=True)
    return Hits(offsets, np.concatenate(codes), np.concatenate(scores))
