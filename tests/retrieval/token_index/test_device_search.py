"""MaxSim by torch against brute force; on the processor, and on an accelerator where there is one."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.retrieval.token_index import device_search
from rankloom.retrieval.token_index.centroids import Centroids
from rankloom.retrieval.token_index.device_search import DeviceSearch
from rankloom.retrieval.token_index.device_vectors import DeviceVectors
from rankloom.retrieval.token_index.exact_search import ExactSearch
from rankloom.retrieval.token_index.residual import BITS, ResidualStorage
from rankloom.retrieval.token_index.storage import Float16Storage, Int8Storage
from rankloom.retrieval.vectors.vector_parts import VectorParts
from rankloom.token_vectors import TokenVectors
from tests.retrieval.token_index.brute_force import check, kept, some_texts, texts

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
KINDS = [Float16Storage, Int8Storage, ResidualStorage]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("resident", [True, False, None])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 10, 400])
def test_the_best_are_found(device, resident, kind, k, monkeypatch):
    monkeypatch.setattr(device_search, "_PRODUCTS", 3000)
    monkeypatch.setattr(device_search, "_NUMBERS", 2000)
    monkeypatch.setattr(device_search, "_VECTORS", 12)
    storage, offsets = kept(kind, some_texts(1, 350, 12))
    check(DeviceSearch(storage, offsets, device, resident=resident), storage, offsets, some_texts(2, 9, 7), k)


@pytest.mark.parametrize("device", DEVICES)
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 30))
def test_ties_go_by_document(device, seed, count, k):
    # few different small whole numbers, which float16 holds: sums are exact, and most documents tie
    rng = np.random.default_rng(seed)
    most, levels = rng.integers(0, 6), rng.integers(1, 3)
    documents = [rng.integers(-levels, levels + 1, (n, 3)).astype(np.float32) for n in rng.integers(0, most + 1, count)]
    queries = [rng.integers(-levels, levels + 1, (n, 3)).astype(np.float32) for n in (1, 2, 0, 5)]
    storage, offsets = kept(Float16Storage, documents, 3)
    check(DeviceSearch(storage, offsets, device), storage, offsets, queries, k)


@pytest.mark.parametrize("device", DEVICES)
def test_long_and_short_vectors(device):
    rng = np.random.default_rng(5)
    documents = [one * 10.0 ** rng.uniform(-9, 9, (len(one), 1)) for one in some_texts(6, 400, 6)]
    storage, offsets = kept(Int8Storage, [one.astype(np.float32) for one in documents])
    queries = [one * 10.0 ** rng.uniform(-9, 9, (len(one), 1)) for one in texts(7, [1, 4, 9])]
    queries = [one.astype(np.float32) for one in queries]
    check(DeviceSearch(storage, offsets, device), storage, offsets, queries, 20)


@pytest.mark.parametrize("device", DEVICES)
def test_torch_may_be_told_to_be_quick(device):
    storage, offsets = kept(Float16Storage, some_texts(8, 500, 9))
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        check(DeviceSearch(storage, offsets, device), storage, offsets, some_texts(9, 12, 6), 15)
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("tokens", [1, 40])
def test_few_vectors_are_on_the_device_at_a_time(device, tokens, monkeypatch):
    monkeypatch.setattr(device_search, "_NUMBERS", 160)
    seen, decoded = [], DeviceVectors.decoded

    def watched(self, rows):
        seen.append(decoded(self, rows))
        return seen[-1]

    monkeypatch.setattr(DeviceVectors, "decoded", watched)
    storage, offsets = kept(Float16Storage, texts(14, [3] * 100))
    check(DeviceSearch(storage, offsets, device), storage, offsets, texts(15, [tokens]), 5)
    assert max(block.numel() for block in seen) <= 160


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize(("dimensions", "length"), [(16, 1), (13, 1), (16, None)])
def test_residuals_are_decoded_where_they_are_multiplied(device, resident, bits, dimensions, length, monkeypatch):  # noqa: PLR0917
    matrix = texts(16, [3000], dimensions)[0]
    matrix = matrix / np.linalg.norm(matrix, axis=1, keepdims=True) if length else matrix
    storage = ResidualStorage.build(VectorParts([matrix]), bits=bits, centroids=64)
    for codes in (storage.codes, storage.codes.astype(np.int32)):  # few and many centroids
        kept_so = ResidualStorage(storage.centroids, codes, storage.residuals, storage.levels)
        vectors = DeviceVectors(kept_so, device, resident=resident)
        for rows in (slice(100, 900), np.array([2999, 4, 4, 0])):
            wanted = storage.decoded(rows)
            with monkeypatch.context() as patch:
                patch.delattr(ResidualStorage, "decoded")  # the host decodes nothing
                found = vectors.decoded(rows).cpu().numpy()
            np.testing.assert_allclose(found, wanted, rtol=2e-7, atol=1e-8)


@pytest.mark.parametrize("device", DEVICES)
def test_centroids_beyond_those_of_int16_are_found(device):
    centroids = Centroids(np.arange(2 * 40_000, dtype=np.float32).reshape(-1, 2), normalized=False)
    codes, levels = np.array([39_999, 7], dtype=np.uint16), np.array([0.5, 1.5], dtype=np.float32)
    storage = ResidualStorage(centroids, codes, np.array([[2], [1]], dtype=np.uint8), levels)
    found = DeviceVectors(storage, device, resident=True).decoded(slice(0, 2))
    assert found.cpu().tolist() == storage.decoded(slice(0, 2)).tolist() == [[79998.5, 80000.5], [15.5, 15.5]]


def test_nothing_to_find():
    for documents in ([], texts(10, [0, 0])):
        storage, offsets = kept(Float16Storage, documents)
        hits = DeviceSearch(storage, offsets, "cpu").search(TokenVectors.of(texts(11, [3, 0]), 16), 2)
        assert hits.offsets.tolist() == [0, len(documents), len(documents)]
        assert not hits.scores.any()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_an_accelerator_finds_what_the_processor_finds():
    matrix = np.random.default_rng(12).standard_normal((40_000, 128)).astype(np.float32)
    offsets = np.arange(0, 40_001, 40)
    search = ExactSearch.build(Float16Storage.build(VectorParts([matrix])), offsets)
    queries = TokenVectors.of(texts(13, [32, 8, 1], 128), 128)
    there, here = search.search(queries, 50, device="cuda"), search.search(queries, 50)
    np.testing.assert_array_equal(there.codes, here.codes)
    np.testing.assert_allclose(there.scores, here.scores, rtol=3e-7)
    search.close()
