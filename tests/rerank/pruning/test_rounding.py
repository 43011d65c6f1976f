"""Rounding against a reading of its rules, token by token."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankloom.rerank.pruning.rounding import kept, sentence_means

#: Sentences in pieces of tokens; mostly one piece.
TOKENS = st.lists(st.sampled_from([0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0]), max_size=6)
SENTENCES = st.lists(st.lists(TOKENS, min_size=1, max_size=3), max_size=6)


def mean(numbers):
    return sum(numbers) / len(numbers) if numbers else 0.0


def by_hand(pieces, threshold, rounding):
    if not any(pieces):
        return False
    above = mean([mean([one > threshold for one in piece]) for piece in pieces])
    if rounding == "decision":
        return above > threshold
    if rounding == "majority":
        return above >= 0.5
    return mean([mean(piece) for piece in pieces]) > threshold


@given(SENTENCES, st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.sampled_from(["decision", "probability", "majority"]))
def test_each_rule(sentences, threshold, rounding):
    tokens = np.array([one for some in sentences for piece in some for one in piece], dtype=np.float32)
    counts = np.array([len(piece) for some in sentences for piece in some], dtype=np.int64)
    pieces = np.array([len(some) for some in sentences], dtype=np.int64)
    expected = [
        by_hand([[float(np.float32(one)) for one in piece] for piece in some], threshold, rounding)
        for some in sentences
    ]
    assert kept(tokens, counts, pieces, threshold=threshold, rounding=rounding).tolist() == expected


def test_one_token_in_eight_tells_the_rules_apart():
    tokens, counts = np.array([0.3] + [0.05] * 7, dtype=np.float32), np.array([8])
    found = {rule: bool(kept(tokens, counts, np.ones(1, np.int64), threshold=0.1, rounding=rule)[0]) for rule in
             ("decision", "probability", "majority")}  # fmt: skip
    assert found == {"decision": True, "probability": False, "majority": False}


def test_means():
    tokens = np.array([0.5, 1.0, 0.25], dtype=np.float32)
    found = sentence_means(tokens, np.array([0, 2, 1, 0]), np.ones(4, np.int64))
    assert found.tolist() == pytest.approx([0, 0.75, 0.25, 0])
    found = sentence_means(tokens, np.array([2, 1]), np.array([0, 2]))  # the first was not read
    assert found.tolist() == pytest.approx([0, 0.5])
    assert sentence_means(np.zeros(0, np.float32), np.zeros(0, np.int64), np.zeros(0, np.int64)).shape == (0,)
