"""Residual storage against a coder that works number by number, and what its bits are worth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.errors import DamagedIndexError, DataError, UsageError
from rankloom.retrieval.token_index.centroids import Centroids, samples
from rankloom.retrieval.token_index.residual import BITS, ResidualStorage
from rankloom.retrieval.vectors.vector_parts import VectorParts


def rows_of(seed, count, dimensions, *, unit=True, scale=1.0):
    """Vectors around a few directions, as those of tokens are."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((20, dimensions))
    matrix = scale * (centres[rng.integers(0, 20, count)] + 0.5 * rng.standard_normal((count, dimensions)))
    if unit:
        matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    return matrix.astype(np.float32)


def brute_force(matrix, bits, count):
    """Codes, and what comes back for each row, number by number."""
    learned, held_out, normalized = samples(VectorParts([matrix]), count)
    centres = Centroids.learned(learned, count, normalized=normalized).matrix

    def nearest(rows):
        return ((rows[:, None].astype(np.float64) - centres) ** 2).sum(axis=2).argmin(axis=1)

    left = np.sort((held_out - centres[nearest(held_out)]).ravel())
    shares = 1 << bits
    cutoffs = [np.float32(np.quantile(left, one / shares)) for one in range(1, shares)]
    levels = [np.float32(np.quantile(left, (one + 0.5) / shares)) for one in range(shares)]
    codes, decoded = nearest(matrix), np.empty_like(matrix)
    for row, code in enumerate(codes):
        for place, centre in enumerate(centres[code]):
            level = sum(bool(matrix[row, place] - centre > cutoff) for cutoff in cutoffs)
            decoded[row, place] = centre + levels[level]
    return codes, decoded


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("dimensions", [5, 16])
@pytest.mark.parametrize("unit", [True, False])
def test_the_codec_is_that_of_a_brute_force_coder(bits, dimensions, unit):
    matrix = rows_of(1, 1500, dimensions, unit=unit)
    stored = ResidualStorage.build(VectorParts([matrix[:1000], matrix[1000:]]), bits=bits, centroids=24)
    codes, decoded = brute_force(matrix, bits, 24)
    if unit:
        decoded /= np.linalg.norm(decoded, axis=1, keepdims=True)
    np.testing.assert_array_equal(stored.codes, codes)
    np.testing.assert_allclose(stored.decoded(slice(0, 1500)), decoded, rtol=3e-7, atol=1e-7)


@pytest.mark.parametrize("unit", [True, False])
def test_the_error_falls_with_bits_and_stays_within_bounds(unit):
    matrix = rows_of(2, 4000, 32, unit=unit, scale=3.0)
    errors = []
    for bits in BITS:
        stored = ResidualStorage.build(VectorParts([matrix]), bits=bits, centroids=64)
        assert stored.centroids.normalized == unit
        decoded = stored.decoded(slice(0, 4000))
        centres = stored.centroids.matrix[stored.codes]
        errors.append(np.linalg.norm(decoded - matrix) / np.linalg.norm(centres - matrix))
        if unit:
            np.testing.assert_allclose(np.linalg.norm(decoded, axis=1), 1, atol=1e-6)
    # of what is left of vectors beside their centroids, a share of: normal numbers coded at quantiles (1 bit: .67
    # standard deviations away from 0, so that .61 is lost) and the tails beyond the last quantile
    assert errors[0] > 1.5 * errors[1] > 1.5 * 1.5 * errors[2]
    assert errors[0] < 0.68
    assert errors[1] < 0.40
    assert errors[2] < 0.18


