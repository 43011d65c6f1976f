"""Rounding against a reading of its rules, token by token."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankloom.rerank.pruning.rounding import kept, sentence_means

SENTENCES = st.lists(st.lists(st.sampled_from([0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0]), max_size=6), max_size=6)


def by_hand(sentence, threshold, rounding):
    if not sentence:
        return False
    above = sum(one > threshold for one in sentence)
    if rounding == "decision":
        return above / len(sentence) > threshold
    if rounding == "majority":
        return 2 * above >= len(sentence)
    return sum(sentence) / len(sentence) > threshold


@given(SENTENCES, st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.sampled_from(["decision", "probability", "majority"]))
def test_each_rule(sentences, threshold, rounding):
    tokens = np.array([one for some in sentences for one in some], dtype=np.float32)
    counts = np.array([len(some) for some in sentences], dtype=np.int64)
    expected = [by_hand([float(np.float32(one)) for one in some], threshold, rounding) for some in sentences]
    assert kept(tokens, counts, threshold=threshold, rounding=rounding).tolist() == expected


def test_one_token_in_eight_tells_the_rules_apart():
    tokens, counts = np.array([0.3] + [0.05] * 7, dtype=np.float32), np.array([8])
    found = {rule: bool(kept(tokens, counts, threshold=0.1, rounding=rule)[0]) for rule in
             ("decision", "probability", "majority")}  # fmt: skip
    assert found == {"decision": True, "probability": False, "majority": False}


def test_means():
    found = sentence_means(np.array([0.5, 1.0, 0.25], dtype=np.float32), np.array([0, 2, 1, 0]))
    assert found.tolist() == pytest.approx([0, 0.75, 0.25, 0])
    assert sentence_means(np.zeros(0, np.float32), np.zeros(0, np.int64)).shape == (0,)
