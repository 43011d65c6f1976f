"""Storage of token vectors: what comes back, what it costs, in memory and from files."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.errors import DataError
from rankloom.retrieval.token_index.storage import Float16Storage, Int8Storage
from rankloom.retrieval.vectors.vector_parts import VectorParts

KINDS = [Float16Storage, Int8Storage]


def rows_of(seed, count, dimensions=12, scale=1.0):
    return (np.random.default_rng(seed).standard_normal((count, dimensions)) * scale).astype(np.float32)


def close(kind, got, matrix):
    """Whether numbers are as near as the kind promises: half of its last place."""
    if kind is Float16Storage:
        return np.abs(got - matrix) <= np.maximum(np.abs(matrix) * 2.0**-11, 2.0**-25)
    step = np.abs(matrix).max(axis=1, keepdims=True) / 127
    return np.abs(got - matrix) <= step * 0.5001


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_kept_comes_back_from_memory_and_from_files(kind, tmp_path):
    matrix = rows_of(1, 20_000)
    parts = VectorParts([matrix[:9_001], matrix[9_001:]])
    in_memory, built = kind.build(parts), kind.build(parts, folder=tmp_path)
    read = kind.read(tmp_path, in_memory.settings())
    everything = np.concatenate([block for _, block in in_memory.blocks(777)])
    assert close(kind, everything, matrix).all()
    assert [first for first, _ in in_memory.blocks(7_000)] == [0, 7_000, 14_000]
    some = np.array([19_999, 3, 3, 9_001])
    for kept in (in_memory, built, read):
        assert (len(kept), kept.dimensions, kept.nbytes) == (20_000, 12, in_memory.nbytes)
        assert kept.take(some).tobytes() == everything[some].tobytes()
        assert kept.take(some).dtype == np.float32
        np.testing.assert_array_equal(np.concatenate([block for _, block in kept.blocks()]), everything)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == in_memory.nbytes + 128 * len(
        list(tmp_path.iterdir())
    )


def test_bytes():
    matrix = rows_of(2, 10, 128)
    assert Float16Storage.build(VectorParts([matrix])).nbytes == 10 * 256
    assert Int8Storage.build(VectorParts([matrix])).nbytes == 10 * 132


@pytest.mark.parametrize("kind", KINDS)
def test_no_vectors(kind, tmp_path):
    parts = VectorParts([np.zeros((0, 5), dtype=np.float32)])
    for kept in (kind.build(parts), kind.build(parts, folder=tmp_path), kind.read(tmp_path, {})):
        assert (len(kept), kept.dimensions, kept.nbytes, list(kept.blocks(3))) == (0, 5, 0, [])
        assert kept.take(np.zeros(0, dtype=np.int64)).shape == (0, 5)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 30), st.floats(-12, 4))
def test_errors_are_within_half_a_step(kind, seed, count, dimensions, magnitude):
    if kind is Float16Storage:
        magnitude = max(magnitude, -4.0)  # others are refused
    matrix = rows_of(seed, count, dimensions, 10.0**magnitude)
    matrix[:, 0] = np.abs(matrix[:, 0]) + np.float32(10.0**magnitude)  # no vector is all but nothing
    matrix[::3] = 0
    assert close(kind, kind.build(VectorParts([matrix])).take(np.arange(count)), matrix).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_numbers_that_can_not_be_kept_are_refused(kind, bad):
    matrix = rows_of(3, 5)
    matrix[4, 2] = bad
    with pytest.raises(DataError, match="row 4"):
        kind.build(VectorParts([matrix]))


def test_float16_refuses_what_int8_holds():
    matrix = np.array([[1e5, 1.0]], dtype=np.float32)
    with pytest.raises(DataError, match="int8"):
        Float16Storage.build(VectorParts([matrix]))
    np.testing.assert_allclose(Int8Storage.build(VectorParts([matrix])).take(np.array([0])), [[1e5, 0]], rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 2e-8, 1e-7])
def test_float16_refuses_vectors_of_which_little_would_be_left(scale):
    matrix = rows_of(6, 9000)
    matrix[:, 3] = 1e-9  # a small number of a vector that is not small is nothing to miss
    Float16Storage.build(VectorParts([matrix]))
    matrix[7] = 0
    Float16Storage.build(VectorParts([matrix]))
    matrix[8999] = np.float32(scale)
    with pytest.raises(DataError, match=r"too short for float16[\s\S]*row 8999[\s\S]*int8"):
        Float16Storage.build(VectorParts([matrix]))
    kept = Int8Storage.build(VectorParts([matrix])).take(np.array([8999]))
    np.testing.assert_allclose(kept, matrix[[8999]], rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files(kind, tmp_path):
    kind.build(VectorParts([rows_of(4, 50)]), folder=tmp_path)
    file = min(tmp_path.iterdir())
    np.save(file, np.zeros((50, 12)))
    with pytest.raises(ValueError, match="float64"):
        kind.read(tmp_path, {})
    file.unlink()
    with pytest.raises(OSError, match=file.name):
        kind.read(tmp_path, {})


def test_scales_of_other_vectors(tmp_path):
    Int8Storage.build(VectorParts([rows_of(5, 50)]), folder=tmp_path)
    np.save(tmp_path / "scales.npy", np.ones(49, dtype=np.float32))
    with pytest.raises(ValueError, match=r"scales\.npy"):
        Int8Storage.read(tmp_path, {})


def test_every_float16_comes_back_exactly():
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)].reshape(-1, 16)
    kept = Float16Storage(finite)
    assert kept.decoded(slice(0, len(finite))).tobytes() == finite.astype(np.float32).tobytes()
