"""Kernels of MaxSim: for each vector of a query the largest product with a document's vectors, summed."""

from __future__ import annotations

from typing import Any

import numpy as np

from rankloom.retrieval.index.compiled import compiled, inlined, nested, reassociated
from rankloom.retrieval.token_index.int8_kernel import ROWS, int8_products

_SMALLEST = np.float32(1e-35)  # more than what numbers below float32's normal ones can be off


@reassociated
def _product(one: Any, other: Any) -> Any:
    """The inner product of two float64 vectors."""
    total = 0.0
    for place in range(len(one)):
        total += one[place] * other[place]
    return total


@compiled
def document_scores(matrix: Any, starts: Any, near: Any, query: Any, scores: Any, begin: Any, end: Any) -> None:
    """MaxSim of documents `begin` to `end`, summed in float64 and rounded once.

    Args:
        matrix: float32 (rows, dimensions): the documents' vectors one below the other.
        starts: int64 (documents + 1): where each document's rows start.
        near: Which rows have to be compared with which query vector, bool (rows, query vectors); for each query vector
            at least one of each document.
        query: float64 (query vectors, dimensions).
        scores: Where scores go, float32 (documents); 0 for a document without vectors.
        begin: First document.
        end: One past the last.
    """
    row, best = np.empty(matrix.shape[1], dtype=np.float64), np.empty(len(query), dtype=np.float64)
    for document in range(begin, end):
        total = 0.0
        if starts[document] < starts[document + 1]:
            best[:] = -np.inf
            for number in range(starts[document], starts[document + 1]):
                for place in range(len(row)):
                    row[place] = matrix[number, place]
                for vector in range(len(query)):
                    if near[number, vector]:
                        best[vector] = max(best[vector], _product(row, query[vector]))
            for vector in range(len(query)):
                total += best[vector]
        scores[document] = np.float32(total)


@reassociated
def _longest(matrix: Any, first: Any, last: Any) -> Any:
    """The length of the longest of some rows."""
    longest = 0.0
    for row in range(first, last):
        total = 0.0
        for place in range(matrix.shape[1]):
            total += np.float64(matrix[row, place]) * np.float64(matrix[row, place])
        longest = max(longest, total)
    return np.sqrt(longest)


@compiled
def near_by_products(matrix: Any, products: Any, starts: Any, off: Any, near: Any, begin: Any, end: Any) -> None:
    """Which vectors of documents `begin` to `end` may be the nearest to each query vector.

    Args:
        matrix: float32 (rows, dimensions): the documents' vectors one below the other.
        products: float32 (rows, query vectors): their products with the query's vectors, rounded.
        starts: int64 (documents + 1): where each document's rows start.
        off: float32 (query vectors): how far products with a vector of length 1 may be off.
        near: Where it goes, bool (rows, query vectors).
        begin: First document.
        end: One past the last.
    """
    least = np.empty(len(off), dtype=np.float32)
    for document in range(begin, end):
        first, last = starts[document], starts[document + 1]
        least[:] = -np.inf
        for row in range(first, last):
            for vector in range(len(least)):
                least[vector] = max(least[vector], products[row, vector])
        longest = np.float32(_longest(matrix, first, last))
        for vector in range(len(least)):
            least[vector] -= np.float32(2) * off[vector] * longest + _SMALLEST
        for row in range(first, last):
            for vector in range(len(least)):
                near[row, vector] = products[row, vector] >= least[vector]


@inlined
def _bound(products: Any, place: Any, measures: Any, row: Any, errors: Any, lengths: Any, vector: Any) -> Any:
    """What the product of a row with a query vector does not exceed, in the scale of the latter."""
    slack = errors[vector] * measures[1, row] + lengths[vector] * measures[2, row]
    return np.float32(products[place, vector]) * measures[0, row] + slack


@nested
def _upper_bounds(
    products: Any,  # int32 or float32 (at least the document's rows, at least the query vectors)
    measures: Any,  # float32 (3, all rows): scale, length and error of each
    first: Any,  # the document's first row, of all
    last: Any,  # one past its last
    weights: Any,  # float32 (query vectors): the scale of each
    errors: Any,  # float32 (query vectors): how far each is from its codes, in its scale
    lengths: Any,  # float32 (query vectors): the length of its codes, likewise
    query_starts: Any,  # int64 (queries + 1): where each query's vectors start
    uppers: Any,  # float32 (queries): where they go
    best: Any,  # float32 (query vectors): room to work in
) -> None:
    """What a document's scores do not exceed. Four rows at a time, for there is little to do for each."""
    count = len(weights)
    best[:] = 0.0 if first == last else -np.inf
    fours = (last - first) // 4 * 4
    for place in range(0, fours, 4):
        row = first + place
        for vector in range(count):
            a = _bound(products, place, measures, row, errors, lengths, vector)
            b = _bound(products, place + 1, measures, row + 1, errors, lengths, vector)
            c = _bound(products, place + 2, measures, row + 2, errors, lengths, vector)
            d = _bound(products, place + 3, measures, row + 3, errors, lengths, vector)
            best[vector] = max(best[vector], a, b, c, d)
    for place in range(fours, last - first):
        for vector in range(count):
            bound = _bound(products, place, measures, first + place, errors, lengths, vector)
            best[vector] = max(best[vector], bound)
    for query in range(len(query_starts) - 1):
        total = 0.0
        for vector in range(query_starts[query], query_starts[query + 1]):
            total += np.float64(best[vector]) * weights[vector]
        uppers[query] = np.float32(total)


