"""The loss of Provence, and its gradient, against the formulas in plain numpy."""

import numpy as np
import pytest
import torch

from rankloom.training.joint_loss import joint_loss
from rankloom.training.provence_config import JointLoss
from rankloom.two_heads import Heads

LENGTHS = [5, 3, 7]  # tokens of each passage; the batch has 7


@pytest.fixture
def batch():
    """Heads, labels, which tokens are read, and the teacher's scores of three passages; padding is labelled 0."""
    draws = np.random.default_rng(4)
    read = np.array([[place < length for place in range(7)] for length in LENGTHS])
    labels = (draws.random((3, 7)) < 0.4) & read
    logits, scores, teacher = draws.normal(size=(3, 7, 2)), draws.normal(size=3), draws.normal(size=3)
    return logits, scores, labels.astype(np.int64), read, teacher


def by_hand(logits, scores, labels, read, teacher, *, ignore, weight):
    """The loss and its gradients by both heads' outputs, term by term."""
    counted = read if ignore == "padding" else np.ones_like(read)
    likely = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    cross, by_logits = 0.0, np.zeros_like(logits)
    for row, token in zip(*np.nonzero(counted), strict=True):
        label = labels[row, token]
        cross -= np.log(likely[row, token, label]) / counted.sum()
        by_logits[row, token] = (likely[row, token] - np.eye(2)[label]) / counted.sum()
    squared = sum((score - wanted) ** 2 for score, wanted in zip(scores, teacher, strict=True)) / len(scores)
    return cross + weight * squared, by_logits, weight * 2 * (scores - teacher) / len(scores)


@pytest.mark.parametrize("ignore", ["padding", "none"])
@pytest.mark.parametrize("weight", [0.0, 0.05, 1.0])
def test_loss_and_gradients_are_those_of_the_formulas(batch, ignore, weight):
    logits, scores, labels, read, teacher = batch
    heads = Heads(torch.tensor(scores, requires_grad=True), torch.tensor(logits, requires_grad=True))
    tensors = torch.from_numpy(labels), torch.from_numpy(read).long(), torch.from_numpy(teacher)
    found = joint_loss(heads, *tensors, JointLoss(weight=weight, ignore=ignore)).loss
    found.backward()
    expected, by_logits, by_scores = by_hand(*batch, ignore=ignore, weight=weight)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(heads.tokens.grad.numpy(), by_logits, atol=1e-7)
    np.testing.assert_allclose(heads.scores.grad.numpy(), by_scores, atol=1e-7)


def test_one_part_alone(batch):
    logits, scores, labels, read, teacher = batch
    heads = Heads(torch.tensor(scores), torch.tensor(logits))
    tensors = torch.from_numpy(labels), torch.from_numpy(read).long(), torch.from_numpy(teacher)
    cross, _, _ = by_hand(*batch, ignore="padding", weight=0.0)
    for how, expected in (
        (JointLoss(trains="pruning", weight=1.0), cross),
        (JointLoss(weight=0.0), cross),  # 0 is 0, and not the default
        (JointLoss(trains="ranking", weight=0.05), np.mean((scores - teacher) ** 2)),
    ):
        assert joint_loss(heads, *tensors, how).loss.item() == pytest.approx(expected, rel=1e-5)


def test_padding_that_counts_makes_the_loss_depend_on_its_amount(batch):
    logits, scores, labels, read, teacher = (torch.from_numpy(one) for one in batch)
    longer = (
        torch.nn.functional.pad(logits, (0, 0, 0, 9)),
        *(torch.nn.functional.pad(one, (0, 9)) for one in (labels, read.long())),
    )
    found = {
        ignore: [
            joint_loss(Heads(scores, tokens), said, seen, teacher, JointLoss(ignore=ignore)).loss.item()
            for tokens, said, seen in ((logits, labels, read.long()), longer)
        ]
        for ignore in ("padding", "none")
    }
    assert found["padding"][0] == pytest.approx(found["padding"][1])
    assert found["none"][0] != pytest.approx(found["none"][1], rel=1e-3)


def test_a_single_passage_has_a_loss(batch):
    logits, scores, labels, read, teacher = (torch.from_numpy(one[:1]) for one in batch)
    found = joint_loss(Heads(scores, logits), labels, read.long(), teacher, JointLoss())
    assert found.loss.shape == ()
