"""Several matrices, read as one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankloom.retrieval.vectors.vector_parts import VectorParts


@given(st.lists(st.integers(0, 9), min_size=1, max_size=4), st.integers(1, 7), st.randoms())
def test_rows_are_those_of_one_matrix(sizes, block, random):
    whole = np.arange(3 * sum(sizes), dtype=np.float32).reshape(-1, 3)
    held = VectorParts(np.split(whole, np.cumsum(sizes)[:-1]))
    rows = np.array([random.randrange(len(whole)) for _ in range(5)] if len(whole) else [], dtype=np.int64)
    assert (len(held), held.dimensions, held.nbytes) == (len(whole), 3, whole.nbytes)
    np.testing.assert_array_equal(held.take(rows), whole[rows])
    seen = [(start, view.tolist()) for start, view in held.blocks(block)]
    assert [row for _, view in seen for row in view] == whole.tolist()
    assert all(whole[start : start + len(view)].tolist() == view and 0 < len(view) <= block for start, view in seen)


def test_a_row_that_is_not_there_is_an_error():
    with pytest.raises(IndexError):
        VectorParts([np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32)]).take(np.array([4]))
