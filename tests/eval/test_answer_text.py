"""Answers as strings: SQuAD's rules, held against its published evaluation script's own functions."""

from __future__ import annotations

import re
import string
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankloom.errors import DataError
from rankloom.eval.answer_text import exact_match, gold_answers, holds, normalise, token_f1
from rankloom.records import Query

WORDS = st.lists(st.sampled_from(["the", "a", "An", "sky", "Sky.", "blue", "it's", "U.S.", "42", "—"]), max_size=6)
TEXTS = WORDS.map(" ".join) | st.text(max_size=20)


def reference_normalise(text: str) -> str:
    """As SQuAD 1.1's evaluate-v1.1.py describes it, one step after the other."""
    text = text.lower()
    text = "".join(character for character in text if character not in set(string.punctuation))
    text = re.sub(r"\b(a|an|the)\b", " ", text)
    return " ".join(text.split())


def reference_f1(answer: str, gold: str) -> float:
    """F1 by precision and recall, as the script of SQuAD 2.0 has it for empty strings."""
    left, right = reference_normalise(answer).split(), reference_normalise(gold).split()
    common = sum((Counter(left) & Counter(right)).values())
    if not left or not right:
        return float(left == right)
    if not common:
        return 0.0
    precision, recall = common / len(left), common / len(right)
    return 2 * precision * recall / (precision + recall)


@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=3))
def test_equal_to_the_reference(answer: str, gold: list[str]) -> None:
    assert normalise(answer) == reference_normalise(answer)
    assert token_f1(answer, gold) == pytest.approx(max(reference_f1(answer, one) for one in gold))
    assert exact_match(answer, gold) == any(reference_normalise(answer) == reference_normalise(one) for one in gold)


@pytest.mark.parametrize(
    ("answer", "gold", "match", "f1"),
    [
        ("The Eiffel Tower", ["Eiffel Tower"], 1, 1.0),
        ("in 1889", ["1889", "the year 1889"], 0, 2 / 3),
        ("blue blue", ["blue"], 0, 2 / 3),  # a repeated word counts as often as the right answer has it
        ("a", ["the"], 1, 1.0),  # nothing is left of either
        ("", ["sky"], 0, 0.0),
        ("sky", [], 0, 0.0),
    ],
)
def test_known_cases(answer: str, gold: list[str], match: int, f1: float) -> None:
    assert exact_match(answer, gold) == match
    assert token_f1(answer, gold) == pytest.approx(f1)


def test_a_text_holds_whole_words_only() -> None:
    assert holds("The tower opened in 1889, in Paris.", "Opened in 1889")
    assert not holds("It opened in 18890.", "1889")
    assert not holds("anything", "the")  # nothing is left to look for


def test_gold_answers_of_queries() -> None:
    queries = [
        Query("q1", "a", metadata={"answers": "one"}),
        Query("q2", "b", metadata={"answers": ["one", "two"]}),
        Query("q3", "c", metadata={"answers": []}),
        Query("q4", "d"),
    ]
    assert gold_answers(queries) == {"q1": ("one",), "q2": ("one", "two")}
    with pytest.raises(DataError, match="'q5'"):
        gold_answers([Query("q5", "e", metadata={"answers": [1]})])
