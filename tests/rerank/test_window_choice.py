"""Choosing windows and adding up their scores, against sorting by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rankloom.rerank.window_choice import aggregated, best_windows, weighted_sum

SCORES = st.lists(st.sampled_from([-3.0, -0.5, 0.0, 0.25, 2.0, 7.5]), min_size=1, max_size=8)


@given(scores=SCORES, count=st.one_of(st.none(), st.integers(1, 9)))
def test_the_best_windows_are_the_first_of_a_sorted_list(scores, count):
    by_hand = sorted(range(len(scores)), key=lambda place: (-scores[place], place))
    assert best_windows(np.array(scores), count) == by_hand[:count]


@given(scores=SCORES, weights=st.lists(st.floats(-2, 2), min_size=1, max_size=5))
def test_a_document_is_the_weighted_sum_of_its_best_windows(scores, weights):
    expected = 0.0
    for weight, score in zip(weights, sorted(scores, reverse=True), strict=False):  # what is not there adds nothing
        expected += weight * score
    assert aggregated(np.array(scores), weights) == pytest.approx(expected)
    tensor = weighted_sum(torch.tensor(scores, dtype=torch.float64), torch.tensor(weights, dtype=torch.float64))
    assert float(tensor) == pytest.approx(expected)


@given(scores=SCORES)
def test_the_other_aggregations(scores):
    found = np.array(scores, dtype=np.float32)
    assert aggregated(found, "max") == max(scores)
    assert aggregated(found, "first") == scores[0]
    assert aggregated(found, "mean") == pytest.approx(sum(scores) / len(scores))


def test_gradients_reach_the_best_windows_and_the_weights_that_are_used():
    scores = torch.tensor([1.0, 5.0, 3.0], requires_grad=True)
    weights = torch.tensor([2.0, 0.5], requires_grad=True)
    weighted_sum(scores, weights).backward()
    assert scores.grad.tolist() == [0.0, 2.0, 0.5]
    assert weights.grad.tolist() == [5.0, 3.0]
    alone = torch.tensor([4.0], requires_grad=True)
    weights = torch.tensor([2.0, 0.5], requires_grad=True)
    weighted_sum(alone, weights).backward()
    assert weights.grad.tolist() == [4.0, 0.0]
