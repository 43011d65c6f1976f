"""Sentence offsets: what is split where, and that any string comes back whole."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.rerank import split_sentences

WORDS = ["Dr. ", "Smith", " et al.", " said", "e.g. ", "3.5", "A", "日本", "👩\u200d👧", "\u0301", "\ud83d", "\x00"]
MARKS = [". ", "? ", "! ", "; ", "...", '"', "(", ")", "- ", "1. ", "。", "\uff1f", "」"]
SPACES = [" ", "\n", "\n\n", "\r\n", "\t", "\u3000", "\u200b", "\ufeff"]
PIECES = st.sampled_from(WORDS + MARKS + SPACES)


def sentences(text):
    return [text[start:end] for start, end in split_sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n\t ", []),
        ("no punctuation at all", ["no punctuation at all"]),
        ("One. Two? Three!", ["One.", "Two?", "Three!"]),
        ("  Spaces around. ", ["Spaces around."]),
        ("Dr. Smith of the U.S. Army came at 5 p.m. on Monday. He left.",
         ["Dr. Smith of the U.S. Army came at 5 p.m. on Monday.", "He left."]),
        ("Li et al. showed it (Fig. 3). It rose by 3.5 mg.", ["Li et al. showed it (Fig. 3).", "It rose by 3.5 mg."]),
        ('He said "Go." Then he left.', ['He said "Go."', "Then he left."]),
        ("A line that is\nwrapped here. Next\nsentence.", ["A line that is\nwrapped here.", "Next\nsentence."]),
        ("Heading\n\nText follows. More.", ["Heading", "Text follows.", "More."]),
        ("Buy:\n- milk\n- eggs and flour\n* salt", ["Buy:", "- milk", "- eggs and flour", "* salt"]),
        ("1. First\n2. Second one. With more\n(c) third", ["1. First", "2. Second one.", "With more", "(c) third"]),
        ("One\r\n\r\nTwo\r\nstill two", ["One", "Two\r\nstill two"]),
        ("They shared the prize in 2019; Goodenough was 97.", ["They shared the prize in 2019; Goodenough was 97."]),
        ("今天很热。为什么\uff1f「不知道。」他说。", ["今天很热。", "为什么\uff1f", "「不知道。」", "他说。"]),
        ("สวัสดีครับ ยินดีที่ได้รู้จัก", ["สวัสดีครับ ยินดีที่ได้รู้จัก"]),
        ("...", ["..."]),
        ("\u200b", ["\u200b"]),
    ],
)  # fmt: skip
def test_examples(text, expected):
    assert sentences(text) == expected


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=80), st.lists(PIECES, max_size=30).map("".join)))
def test_any_text_comes_back_whole(text):
    spans = split_sentences(text)
    covered = set()
    before = 0
    for start, end in spans:
        assert before <= start < end <= len(text)
        assert text[start:end] == text[start:end].strip()
        covered.update(range(start, end))
        before = end
    assert all(text[place].isspace() for place in set(range(len(text))) - covered)


@pytest.mark.parametrize("unit", ["word ", "a\n", "\n", " ", "(", ".", "It is. ", "- x\n", "x; ", "。", "a.b@c "])
def test_long_texts_take_linear_time(unit):
    text = unit * (60_000 // len(unit))
    begun = time.perf_counter()
    split_sentences(text)
    assert time.perf_counter() - begun < 20  # quadratic work would take minutes
