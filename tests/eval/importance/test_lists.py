import numpy as np
import pytest

from rankloom.errors import DataError, UsageError
from rankloom.eval.importance import UNKNOWN, UtilityLists


def lists(**changes):
    given = {
        "utilities": np.array([[1.0, 0.5], [0.0, 0.0]]),
        "sources": np.array([[0, UNKNOWN], [1, 1]]),
        "mask": np.array([[True, True], [True, False]]),
        "names": ("a", "b"),
    }
    return UtilityLists(**{**given, **changes})


def test_unknown_items_exist_and_padding_does_not():
    assert lists().existence(np.array([0.25, 0.0])).tolist() == [[0.25, 1.0], [0.0, 0.0]]
    assert lists().lengths().tolist() == [2, 1]


def test_sums_by_source_leave_out_unknown_items_and_padding():
    assert lists().by_source(np.array([[1.0, 2.0], [4.0, 8.0]])).tolist() == [1.0, 4.0]


@pytest.mark.parametrize("utility", [-0.1, 1.1, np.nan, np.inf])
def test_utilities_outside_0_to_1_are_refused(utility):
    with pytest.raises(DataError, match="a utility is out of range"):
        lists(utilities=np.array([[utility, 0.0], [0.0, 0.0]]))


@pytest.mark.parametrize("source", [-2, 2])
def test_sources_without_a_name_are_refused(source):
    with pytest.raises(DataError, match="a source is not among the names"):
        lists(sources=np.array([[source, 0], [0, 0]]))


def test_names_and_shapes_are_checked():
    with pytest.raises(DataError, match=r"named twice; got 'a'"):
        lists(names=("a", "a"))
    with pytest.raises(UsageError, match="one shape"):
        lists(mask=np.ones((2, 3), dtype=bool))
    with pytest.raises(UsageError, match="one query id"):
        lists(query_ids=("q1",))
