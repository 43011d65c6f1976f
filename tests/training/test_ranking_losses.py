"""Losses against loops over pairs, and Margin-MSE against sentence-transformers' own."""

import math

import pytest
import torch

from rankloom.training.ranking_losses import contrastive, judged, listwise_margin_mse, margin_mse, ranknet, softmax

torch.manual_seed(3)
SCORES, TEACHER = torch.randn(5, 4), 7 * torch.randn(5, 4) + 30


def test_margin_mse_is_the_mean_over_pairs_with_the_first_document():
    parts = [
        ((SCORES[q, 0] - SCORES[q, d]) - (TEACHER[q, 0] - TEACHER[q, d])).item() ** 2
        for q in range(5)
        for d in (1, 2, 3)
    ]
    assert margin_mse(SCORES, TEACHER).item() == pytest.approx(sum(parts) / len(parts), rel=1e-5)


def test_margin_mse_is_that_of_sentence_transformers():
    from sentence_transformers.sentence_transformer.losses import MarginMSELoss

    query, documents = torch.randn(5, 6), [torch.randn(5, 6) for _ in range(4)]
    peer = MarginMSELoss(model=None)
    labels = TEACHER[:, :1] - TEACHER[:, 1:]
    expected = peer.compute_loss_from_embeddings([query, *documents], labels)
    scores = torch.stack([(query * one).sum(dim=1) for one in documents], dim=1)
    assert margin_mse(scores, TEACHER).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("loss", [margin_mse, listwise_margin_mse])
def test_only_margins_matter(loss):
    shifts = torch.randn(5, 1)
    assert loss(SCORES + shifts, TEACHER).item() == pytest.approx(loss(SCORES, TEACHER).item(), rel=1e-4)
    assert loss(TEACHER - 100, TEACHER).item() == pytest.approx(0, abs=1e-6)


def test_all_margins_are_the_mean_over_all_pairs():
    parts = [
        ((SCORES[q, a] - SCORES[q, b]) - (TEACHER[q, a] - TEACHER[q, b])).item() ** 2
        for q in range(5)
        for a in range(4)
        for b in range(a + 1, 4)
    ]
    assert listwise_margin_mse(SCORES, TEACHER).item() == pytest.approx(sum(parts) / len(parts), rel=1e-5)


def test_ranknet_is_the_mean_of_log_losses():
    parts = [math.log(1 + math.exp((SCORES[q, d] - SCORES[q, 0]).item())) for q in range(5) for d in (1, 2, 3)]
    assert ranknet(SCORES).item() == pytest.approx(sum(parts) / len(parts), rel=1e-5)


def test_softmax_tells_the_first_from_its_own_list():
    parts = [-math.log(SCORES[q, 0].exp() / SCORES[q].exp().sum()) for q in range(5)]
    assert softmax(SCORES).item() == pytest.approx(sum(parts) / len(parts), rel=1e-5)


def test_what_a_judge_holds_is_learnt_as_a_distribution():
    scores, teacher = torch.randn(3, 4), torch.randn(3, 4)
    expected = [
        -sum(float(share) * float(own) for share, own in zip((of / 0.5).softmax(0), by.log_softmax(0), strict=True))
        for by, of in zip(scores, teacher, strict=True)
    ]
    assert float(judged(scores, teacher, temperature=0.5)) == pytest.approx(sum(expected) / 3, rel=1e-5)


def test_contrastive_tells_the_first_from_the_whole_batch():
    crossed = torch.randn(3, 6)  # two documents of each of three queries
    parts = [-math.log(crossed[q, 2 * q].exp() / crossed[q].exp().sum()) for q in range(3)]
    assert contrastive(crossed).item() == pytest.approx(sum(parts) / len(parts), rel=1e-5)
