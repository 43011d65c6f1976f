"""Windows of documents against what the definition says of each token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankloom.rerank.document_windows import document_windows


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (0, []),
        (1, [(0, 1, 7)]),
        (49, [(0, 49, 7)]),
        (50, [(0, 50, 7)]),
        (51, [(0, 51, 7), (43, 51, 0)]),
        (57, [(0, 57, 7), (43, 57, 0)]),
        (58, [(0, 57, 7), (43, 58, 0)]),
        (100, [(0, 57, 7), (43, 100, 0)]),
        (101, [(0, 57, 7), (43, 101, 0), (93, 101, 0)]),
    ],
)
def test_windows_of_the_published_sizes(length, expected):
    assert document_windows(length, core=50, overlap=7) == expected


@given(length=st.integers(0, 200), core=st.integers(1, 60), overlap=st.integers(0, 70))
def test_windows_are_cores_with_what_lies_around_them(length, core, overlap):
    windows = document_windows(length, core=core, overlap=overlap)
    cores = [[token for token in range(length) if token // core == number] for number in range(-(-length // core))]
    assert len(windows) == len(cores)
    for number, (window, own) in enumerate(zip(windows, cores, strict=True)):
        around = range(number * core - overlap, (number + 1) * core + overlap)
        inside = [token for token in around if 0 <= token < length]
        assert list(range(window.begin, window.end)) == inside
        assert set(own) <= set(inside)
        assert window.before == sum(token < 0 for token in around if token < own[0])
