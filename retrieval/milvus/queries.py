"""What queries ask a collection: vectors, weights of dimensions, or texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankloom.encoders import Encoded, readable, truncation_note
from rankloom.errors import CompositionError, DataError, UsageError
from rankloom.ledger import Note
from rankloom.records import Query
from rankloom.retrieval.milvus.collection import MilvusCollection
from rankloom.retrieval.milvus.connection import STAGE
from rankloom.retrieval.milvus.rows import Dimensions
from rankloom.retrieval.sparse_encoder import SparseEncoder, TermEncoder, Terms
from rankloom.session import Session


class Asked(NamedTuple):
    """What some queries ask of one field.

    Args:
        values: For each query what Milvus is sent; None where nothing is to be looked for.
        notes: Texts that were longer than a model reads.
        calls: Batches that went through a model.
        tokens: Tokens that it read.
    """

    values: list[Any]
    notes: list[Note]
    calls: int = 0
    tokens: int = 0


def dense_vectors(
    collection: MilvusCollection, queries: Sequence[Query], session: Session
) -> tuple[Encoded, list[Note]]:
    """A vector for each query, its own or that of its text, and notes of texts that were cut.

    Raises:
        CompositionError: A query has only vectors of other spaces.
        DataError: A query's vector has not the collection's dimensions, or is not finite.
    """
    dimensions = collection.contents.dimensions
    vectors = np.zeros((len(queries), dimensions), dtype=np.float32)
    tokens, truncated = np.zeros(len(queries), dtype=np.int64), np.zeros(len(queries), dtype=np.int64)
    texts = [number for number, query in enumerate(queries) if not query.vectors]
    for number, query in enumerate(queries):
        if query.vectors:
            vectors[number] = _given(query, collection.space, dimensions)
    calls = 0
    if texts and collection.encoder is not None:
        collection.encoder.resolve(session)
        collection.check_encoders()
        some = collection.encoder.encode([queries[number].text for number in texts], role="query", session=session)
        vectors[texts], tokens[texts], truncated[texts], calls = some
    return Encoded(vectors, tokens, truncated, calls), _cut(queries, truncated, session)


def ask_dense(collection: MilvusCollection, queries: Sequence[Query], session: Session) -> Asked:
    """What queries ask of the dense vectors; a blank query asks nothing."""
    values: list[Any] = [None] * len(queries)
    places = [place for place, query in enumerate(queries) if not query.blank]
    encoded, notes = dense_vectors(collection, [queries[place] for place in places], session)
    for place, vector in zip(places, encoded.vectors, strict=True):
        values[place] = vector
    return Asked(values, notes, encoded.calls, int(encoded.tokens.sum()))


def ask_sparse(
    collection: MilvusCollection, queries: Sequence[Query], session: Session, encoder: TermEncoder | None
) -> Asked:
    """What queries ask of the learned sparse vectors: their terms if they bring some, or those of their texts.

    Raises:
        UsageError: The encoder of queries is of another space than the collection.
    """
    terms: list[Terms] = [query.terms or {} for query in queries]
    texts = [place for place, query in enumerate(queries) if query.terms is None and query.text.strip()]
    truncated = np.zeros(len(queries), dtype=np.int64)
    if collection.sparse is None:
        return Asked([None] * len(queries), [])
    encoder = encoder or collection.sparse
    calls, tokens = 0, 0
    if texts:
        if isinstance(encoder, SparseEncoder):
            encoder.resolve(session)
            if encoder.space != collection.contents.space:
                raise UsageError(
                    "the collection was made with another sparse model",
                    stage=STAGE,
                    value=encoder.model,
                    accepted=collection.contents.sparse_model,
                )
        some = encoder.encode([queries[place].text for place in texts], role="query", session=session)
        for place, found in zip(texts, some.terms, strict=True):
            terms[place] = found
        truncated[texts], calls, tokens = some.truncated, some.calls, int(some.tokens.sum())
    places = Dimensions(collection.sparse, session)
    values = [
        None if query.blank and not weights else places.of(weights, otherwise=places.nothing_asked)
        for query, weights in zip(queries, terms, strict=True)
    ]
    return Asked(values, _cut(queries, truncated, session), calls, tokens)


def ask_bm25(queries: Sequence[Query]) -> Asked:
    """What queries ask of the texts; a blank query asks nothing."""
    return Asked([None if query.blank else readable(query.text) for query in queries], [])


def _given(query: Query, space: str, dimensions: int) -> NDArray[np.float32]:
    """The vector that feedback has written into a query."""
    vector = query.vectors.get(space)
    if vector is None:
        raise CompositionError(
            "the query holds vectors of another encoder",
            stage=STAGE,
            value=", ".join(query.vectors),
            accepted=space,
            fix="put a retriever over the same vectors behind the feedback",
        )
    if np.shape(vector) != (dimensions,) or not np.isfinite(vector).all():
        raise DataError(f"the query's vector must hold {dimensions} finite numbers", stage=STAGE, value=query.id)
    return np.asarray(vector, dtype=np.float32)


def _cut(queries: Sequence[Query], truncated: NDArray[np.int64], session: Session) -> list[Note]:
    """Notes of queries that were longer than a model reads."""
    return [
        truncation_note(session, stage=STAGE, tokens=int(truncated[place]), query_id=queries[place].id)
        for place in np.flatnonzero(truncated).tolist()
    ]