@pytest.mark.parametrize("bits", BITS)
def test_files_hold_what_memory_holds(bits, tmp_path):
    matrix = rows_of(3, 9000, 12)
    parts = VectorParts([matrix])
    in_memory = ResidualStorage.build(parts, bits=bits)
    built = ResidualStorage.build(parts, bits=bits, folder=tmp_path)
    read = ResidualStorage.read(tmp_path, in_memory.settings())
    everything = in_memory.decoded(slice(0, 9000))
    some = np.array([8999, 3, 3, 17])
    for kept in (in_memory, built, read):
        assert (len(kept), kept.dimensions, kept.bits, kept.nbytes) == (9000, 12, bits, in_memory.nbytes)
        assert kept.settings() == {"bits": bits, "centroids": 1024, "normalized": True}
        assert kept.take(some).tobytes() == everything[some].tobytes()
        assert np.concatenate([block for _, block in kept.blocks(777)]).tobytes() == everything.tobytes()
    assert in_memory.nbytes == 9000 * (2 + -(-12 * bits // 8)) + 1024 * 12 * 4 + 4 * 2**bits


def test_the_same_seed_gives_the_same_bytes():
    parts = VectorParts([rows_of(4, 3000, 8)])
    one, same, other = (ResidualStorage.build(parts, seed=seed) for seed in (1, 1, 2))
    for name in ("codes", "residuals", "levels"):
        assert getattr(one, name).tobytes() == getattr(same, name).tobytes()
    assert one.centroids.matrix.tobytes() != other.centroids.matrix.tobytes()


@given(
    rows=st.integers(0, 30),
    dimensions=st.integers(1, 9),
    bits=st.sampled_from(BITS),
    zeros=st.booleans(),
    same=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_few_rows(rows, dimensions, bits, zeros, same):
    matrix = np.random.default_rng(rows).standard_normal((rows, dimensions)).astype(np.float32)
    if zeros:
        matrix[::2] = 0
    if same and rows:
        matrix[:] = matrix[0]
    stored = ResidualStorage.build(VectorParts([matrix]), bits=bits)
    decoded = stored.decoded(slice(0, rows))
    assert decoded.shape == (rows, dimensions)
    # as many centroids as rows: each comes back as it was
    np.testing.assert_allclose(decoded, matrix, atol=1e-6)
    assert stored.take(np.zeros(0, dtype=np.int64)).shape == (0, dimensions)


@pytest.mark.parametrize("other", [0.0, 0.5, 5.0])
def test_one_row_of_another_length_keeps_its_length_though_it_was_not_drawn(other):
    matrix = rows_of(9, 20_000, 8)
    row = next(row for row in range(20_000) if matrix[row] not in samples(VectorParts([matrix]), 16).learned)
    matrix[row] *= other
    stored = ResidualStorage.build(VectorParts([matrix]), bits=4, centroids=16)
    assert not stored.centroids.normalized
    assert abs(np.linalg.norm(stored.take(np.array([row]))) - 1) > 1e-3


def test_a_row_of_zeros_among_others_is_no_division_by_zero():
    matrix = rows_of(5, 2000, 8)
    matrix[1234] = 0
    stored = ResidualStorage.build(VectorParts([matrix]), bits=4)
    assert np.isfinite(stored.decoded(slice(0, 2000))).all()


@pytest.mark.parametrize("bits", [0, 3, 8, 2.0, True, "2"])
def test_other_bits_are_refused(bits):
    with pytest.raises(UsageError, match="1, 2, 4"):
        ResidualStorage.build(VectorParts([rows_of(6, 10, 4)]), bits=bits)


def test_settings_and_numbers_that_can_not_be_are_refused():
    matrix = rows_of(7, 100, 4)
    with pytest.raises(TypeError, match="bit"):
        ResidualStorage.build(VectorParts([matrix]), bit=2)
    with pytest.raises(UsageError, match="too few"):
        ResidualStorage.build(VectorParts([matrix]), centroids=101)
    matrix[99, 3] = np.inf
    with pytest.raises(DataError, match="finite"):
        ResidualStorage.build(VectorParts([matrix]))


def test_damaged_files_are_told(tmp_path):
    stored = ResidualStorage.build(VectorParts([rows_of(8, 300, 4)]), folder=tmp_path, centroids=16)
    known = stored.settings()

    def damaged(name, array):
        before = (tmp_path / name).read_bytes()
        np.save(tmp_path / name, array)
        with pytest.raises(ValueError, match=name):
            ResidualStorage.read(tmp_path, known)
        (tmp_path / name).write_bytes(before)

    damaged("codes.npy", np.array(stored.codes, dtype=np.int64))
    damaged("residuals.npy", np.array(stored.residuals)[:, :0])
    damaged("residuals.npy", np.array(stored.residuals)[:-1])
    assert len(ResidualStorage.read(tmp_path, known)) == 300
    codes = np.array(stored.codes)
    codes[299] = 16
    np.save(tmp_path / "codes.npy", codes)
    opened = ResidualStorage.read(tmp_path, known)  # reads no more of them than it is asked for
    assert len(opened.decoded(slice(0, 299))) == 299
    with pytest.raises(DamagedIndexError, match=r"codes\.npy"):
        opened.take(np.array([299]))
    (tmp_path / "levels.npy").unlink()
    with pytest.raises(FileNotFoundError):
        ResidualStorage.read(tmp_path, known)
