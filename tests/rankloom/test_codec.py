import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.codec import pack, unpack
from rankloom.errors import DataError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
ARRAYS = [
    np.zeros(0, np.float32),
    np.array([0.1, -0.0, np.nan, np.inf, 1e-45], np.float32),
    np.arange(6, dtype=np.int64).reshape(2, 3),
    np.arange(6, dtype=np.float64).reshape(2, 3)[:, ::2],
    np.array(3.5),
    np.array([True, False]),
    np.array([1, 2], dtype=">i4"),
]


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=4))
@settings(deadline=None)
def test_json_values_come_back(values):
    assert unpack(pack(values, {}))[0] == values


@pytest.mark.parametrize("array", ARRAYS, ids=str)
def test_arrays_come_back_bit_for_bit(array):
    data = pack({"before": "é"}, {"first": np.ones(3, np.int8), "it": array, "last": np.ones(1)})
    found = unpack(data)[1]
    assert list(found) == ["first", "it", "last"]
    assert (found["it"].dtype, found["it"].shape) == (array.dtype, array.shape)
    assert found["it"].tobytes() == array.tobytes()
    assert found["last"].tolist() == [1.0]


def test_arrays_that_come_back_can_be_used_like_any_other():
    array = unpack(pack({}, {"odd": np.ones(1, np.int8), "v": np.ones(2, np.float32)}))[1]["v"]
    array[0] = 5
    assert array.flags.aligned


def test_equal_values_are_equal_bytes():
    assert pack({"a": [1, 0.5]}, {"v": np.ones(2)}) == pack({"a": [1, 0.5]}, {"v": np.ones(2)})


def test_damage_anywhere_is_noticed():
    data = pack({"a": 1}, {"v": np.arange(4)})
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 0x10
        with pytest.raises(DataError, match="damaged"):
            unpack(bytes(damaged))


def test_a_missing_end_is_noticed():
    data = pack({"a": 1}, {"v": np.arange(4)})
    for length in range(len(data)):
        with pytest.raises(DataError, match="damaged"):
            unpack(data[:length])
