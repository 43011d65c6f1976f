"""Vectors of queries: those that feedback has written into them, and those of their texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from rankloom.encoders import Encoded, Encoder
from rankloom.errors import CompositionError, DataError
from rankloom.records import Query
from rankloom.session import Session


def encode_queries(
    queries: Sequence[Query],
    encoder: Callable[[Session], Encoder],
    session: Session,
    *,
    space: str,
    dimensions: int,
    stage: str,
) -> Encoded:
    """A vector for each query, its own or that of its text, and what a model did for these.

    Args:
        queries: The queries; the model sees only those without a vector.
        encoder: Loads what encodes, which is called if there is a text.
        session: How to encode.
        space: The key of `Query.vectors` that is read.
        dimensions: How many numbers a vector has.
        stage: Who asks, for errors.

    Raises:
        CompositionError: A query has only vectors of other spaces.
        DataError: A query's vector has not the index's dimensions, or is not finite.
    """
    vectors = np.zeros((len(queries), dimensions), dtype=np.float32)
    tokens, truncated = np.zeros(len(queries), dtype=np.int64), np.zeros(len(queries), dtype=np.int64)
    texts = [number for number, query in enumerate(queries) if not query.vectors]
    for number, query in enumerate(queries):
        if query.vectors:
            vectors[number] = _given(query, space, dimensions, stage)
    calls = 0
    if texts:
        some = encoder(session).encode([queries[number].text for number in texts], role="query", session=session)
        vectors[texts], tokens[texts], truncated[texts], calls = some
    return Encoded(vectors, tokens, truncated, calls)


def _given(query: Query, space: str, dimensions: int, stage: str) -> NDArray[np.float32]:
    """The vector that feedback has written into a query."""
    vector = query.vectors.get(space)
    if vector is None:
        raise CompositionError(
            "the query holds vectors of another encoder",
            stage=stage,
            value=", ".join(query.vectors),
            accepted=space,
            fix="put a retriever over the same vectors behind the feedback",
        )
    if np.shape(vector) != (dimensions,) or not np.isfinite(vector).all():
        raise DataError(f"the query's vector must hold {dimensions} finite numbers", stage=stage, value=query.id)
    return np.asarray(vector, dtype=np.float32)
