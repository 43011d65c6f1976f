"""The cheap half of IDCM: how well each window of a document matches a query, by kernels over word vectors.

CK puts a convolution before the kernels, TK a transformer layer. Hofstätter et al.: Intra-Document Cascading, SIGIR
2021 (arXiv:2105.09816), section 3.2, where it is called ESM, the efficient student model.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from rankloom.rerank.tk_model import CENTRES, kernel_sums

StudentKind = Literal["ck", "ck_small", "tk"]
_REACH = 3  # tokens that the convolution sees: a token and the next two
_LEAST = 1e-4  # of a soft count, before its logarithm
_FIRST_WEIGHT = 0.01  # of a kernel, at most, before training
_PROJECTED, _SMALL = 384, 128  # widths of the authors' smaller students
_HEADS = 8


class WindowStudent(nn.Module):
    """The student.

    Args:
        width: Of the word vectors that it is given.
        kind: `ck`: a convolution over three tokens, as wide as the word vectors. `ck_small`: a projection to 384, and a
            convolution to 128. `tk`: a projection to 384, and one transformer layer of 8 heads.
    """

    def __init__(self, width: int, kind: StudentKind) -> None:
        super().__init__()
        self.kind = kind
        inner = width if kind == "ck" else _PROJECTED
        self.project = nn.Identity() if kind == "ck" else nn.Linear(width, inner)
        self.context: nn.Module
        if kind == "tk":
            layer = nn.TransformerEncoderLayer(inner, _HEADS, dim_feedforward=inner, dropout=0.0, batch_first=True)
            self.context = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        else:
            self.context = nn.Conv1d(inner, inner if kind == "ck" else _SMALL, _REACH)
        self.kernel_scale = nn.Parameter(torch.ones(len(CENTRES)))
        self.kernel_weights = nn.Linear(len(CENTRES), 1)
        nn.init.uniform_(self.kernel_weights.weight, -_FIRST_WEIGHT, _FIRST_WEIGHT)

    def contextual(self, words: Tensor, mask: Tensor) -> Tensor:
        """Vectors of length 1 (0 where a convolution gives nothing), float of shape (texts, length, width).

        Args:
            words: Word vectors, float of shape (texts, length, width).
            mask: Which are there; bool of shape (texts, length). Those that are not have no say.
        """
        projected = self.project(words)
        if self.kind == "tk":
            context = self.context(projected, src_key_padding_mask=~mask)
        else:
            there = (projected * mask.unsqueeze(-1)).transpose(1, 2)
            context = torch.relu(self.context(nn.functional.pad(there, (0, _REACH - 1)))).transpose(1, 2)
        return nn.functional.normalize(context, dim=-1)

    def forward(self, query: Tensor, windows: Tensor, mask: Tensor) -> Tensor:
        """Scores of windows, float of shape (windows,).

        Args:
            query: The vectors of a query's tokens, all of them there; float of shape (tokens, width).
            windows: The vectors of the windows' tokens; float of shape (windows, length, width).
            mask: Which of these are there; bool of shape (windows, length).
        """
        sums = kernel_sums(query @ windows.transpose(1, 2), mask)
        logs = torch.log(torch.clamp(sums * self.kernel_scale, min=_LEAST))
        scores: Tensor = self.kernel_weights(logs.sum(dim=1)).squeeze(1)
        return scores
