"""Products of float32 matrices, whatever torch was told about its own."""

import numpy as np
import pytest

from rankloom.retrieval.vectors.float_product import float_product, multiplies_float32

torch = pytest.importorskip("torch")


@pytest.fixture
def matrices():
    rng = np.random.default_rng(1)
    return rng.standard_normal((7, 40)).astype(np.float32), rng.standard_normal((5, 40)).astype(np.float32)


@pytest.fixture
def told_to_be_quick():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision(before)


def test_products_are_float32s(matrices):
    left, right = matrices
    wide = left.astype(np.float64) @ right.astype(np.float64).T
    np.testing.assert_allclose(float_product(left, right), wide, atol=1e-5)
    assert multiplies_float32("mkldnn")
    assert multiplies_float32("cuda")


@pytest.mark.usefixtures("told_to_be_quick")
def test_torch_does_not_multiply_where_it_may_round_before(matrices, monkeypatch):
    def rounding(left, right):
        return torch.matmul(left.bfloat16(), right.bfloat16()).float()

    monkeypatch.setattr(torch, "mm", rounding)  # what processors do that multiply bfloat16 faster
    left, right = matrices
    wide = left.astype(np.float64) @ right.astype(np.float64).T
    np.testing.assert_allclose(float_product(left, right), wide, atol=1e-5)
    assert not multiplies_float32("mkldnn")


def test_settings_that_contradict_each_other_are_taken_for_quick(monkeypatch):
    def contradicting():
        raise RuntimeError("mix of the legacy and new APIs")

    monkeypatch.setattr(torch, "get_float32_matmul_precision", contradicting)
    assert not multiplies_float32("cuda")
