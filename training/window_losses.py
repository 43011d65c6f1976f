"""Losses by which a student learns from a teacher's scores which windows of a document are best.

`lambda` is ndcgLoss2 of Wang et al.: The LambdaLoss Framework for Ranking Metric Optimization, CIKM 2018, with gains
for the windows that the teacher finds best, as in Hofstätter et al., SIGIR 2021 (arXiv:2105.09816).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from rankloom.rerank.window_choice import best_windows


def window_gains(teacher: Tensor, count: int) -> Tensor:
    """`count` for the window that the teacher finds best, one less for the next, and so on; 0 for all others.

    Args:
        teacher: The teacher's scores of a document's windows, float of shape (windows,).
        count: How many windows have a gain.
    """
    gains = torch.zeros_like(teacher)
    for rank, place in enumerate(best_windows(teacher.detach().cpu().numpy(), count)):
        gains[place] = count - rank
    return gains


def lambda_loss(scores: Tensor, gains: Tensor) -> Tensor:
    """Sum of -log2 sigmoid(s_i - s_j), weighted, over windows i with a larger gain than j.

    A pair's weight is |G_i - G_j| (1 / log2(1 + d) - 1 / log2(2 + d)), where d is how many ranks they stand apart by
    the scores, and G is (2^gain - 1) over the DCG of the best order.

    Args:
        scores: A student's scores of a document's windows, float of shape (windows,).
        gains: What each is worth, of the same shape.
    """
    order = torch.argsort(scores.detach(), descending=True, stable=True)
    ranked, worth = scores[order], torch.pow(2.0, gains[order]) - 1
    ranks = torch.arange(len(scores), device=scores.device, dtype=scores.dtype)
    discounts = torch.log2(2 + ranks)
    best = torch.sort(worth, descending=True).values
    normal = worth / torch.clamp((best / discounts).sum(), min=1e-6)
    apart = (ranks.unsqueeze(1) - ranks).abs().clamp(min=1)
    deltas = 1 / torch.log2(1 + apart) - 1 / torch.log2(2 + apart)
    weights = deltas * (normal.unsqueeze(1) - normal).abs()
    above = worth.unsqueeze(1) > worth
    losses = -functional.logsigmoid(ranked.unsqueeze(1) - ranked) / math.log(2)
    return (weights * losses)[above].sum()


def mse(scores: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of scores; both of shape (windows,)."""
    return functional.mse_loss(scores, teacher)


def kl_divergence(scores: Tensor, teacher: Tensor) -> Tensor:
    """KL divergence of the student's softmax from the teacher's; both of shape (windows,)."""
    return functional.kl_div(scores.log_softmax(0), teacher.log_softmax(0), log_target=True, reduction="sum")


def cross_entropy(scores: Tensor, teacher: Tensor) -> Tensor:
    """Cross entropy of the student's softmax against the teacher's; both of shape (windows,)."""
    return -(teacher.softmax(0) * scores.log_softmax(0)).sum()


def window_loss(name: str, scores: Tensor, teacher: Tensor, *, count: int) -> Tensor:
    """A loss by its name, of one document.

    Args:
        name: `lambda`, `mse`, `kl` or `cross_entropy`.
        scores: A student's scores of its windows, float of shape (windows,).
        teacher: The teacher's, of the same shape.
        count: Windows that have a gain under `lambda`.
    """
    if name == "lambda":
        return lambda_loss(scores, window_gains(teacher, count))
    return {"mse": mse, "kl": kl_divergence, "cross_entropy": cross_entropy}[name](scores, teacher)
