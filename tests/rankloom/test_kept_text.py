import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankloom.kept_text import kept_text
from rankloom.rerank import split_sentences


def kept(text, *places):
    spans = split_sentences(text)
    return kept_text(text, [spans[place] for place in places])


@pytest.mark.parametrize(
    ("text", "places", "expected"),
    [
        ("One. Two.  Three.", (0, 2), "One. Three."),
        ("Buy:\n- milk\n- eggs\n\nThen go.", (0, 2, 3), "Buy:\n- eggs\nThen go."),
        ("天很热。为什么\uff1f不知道。", (0, 2), "天很热。不知道。"),
        ("Wrapped\nhere. Next.", (0, 1), "Wrapped\nhere. Next."),
        ("A\r\n\r\nB", (0, 1), "A\nB"),
        ("One. Two.", (), ""),
    ],
)
def test_sentences_stand_as_they_do_in_the_text(text, places, expected):
    assert kept(text, *places) == expected


@given(st.text("ab. \n", max_size=40))
def test_nothing_is_lost_but_spaces(text):
    whole = kept_text(text, split_sentences(text))
    assert whole.split() == text.split()
    assert len(whole) <= len(text)
