import re

from hypothesis import given
from hypothesis import strategies as st

from rankloom.prf.words import count_words, first_words, windows

TEXTS = st.text(alphabet="ab é,.\n天", max_size=60)


def words(text):
    return re.findall(r"\w+|[^\w\s]", text)


@given(TEXTS, st.integers(1, 20))
def test_the_beginning_is_a_stretch_of_the_text(text, size):
    kept, cut = first_words(text, size)
    assert text.startswith(kept)
    assert words(kept) == words(text)[:size]
    assert cut == max(0, count_words(text) - size)


@given(TEXTS, st.integers(1, 9), st.integers(1, 9))
def test_windows_by_brute_force(text, size, stride):
    every = words(text)
    expected = []
    for start in range(0, len(every), stride):
        expected.append(every[start : start + size])
        if start + size >= len(every):  # the window that reaches the end is the last
            break
    found = list(windows(text, size, stride))
    assert [words(one) for one in found] == expected
    assert all(one in text for one in found)


def test_a_text_shorter_than_a_window_is_one_window():
    assert list(windows("a, b", 10, 1)) == ["a, b"]
    assert list(windows("  ", 10, 1)) == []


def test_the_window_that_ends_with_the_text_is_the_last():
    assert list(windows("a b c d", 2, 1)) == ["a b", "b c", "c d"]
    assert list(windows("a b c d e", 2, 2)) == ["a b", "c d", "e"]
