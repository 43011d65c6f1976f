"""TK: reranking by a small transformer and kernels, made for processors without an accelerator.

Hofstätter et al.: Interpretable & Time-Budget-Constrained Contextualization for Re-Ranking, ECAI 2020
(arXiv:2002.01854).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rankloom.rerank.model_reranker import Batch, ModelReranker
from rankloom.session import Session


class TK(ModelReranker):
    """Rerank by a TK model; `rankloom train` makes one (`student: {architecture: tk}`).

    Its word vectors are word pieces, started from a backbone's table, where the paper has GloVe's words. Kernels are
    computed in float32, whatever the session's dtype.
    """

    name = "tk"

    @staticmethod
    def load_model(folder: str, device: str, dtype: Any) -> Any:
        """See `ModelReranker.load_model`."""
        from rankloom.rerank.tk_model import TKModel

        return TKModel.load(Path(folder)).to(device, dtype)

    def score_batch(self, model: Any, queries: list[str], documents: list[str], session: Session) -> Batch:  # noqa: ARG002  # it keeps nothing
        """See `ModelReranker.score_batch`."""
        import torch

        sizes = model.settings
        with torch.inference_mode():
            left, left_mask, left_cut = model.tokens(queries, sizes.query_tokens)
            right, right_mask, right_cut = model.tokens(documents, sizes.max_tokens)
            scores = model.compare(
                model.vectors(left, left_mask, "query"),
                left_mask,
                model.vectors(right, right_mask, "document"),
                right_mask,
            )
            read = left_mask.sum(dim=1) + right_mask.sum(dim=1)
        return Batch(scores.float().cpu().numpy(), read.cpu().numpy(), np.array(left_cut) + np.array(right_cut))
