"""Rows read from disk are the rows of the matrix, whatever is asked for."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rankloom.retrieval.vectors.row_reader import RowReader
from rankloom.retrieval.vectors.vector_parts import VectorParts

MATRIX = np.random.default_rng(2).standard_normal((300, 7)).astype(np.float32)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "vectors.npy"
    np.save(path, MATRIX)
    with RowReader(path) as opened:
        yield opened


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 299), max_size=80))
def test_rows_are_those_of_the_matrix(reader, rows):
    found = reader.take(np.array(rows, dtype=np.int64))
    assert found.dtype == np.float32
    assert found.tolist() == MATRIX[rows].reshape(-1, 7).tolist()


def test_neighbours_are_read_together_and_no_row_twice(reader, monkeypatch):
    read = []
    preadv = os.preadv

    def counting(descriptor, buffers, offset):
        read.append(sum(len(buffer) for buffer in buffers))
        return preadv(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", counting)
    reader.take(np.array([9, 5, 7, 6, 5, 100, 7]))
    assert read == [3 * 28, 28, 28]


def test_a_read_that_stops_short_goes_on(reader, monkeypatch):
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda file, buffers, offset: preadv(file, [buffers[0][:10]], offset))
    assert reader.take(np.arange(20)).tolist() == MATRIX[:20].tolist()


def test_threads_read_at_once(reader):
    asked = [np.random.default_rng(seed).integers(0, 300, 50) for seed in range(40)]
    with ThreadPoolExecutor(4) as pool:
        for rows, found in zip(asked, pool.map(reader.take, asked), strict=True):
            assert found.tolist() == MATRIX[rows].tolist()


@pytest.mark.parametrize("row", [-1, 300])
def test_a_row_that_is_not_there_is_an_error(reader, row):
    with pytest.raises(IndexError, match="from 0 to 299"):
        reader.take(np.array([3, row]))


@pytest.mark.parametrize(
    "matrix", [MATRIX.astype(np.float64), np.asfortranarray(MATRIX), MATRIX[0]], ids=["float64", "fortran", "vector"]
)
def test_another_kind_of_array_is_an_error(matrix, tmp_path):
    np.save(tmp_path / "other.npy", matrix)
    with pytest.raises(ValueError, match="no matrix of float32"):
        RowReader(tmp_path / "other.npy")


def test_a_cut_file_is_an_error(tmp_path):
    path = tmp_path / "cut.npy"
    np.save(path, MATRIX)
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(OSError, match="shorter than its header"):
        RowReader(path)


def test_a_file_that_becomes_shorter_is_an_error(tmp_path):
    path = tmp_path / "shrinking.npy"
    np.save(path, MATRIX)
    reader = RowReader(path)
    os.truncate(path, 1000)
    with pytest.raises(OSError, match="become shorter"):
        reader.take(np.array([299]))


def test_parts_on_disk_are_read_like_one_matrix(tmp_path):
    paths = [tmp_path / "first.npy", tmp_path / "second.npy"]
    for path, part in zip(paths, (MATRIX[:120], MATRIX[120:]), strict=True):
        np.save(path, part)
    parts = VectorParts.on_disk(paths)
    rows = np.random.default_rng(3).integers(0, 300, 200)
    assert parts.take(rows).tolist() == MATRIX[rows].tolist()
    assert VectorParts.on_disk(paths[:1]).take(rows[rows < 120]).tolist() == MATRIX[rows[rows < 120]].tolist()
    assert [first for first, _ in parts.blocks(100)] == [0, 100, 120, 220]


def test_it_takes_no_memory_of_the_process(tmp_path):
    status = "/proc/self/status"
    if not os.path.exists(status):  # noqa: PTH110
        pytest.skip("the system does not say what is resident")

    def resident():
        with open(status, encoding="ascii") as lines:  # noqa: PTH123
            return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

    path = tmp_path / "large.npy"
    np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(40_000, 256)).flush()
    reader = RowReader(path)
    before = resident()
    for start in range(0, 40_000, 500):
        reader.take(np.arange(start, start + 500))
    assert resident() - before < 10_000  # kB, of 40,000
