"""Exact scores against MaxSim in float64 over all pairs of vectors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.retrieval.token_index.scoring import score_documents
from rankloom.retrieval.token_index.storage import Float16Storage, Int8Storage
from rankloom.retrieval.vectors.crew import Crew
from rankloom.retrieval.vectors.vector_parts import VectorParts


def by_hand(storage, offsets, query, documents):
    """MaxSim in float64, one document at a time."""
    vectors, wide = storage.decoded(slice(0, len(storage))).astype(np.float64), query.astype(np.float64)
    scores = []
    for document in documents:
        own = vectors[offsets[document] : offsets[document + 1]]
        scores.append((own @ wide.T).max(axis=0).sum() if len(own) and len(wide) else 0.0)
    return np.array(scores)


@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=12),
    tokens=st.integers(0, 20),
    dimensions=st.integers(1, 20),
    seed=st.integers(0, 999),
    near=st.sampled_from([0.0, 1e-3, 1.0]),
    size=st.sampled_from([1e-2, 1.0, 1e3]),
    kind=st.sampled_from([Float16Storage, Int8Storage]),
    workers=st.sampled_from([1, 2]),
)
@settings(max_examples=150, deadline=None)
def test_scores_are_those_of_float64(lengths, tokens, dimensions, seed, near, size, kind, workers):  # noqa: PLR0917
    """Also where a document's vectors are so much alike that float32 does not tell them apart."""
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    base = rng.standard_normal(dimensions)
    matrix = (size * (base + near * rng.standard_normal((offsets[-1], dimensions)))).astype(np.float32)
    matrix[np.abs(matrix) < 1e-4] = 0  # float16 refuses vectors that it would lose
    query = rng.standard_normal((tokens, dimensions)).astype(np.float32)
    storage = kind.build(VectorParts([matrix]))
    documents = rng.permutation(len(lengths)).astype(np.int32)
    with Crew(workers) as crew:
        scores = score_documents(storage, offsets, query, documents, crew)
    wanted = by_hand(storage, offsets, query, documents)
    assert scores.dtype == np.float32
    # float64's own rounding, and that to float32; terms of a sum may cancel
    terms = np.abs(query).sum() * np.abs(matrix).max(initial=0) + 1e-30
    np.testing.assert_allclose(scores, wanted, rtol=6e-8, atol=1e-14 * terms)


@pytest.mark.parametrize("count", [1, 7, 100])
def test_a_score_depends_on_nothing_but_two_texts(count):
    rng = np.random.default_rng(1)
    offsets = np.arange(0, 3001, 30)
    storage = Float16Storage.build(VectorParts([rng.standard_normal((3000, 48)).astype(np.float32)]))
    query = rng.standard_normal((17, 48)).astype(np.float32)
    everything = np.arange(100, dtype=np.int32)
    with Crew(1) as crew:
        whole = score_documents(storage, offsets, query, everything, crew)
        some = rng.permutation(everything)[:count]
        assert score_documents(storage, offsets, query, some, crew).tobytes() == whole[some].tobytes()
