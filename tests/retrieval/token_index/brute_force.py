"""MaxSim by brute force, and texts to hold searches against it."""

import numpy as np

from rankloom.retrieval.vectors.vector_parts import VectorParts
from rankloom.token_vectors import TokenVectors


def texts(seed, lengths, dimensions=16, scale=1.0):
    """Vectors of texts of some lengths."""
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal((length, dimensions)) * scale).astype(np.float32) for length in lengths]


def some_texts(seed, count, most, dimensions=16, scale=1.0):
    """Vectors of texts of random lengths, some of them 0."""
    return texts(seed, np.random.default_rng(seed).integers(0, most + 1, count), dimensions, scale)


def kept(kind, documents, dimensions=16):
    """Vectors of documents in a kind of storage, and where each document's start."""
    held = TokenVectors.of(documents, dimensions)
    return kind.build(VectorParts([held.vectors])), held.offsets


def brute_force(storage, offsets, query, k):
    """Codes and scores of the best documents: in float64, rounded once, ties by code."""
    vectors = storage.take(np.arange(len(storage))).astype(np.float64)
    scores = np.zeros(len(offsets) - 1)
    for document in range(len(scores)):
        of_it = vectors[offsets[document] : offsets[document + 1]]
        if len(of_it):
            scores[document] = (query.astype(np.float64) @ of_it.T).max(axis=1).sum()
    scores = scores.astype(np.float32)
    order = np.lexsort((np.arange(len(scores)), -scores))[:k]
    return order, scores[order]


def check(search, storage, offsets, queries, k):
    """Hold a search against brute force."""
    asked = TokenVectors.of(queries, storage.dimensions)
    hits = search.search(asked, k)
    assert len(hits.offsets) == len(queries) + 1
    for number, query in enumerate(queries):
        codes, scores = hits.of(number)
        if not len(query):
            assert not len(codes)
            continue
        expected, expected_scores = brute_force(storage, offsets, query, k)
        np.testing.assert_allclose(scores, expected_scores, rtol=1e-6, atol=1e-6 * float(np.abs(scores).max(initial=0)))
        np.testing.assert_array_equal(codes, expected)
