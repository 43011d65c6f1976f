"""The loss of Provence: which tokens are kept, and what score a pair gets, at once.

Chirkova et al.: Provence, ICLR 2025 (arXiv:2501.16214): L = CE(tokens) + 0.05 MSE(score, teacher's score).
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

from rankloom.training.provence_config import JointLoss
from rankloom.two_heads import Heads

_IGNORED = -100


class Losses(NamedTuple):
    """The loss of a batch, and its parts.

    Args:
        loss: What is made smaller.
        tokens: Mean cross entropy of the tokens that count.
        scores: Mean squared error of the scores.
    """

    loss: Tensor
    tokens: Tensor
    scores: Tensor


def joint_loss(heads: Heads, labels: Tensor, read: Tensor, teacher: Tensor, how: JointLoss) -> Losses:
    """The loss of a batch, in single precision, whatever the model computes with.

    Args:
        heads: What the model says.
        labels: 1 for tokens of relevant sentences, else 0; int64 of shape (passages, tokens).
        read: 1 for tokens that are read, 0 for those that fill up; of shape (passages, tokens).
        teacher: Scores to be learnt; of shape (passages,).
        how: What counts.
    """
    targets = labels if how.ignore == "none" else labels.masked_fill(read == 0, _IGNORED)
    logits = heads.tokens.float().flatten(0, 1)
    tokens = functional.cross_entropy(logits, targets.flatten(), ignore_index=_IGNORED)
    scores = functional.mse_loss(heads.scores.float(), teacher.float())
    if how.trains == "pruning":
        return Losses(tokens, tokens, scores)
    if how.trains == "ranking":
        return Losses(scores, tokens, scores)
    return Losses(tokens + how.weight * scores, tokens, scores)