@compiled
def bounds_by_products(
    products: Any,  # float32 (rows, query vectors)
    measures: Any,  # float32 (3, rows): as above, and so the next
    starts: Any,  # int64 (documents + 1): where each document's rows start
    weights: Any,
    errors: Any,
    lengths: Any,
    query_starts: Any,
    uppers: Any,  # float32 (queries, documents): where bounds go
) -> None:
    """What the scores of documents do not exceed, by products of their rows."""
    best = np.empty(len(weights), dtype=np.float32)
    for document in range(len(starts) - 1):
        first, last = starts[document], starts[document + 1]
        found = uppers[:, document]
        _upper_bounds(products[first:last], measures, first, last, weights, errors, lengths, query_starts, found, best)


@nested
def _room(starts: Any, documents: Any, query: Any) -> Any:
    """Room for the products of any of some documents."""
    most = 0
    for document in documents:
        most = max(most, starts[document + 1] - starts[document])
    return np.empty((most + ROWS, query.shape[0] * query.shape[2]), dtype=np.int32)


@compiled
def bounds_by_codes(
    codes: Any,  # int8 (all rows, dimensions)
    measures: Any,  # float32 (3, all rows)
    starts: Any,  # int64 (all documents + 1)
    documents: Any,  # int64: some documents
    packed: Any,  # int8, and the next int32: the query vectors' codes as `int8_products` reads them
    sums: Any,
    weights: Any,  # as above, and so the others
    errors: Any,
    lengths: Any,
    query_starts: Any,
    uppers: Any,  # float32 (queries, some documents)
) -> None:
    """What the scores of documents do not exceed, by their codes. Products of one document are kept at a time."""
    products, best = _room(starts, documents, packed), np.empty(len(weights), dtype=np.float32)
    for number in range(len(documents)):
        first, last = starts[documents[number]], starts[documents[number] + 1]
        int8_products(codes, first, last, packed, sums, products)
        found = uppers[:, number]
        _upper_bounds(products, measures, first, last, weights, errors, lengths, query_starts, found, best)


@inlined
def _product_and_slack(
    products: Any, place: Any, measures: Any, row: Any, weights: Any, errors: Any, lengths: Any, vector: Any
) -> Any:
    """The product of a row with a query vector whose codes have two parts, and its slack."""
    first, second = np.float32(products[place, vector]), np.float32(products[place, weights.shape[1] + vector])
    product = (first * weights[0, vector] + second * weights[1, vector]) * measures[0, row]
    return product, errors[vector] * measures[1, row] + lengths[vector] * measures[2, row]


@compiled
def near_rows(
    codes: Any,  # int8 (all rows, dimensions)
    measures: Any,  # float32 (3, all rows): as above, and so the next
    starts: Any,  # int64 (all documents + 1)
    documents: Any,  # int64: some documents
    packed: Any,  # int8, and the next int32: codes of two parts, those of the first of all query vectors before others
    sums: Any,
    weights: Any,  # float32 (2, query vectors)
    errors: Any,  # float32 (query vectors): how far each is from its codes
    lengths: Any,  # float32 (query vectors): the length of its codes
    least: Any,  # a score that a document has to reach
    rows: Any,  # int64 (rows of these documents): where the rows that are to be compared go
    near: Any,  # bool (rows of these documents, query vectors): where it goes with which query vectors
    near_starts: Any,  # int64 (these documents + 1): where it goes where those of each document start
    reaching: Any,  # bool (these documents): where it goes whether a document may reach `least`
) -> None:
    """Which of a document's vectors may be the nearest to each query vector; none of a document that is out."""
    size, count = 0, weights.shape[1]
    products = _room(starts, documents, packed)
    lowers, uppers = np.empty(count, dtype=np.float32), np.empty(count, dtype=np.float32)
    near_starts[0] = 0
    for number in range(len(documents)):
        first, last = starts[documents[number]], starts[documents[number] + 1]
        int8_products(codes, first, last, packed, sums, products)
        lowers[:] = 0.0 if first == last else -np.inf
        uppers[:] = lowers
        for row in range(first, last):
            for vector in range(count):
                product, slack = _product_and_slack(
                    products, row - first, measures, row, weights, errors, lengths, vector
                )
                lowers[vector] = max(lowers[vector], product - slack)
                uppers[vector] = max(uppers[vector], product + slack)
        total = 0.0
        for vector in range(count):
            total += uppers[vector]
        reaching[number] = total >= least
        for row in range(first, last if reaching[number] else first):
            wanted = False
            for vector in range(count):
                product, slack = _product_and_slack(
                    products, row - first, measures, row, weights, errors, lengths, vector
                )
                near[size, vector] = product + slack >= lowers[vector]
                wanted = wanted or near[size, vector]
            if wanted:
                rows[size] = row
                size += 1
        near_starts[number + 1] = size
