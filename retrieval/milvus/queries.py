"""What queries ask a collection: vectors, weights of dimensions, or texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rankloom.encoders import Encoded, readable, truncation_notes
from rankloom.errors import UsageError
from rankloom.ledger import Note
from rankloom.records import Query
from rankloom.retrieval.milvus.collection import MilvusCollection
from rankloom.retrieval.milvus.connection import STAGE
from rankloom.retrieval.milvus.rows import Dimensions
from rankloom.retrieval.query_vectors import encode_queries
from rankloom.retrieval.sparse_encoder import SparseEncoder, TermEncoder
from rankloom.session import Session
from rankloom.weighted_terms import Terms


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


def dense_vectors(collection: MilvusCollection, queries: Sequence[Query], session: Session) -> Encoded:
    """A vector for each query; see `encode_queries`."""
    space, dimensions = collection.space, collection.contents.dimensions
    return encode_queries(queries, collection.dense_encoder, session, space=space, dimensions=dimensions, stage=STAGE)


def ask_dense(collection: MilvusCollection, queries: Sequence[Query], session: Session) -> Asked:
    """What queries ask of the dense vectors; a query without a vector and a text asks nothing."""
    values: list[Any] = [None] * len(queries)
    places = [place for place, query in enumerate(queries) if query.vectors or query.text.strip()]
    asking = [queries[place] for place in places]
    encoded = dense_vectors(collection, asking, session)
    notes = truncation_notes(session, asking, encoded.truncated, stage=STAGE)
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
        None if not weights and not query.text.strip() else places.of(weights, otherwise=places.nothing_asked)
        for query, weights in zip(queries, terms, strict=True)
    ]
    return Asked(values, truncation_notes(session, queries, truncated, stage=STAGE), calls, tokens)


def ask_bm25(queries: Sequence[Query]) -> Asked:
    """What queries ask of the texts; a query without text asks nothing."""
    return Asked([readable(query.text) if query.text.strip() else None for query in queries], [])
