"""Rerankers and pruners: a ranking in, the same documents in a better order, or with fewer sentences, out.

What belongs here: stages that inherit `rankloom.Reranker` or `rankloom.Pruner`, one concept a file, and what they
share (`pair_stage`, `pointwise`, `sentences`). What does not: stages that find documents (`rankloom.retrieval`) and
models themselves (`rankloom.models`, `rankloom.encoders`). Names load on first use, and models later still: taking a
reranker imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rankloom.rerank.bi_encoder import BiEncoder
    from rankloom.rerank.cross_encoder import CrossEncoder
    from rankloom.rerank.pair_stage import PairStage
    from rankloom.rerank.pointwise import Pointwise
    from rankloom.rerank.sentence_pruner import SentencePruner
    from rankloom.rerank.sentences import split_sentences

# public name -> its module in this package; a new reranker adds a line here, above and in __all__
_HOMES = {
    "BiEncoder": "bi_encoder",
    "CrossEncoder": "cross_encoder",
    "PairStage": "pair_stage",
    "Pointwise": "pointwise",
    "SentencePruner": "sentence_pruner",
    "split_sentences": "sentences",
}

__all__ = ["BiEncoder", "CrossEncoder", "PairStage", "Pointwise", "SentencePruner", "split_sentences"]


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
