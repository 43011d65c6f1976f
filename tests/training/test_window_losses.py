"""Losses over windows against plain loops, their gradients against differences of these."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers.cross_encoder.losses import NDCGLoss2Scheme

from rankloom.training.window_losses import lambda_loss, window_gains, window_loss

SCORES = st.lists(st.floats(-4, 4).map(lambda value: round(value, 2)), min_size=1, max_size=7, unique=True)


def plain_lambda(scores, gains):
    """The loss by its definition, pair by pair."""
    order = sorted(range(len(scores)), key=lambda place: (-scores[place], place))
    rank = {place: number for number, place in enumerate(order, start=1)}
    worth = [2.0**gain - 1 for gain in gains]
    best = sum(one / math.log2(1 + place) for place, one in enumerate(sorted(worth, reverse=True), start=1))
    total = 0.0
    for one in range(len(scores)):
        for other in range(len(scores)):
            if gains[one] <= gains[other]:
                continue
            apart = abs(rank[one] - rank[other])
            delta = abs(1 / math.log2(1 + apart) - 1 / math.log2(2 + apart))
            weight = delta * abs(worth[one] - worth[other]) / best
            total -= weight * math.log2(1 / (1 + math.exp(-(scores[one] - scores[other]))))
    return total


def plain(name, scores, teacher, count):
    """Any of the losses, in plain numbers."""
    if name == "lambda":
        gains = [0] * len(teacher)
        best = sorted(range(len(teacher)), key=lambda place: (-teacher[place], place))[:count]
        for rank, place in enumerate(best):
            gains[place] = count - rank
        return plain_lambda(scores, gains)
    if name == "mse":
        return sum((one - other) ** 2 for one, other in zip(scores, teacher, strict=True)) / len(scores)
    own, taught = ([math.exp(one) / sum(map(math.exp, some)) for one in some] for some in (scores, teacher))
    entropy = 0.0 if name == "cross_entropy" else sum(one * math.log(one) for one in taught)
    return entropy - sum(one * math.log(other) for one, other in zip(taught, own, strict=True))


@settings(max_examples=60, deadline=None)
@given(scores=SCORES, count=st.integers(1, 4), name=st.sampled_from(["lambda", "mse", "kl", "cross_entropy"]))
def test_losses_and_gradients_are_those_of_plain_loops(scores, count, name):
    teacher = [math.sin(7.0 * place + one) for place, one in enumerate(scores)]
    given_scores = torch.tensor(scores, dtype=torch.float64, requires_grad=True)
    loss = window_loss(name, given_scores, torch.tensor(teacher, dtype=torch.float64), count=count)
    assert loss.item() == pytest.approx(plain(name, scores, teacher, count), abs=1e-8)
    (gradient,) = torch.autograd.grad(loss, given_scores)
    step = 1e-5  # scores differ by more: the ranks stay
    for place in range(len(scores)):
        up, down = ([one + sign * step * (number == place) for number, one in enumerate(scores)] for sign in (1, -1))
        difference = (plain(name, up, teacher, count) - plain(name, down, teacher, count)) / (2 * step)
        assert gradient[place].item() == pytest.approx(difference, abs=1e-5)


def test_the_weights_are_those_of_sentence_transformers():
    gains = torch.tensor([0.0, 3.0, 1.0, 0.0, 2.0])
    scores = torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0])
    discounts = torch.log2(1.0 + torch.arange(1, 6))
    worth = torch.pow(2.0, gains) - 1
    normal = worth / (worth.sort(descending=True).values / discounts).sum()
    weights = NDCGLoss2Scheme()(normal[None], discounts[None], gains[None])[0]
    pairs = gains[:, None] > gains
    expected = -(weights * torch.log2(torch.sigmoid(scores[:, None] - scores)))[pairs].sum()
    assert lambda_loss(scores, gains).item() == pytest.approx(expected.item(), rel=1e-5)


def test_gains_fall_from_the_window_that_the_teacher_finds_best():
    assert window_gains(torch.tensor([0.0, -1.0, 5.0, 0.0]), 3).tolist() == [2.0, 0.0, 3.0, 1.0]
    assert window_gains(torch.tensor([0.5]), 4).tolist() == [4.0]


def test_a_document_of_one_window_teaches_nothing():
    scores = torch.tensor([0.7], requires_grad=True)
    loss = window_loss("lambda", scores, torch.tensor([0.0]), count=4)
    loss.backward()
    assert (loss.item(), scores.grad.tolist()) == (0.0, [0.0])
