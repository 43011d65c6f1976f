"""Rerankers and pruners: a ranking in, the same documents in a better order, or with fewer sentences, out.

What belongs here: stages that inherit `rankloom.Reranker` or `rankloom.Pruner`, one concept a file, and what they
share (`pair_stage`, `pointwise`, and, to compare, `sorting`); pruners are in `pruning`, those that ask language models
are in `llm`. What does not: stages that find documents (`rankloom.retrieval`) and models themselves
(`rankloom.models`, `rankloom.encoders`, `rankloom.language_models`). Models load on first use: taking a reranker
imports no torch.
"""

from rankloom.rerank.bi_encoder import BiEncoder
from rankloom.rerank.cascade import Cascade
from rankloom.rerank.causal_reranker import CausalReranker
from rankloom.rerank.cross_encoder import CrossEncoder
from rankloom.rerank.duo import Duo
from rankloom.rerank.idcm import IDCM
from rankloom.rerank.late_interaction import LateInteraction
from rankloom.rerank.llm import GradedRelevance, Listwise, Pairwise, QueryLikelihood, Setwise, YesNo
from rankloom.rerank.mono_t5 import MonoT5
from rankloom.rerank.pair_stage import PairStage
from rankloom.rerank.pointwise import Pointwise
from rankloom.rerank.prettr import PreTTR
from rankloom.rerank.pruning import (
    CitationPruner,
    LeadPruner,
    OraclePruner,
    Provence,
    SentenceCrossEncoder,
    SentencePruner,
    Splitter,
    prune,
    split_sentences,
)
from rankloom.rerank.source_weight import SourceFilter, SourceOf, SourceWeight
from rankloom.rerank.stored_token_vectors import StoredTokenVectors
from rankloom.rerank.stored_vectors import StoredVectors
from rankloom.rerank.tk import TK

__all__ = [
    "IDCM",
    "TK",
    "BiEncoder",
    "Cascade",
    "CausalReranker",
    "CitationPruner",
    "CrossEncoder",
    "Duo",
    "GradedRelevance",
    "LateInteraction",
    "LeadPruner",
    "Listwise",
    "MonoT5",
    "OraclePruner",
    "PairStage",
    "Pairwise",
    "Pointwise",
    "PreTTR",
    "Provence",
    "QueryLikelihood",
    "SentenceCrossEncoder",
    "SentencePruner",
    "Setwise",
    "SourceFilter",
    "SourceOf",
    "SourceWeight",
    "Splitter",
    "StoredTokenVectors",
    "StoredVectors",
    "YesNo",
    "prune",
    "split_sentences",
]
