"""The products of int8 rows against NumPy's, in whole numbers."""

import numpy as np
import pytest

from rankloom.retrieval.index.compiled import compiled
from rankloom.retrieval.token_index.int8_kernel import has_instruction, int8_products, packed

pytestmark = pytest.mark.skipif(not has_instruction(), reason="this processor has no instruction for int8 products")


@compiled
def multiplied(codes, part, query, products):
    """The way into a kernel that only kernels call."""
    int8_products(codes, part[0], part[1], query[0], query[1], products)


@pytest.mark.parametrize("queries", [1, 31, 32, 33, 70])
@pytest.mark.parametrize("dimensions", [4, 16, 100, 128, 1024])
def test_products(queries, dimensions):
    rng = np.random.default_rng(queries * dimensions)
    codes = rng.integers(-128, 128, (40, dimensions), dtype=np.int8)
    asked = rng.integers(-128, 128, (queries, dimensions), dtype=np.int8)
    codes[5], codes[6], asked[0] = -128, 127, -128  # the largest sums there are
    query = packed(asked)
    for first, last in ((0, 40), (5, 7), (37, 40), (39, 40), (8, 13), (40, 40)):
        products = np.full((last - first + 4, query[1].size), 7, dtype=np.int32)
        multiplied(codes, (first, last), query, products)
        true = codes[first:last].astype(np.int64) @ asked.T.astype(np.int64)
        np.testing.assert_array_equal(products[: last - first, :queries], true)
        assert (products[: last - first, queries:] == 0).all()


def test_nothing_is_read_past_the_last_row():
    codes = np.ones((8, 16), dtype=np.int8)
    products = np.full((12, 32), 7, dtype=np.int32)
    multiplied(codes, (0, 5), packed(np.ones((1, 16), dtype=np.int8)), products)
    assert products[:5, 0].tolist() == [16] * 5
    assert (products[8:] == 7).all()
