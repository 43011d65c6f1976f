"""Losses over the scores that a student gives the documents of a query, the relevant one first.

Margin-MSE asks a student for the teachers' differences of scores, never for their scores: those of a student of another
architecture lie on another scale. Hofstätter et al.: Improving Efficient Neural Ranking Models with Cross-Architecture
Knowledge Distillation, 2020 (arXiv:2010.02666).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from rankloom.training import plackett_luce


def margin_mse(scores: Tensor, teacher: Tensor) -> Tensor:
    """Mean of ((s_0 - s_i) - (t_0 - t_i))^2 over documents i after the first.

    Args:
        scores: A student's, float of shape (queries, documents).
        teacher: The teachers', of the same shape.
    """
    return functional.mse_loss(scores[:, :1] - scores[:, 1:], teacher[:, :1] - teacher[:, 1:])


def listwise_margin_mse(scores: Tensor, teacher: Tensor) -> Tensor:
    """`margin_mse` over all pairs of a query's documents, each once; learns from the order of the others too."""
    first, second = torch.triu_indices(scores.shape[1], scores.shape[1], offset=1, device=scores.device)
    return functional.mse_loss(scores[:, first] - scores[:, second], teacher[:, first] - teacher[:, second])


def ranknet(scores: Tensor) -> Tensor:
    """Mean of log(1 + exp(s_i - s_0)): the first document is relevant, others are not (Burges et al., ICML 2005)."""
    return functional.softplus(scores[:, 1:] - scores[:, :1]).mean()


def softmax(scores: Tensor) -> Tensor:
    """Cross entropy of telling the first document from the others of its query."""
    return functional.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.long, device=scores.device))


def judged(scores: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """Cross entropy with the softmax of a teacher's scores, which are divided by a temperature.

    Args:
        scores: A student's, float of shape (queries, documents).
        teacher: A teacher's, of the same shape.
        temperature: Small ones leave all of the weight to the teacher's best.
    """
    return functional.cross_entropy(scores, (teacher / temperature).softmax(dim=1))


def pg_rank(scores: Tensor) -> Tensor:
    """Minus the expected nDCG@10 of rankings drawn by the scores, of which the first document is the relevant one.

    See `rankloom.training.plackett_luce`. It is for models that rank already: where the relevant document stands last,
    hardly any sample finds it.
    """
    gains = torch.zeros_like(scores)
    gains[:, 0] = 1
    return plackett_luce.pg_rank(scores, gains)


def contrastive(scores: Tensor) -> Tensor:
    """Cross entropy of telling the first document of a query from all other documents of the batch.

    Args:
        scores: Of every query and every document, float of shape (queries, queries * documents); those of a query's
            own documents stand together, in the order of the queries.
    """
    own = torch.arange(len(scores), device=scores.device) * (scores.shape[1] // len(scores))
    return functional.cross_entropy(scores, own)
