"""Neural PG-RANK: a ranker trained for nDCG itself, by sampling rankings and reinforcing the better ones.

The scores of a query's documents are a Plackett-Luce policy: documents are drawn one after another without replacement,
each with probability proportional to exp(score) among those that are left,

    log pi(r) = sum_i s(r_i) - log sum_{j >= i} exp s(r_j).

Gao et al.: Policy-Gradient Training of Language Models for Ranking, 2023 (arXiv:2310.04407).
"""

from __future__ import annotations

import torch
from torch import Tensor

from rankloom.checks import whole


def sampled_rankings(scores: Tensor, samples: int) -> Tensor:
    """Rankings drawn from the policy: by score plus Gumbel noise, which draws without replacement.

    Args:
        scores: Float of shape (queries, documents).
        samples: How many of each query.

    Returns:
        Documents' places from the best, int64 of shape (samples, queries, documents).
    """
    uniform = torch.rand(samples, *scores.shape, device=scores.device).clamp_min(torch.finfo(torch.float32).tiny)
    return (scores.detach() - torch.log(-torch.log(uniform))).argsort(dim=-1, descending=True)


def log_probability(scores: Tensor, rankings: Tensor, k: int | None = None) -> Tensor:
    """Logarithm of the probability that the policy draws the first k documents of some rankings in this order.

    Args:
        scores: Float of shape (queries, documents).
        rankings: int64 of shape (samples, queries, documents).
        k: How many documents; None for all.

    Returns:
        Float of shape (samples, queries).
    """
    drawn = scores.expand(len(rankings), -1, -1).gather(-1, rankings)
    left = drawn.flip(-1).logcumsumexp(-1).flip(-1)  # of each document and those after it
    return (drawn - left)[..., :k].sum(-1)


def ndcg(gains: Tensor, rankings: Tensor, k: int) -> Tensor:
    """nDCG@k of rankings.

    Args:
        gains: What each document is worth, float of shape (queries, documents).
        rankings: int64 of shape (samples, queries, documents).
        k: Depth.

    Returns:
        Float of shape (samples, queries); 0 for a query without a document of worth.
    """
    discounts = 1 / torch.log2(torch.arange(2, k + 2, device=gains.device, dtype=gains.dtype))
    found = gains.expand(len(rankings), -1, -1).gather(-1, rankings)[..., :k]
    best = gains.sort(dim=-1, descending=True).values[:, :k]
    ideal = (best * discounts[: best.shape[-1]]).sum(-1)
    return (found * discounts[: found.shape[-1]]).sum(-1) / torch.where(ideal > 0, ideal, 1)


def pg_rank(scores: Tensor, gains: Tensor, *, samples: int = 16, k: int = 10) -> Tensor:
    """A loss whose gradient is an unbiased estimate of that of minus the expected nDCG@k.

    REINFORCE: what a sampled ranking is worth beyond the mean of the other samples (the leave-one-out baseline, which
    lowers the variance and adds no bias) weighs the gradient of its log-probability. nDCG@k depends on the first k
    places alone, and so only those are reinforced. The value of the loss is minus the mean nDCG@k of the samples.

    Args:
        scores: Float of shape (queries, documents).
        gains: What each document is worth, of the same shape.
        samples: Rankings drawn for each query, at least 2. They cost nothing beside the scores; the default is ours.
        k: Depth of nDCG; 10 as in the paper.

    Raises:
        UsageError: There are fewer than two samples, so that none has others to be compared with.
    """
    whole(samples, least=2, stage="pg_rank", parameter="samples")
    rankings = sampled_rankings(scores, samples)
    worth = ndcg(gains, rankings, k)
    others = (worth.sum(0) - worth) / (samples - 1)
    surrogate = -((worth - others) * log_probability(scores, rankings, k)).mean()
    return surrogate - surrogate.detach() - worth.mean()
