"""Centroids: how many, learned from what, and which is nearest."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.errors import DataError, UsageError
from rankloom.retrieval.token_index.centroids import POINTS, Centroids, number_of_centroids, samples
from rankloom.retrieval.vectors.vector_parts import VectorParts


def blobs(seed, count, each, dimensions=8, noise=0.02):
    """Points around `count` directions, of length 1, and the direction of each."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((count, dimensions))
    owners = np.tile(np.arange(count), each)
    points = centres[owners] / np.linalg.norm(centres[owners], axis=1, keepdims=True)
    points += noise * rng.standard_normal(points.shape)
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32), owners


@pytest.mark.parametrize(
    ("rows", "count"),
    [(0, 0), (1, 1), (100, 100), (256, 256), (10_000, 1024), (2_000_000, 16_384), (640_000, 8192), (10**9, 262_144)],
)
def test_the_number_of_centroids_is_plaids_but_never_more_than_there_are_rows(rows, count):
    assert number_of_centroids(rows) == count


@pytest.mark.parametrize("asked", [0, -1, 11, 2.5, True])
def test_numbers_that_can_not_be_are_refused(asked):
    with pytest.raises(UsageError, match="centroids"):
        number_of_centroids(10, asked)


def test_clear_clusters_are_found():
    points, owners = blobs(1, 12, 100)
    centroids = Centroids.learned(points, 40, normalized=True)
    assert centroids.normalized
    np.testing.assert_allclose(np.linalg.norm(centroids.matrix, axis=1), 1, atol=1e-6)
    nearest = centroids.nearest(points)
    # 40 centroids for 12 clusters: each may have several, none may reach over two
    assert all(len(set(owners[nearest == one])) == 1 for one in set(nearest))


@pytest.mark.parametrize("length", [1, 7])
def test_the_nearest_is_that_of_a_brute_force_search(length):
    rng = np.random.default_rng(2)
    points = (length * rng.standard_normal((700, 6))).astype(np.float32)
    centroids = Centroids.learned(points, 30, normalized=False)
    assert not centroids.normalized
    distances = ((points[:, None].astype(np.float64) - centroids.matrix[None]) ** 2).sum(axis=2)
    np.testing.assert_array_equal(centroids.nearest(points), distances.argmin(axis=1))


def test_the_same_seed_gives_the_same_and_another_seed_does_not():
    points, _ = blobs(3, 20, 50, noise=0.3)
    one, same, other = (Centroids.learned(points, 16, normalized=True, seed=seed).matrix for seed in (1, 1, 2))
    assert one.tobytes() == same.tobytes() != other.tobytes()


@pytest.mark.parametrize("length", [0.0, 1.5])
def test_every_row_is_looked_at_for_its_length(length):
    points, _ = blobs(4, 50, 200, dimensions=32)
    rounded = points.astype(np.float16).astype(np.float32)
    assert samples(VectorParts([rounded]), 4).normalized
    for row in (0, 5_003, 9_999):
        changed = rounded.copy()
        changed[row] *= length
        drawn = samples(VectorParts([changed[:8_000], changed[8_000:]]), 4)
        assert len(drawn.learned) + len(drawn.held_out) == 4 * POINTS  # few of the rows
        assert not drawn.normalized


def test_samples_are_seeded_spread_and_held_out():
    matrix = np.arange(128_000, dtype=np.float32)[:, None]
    rows = VectorParts([matrix[:30_001], matrix[30_001:]])
    learned, held_out, _ = samples(rows, 100)
    assert len(learned) + len(held_out) == 100 * POINTS
    assert len(held_out) == 100 * POINTS // 20
    together = np.sort(np.concatenate([learned, held_out])[:, 0])
    assert len(set(together)) == len(together)  # none is held out and learned from
    np.testing.assert_array_equal(together // 20, np.arange(len(together)))
    assert learned.base is held_out.base  # drawn into one array, and not copied to be divided
    again, other = samples(rows, 100).learned, samples(rows, 100, seed=9).learned
    assert learned.tobytes() == again.tobytes() != other.tobytes()


@given(rows=st.integers(0, 40), share=st.floats(0, 1), same=st.booleans())
@settings(max_examples=40, deadline=None)
def test_few_rows_and_equal_rows(rows, share, same):
    matrix = np.random.default_rng(rows).standard_normal((rows, 3)).astype(np.float32)
    if same and rows:
        matrix[:] = matrix[0]
    count = min(rows, 1 + int(share * rows))
    learned, held_out, normalized = samples(VectorParts([matrix]), count)
    assert len(learned) >= count
    assert len(held_out) or not rows
    centroids = Centroids.learned(learned, count, normalized=normalized)
    assert centroids.matrix.shape == (count, 3)
    assert np.isfinite(centroids.matrix).all()
    nearest = centroids.nearest(matrix)
    assert nearest.shape == (rows,)
    assert ((nearest >= 0) & (nearest < max(count, 1))).all()


def test_numbers_that_are_not_finite_are_refused_by_row():
    matrix = np.ones((9_000, 2), dtype=np.float32)
    matrix[8_500, 1] = np.nan
    with pytest.raises(DataError, match="finite"):
        samples(VectorParts([matrix]), 4)
