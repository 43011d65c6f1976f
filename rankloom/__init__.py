"""rankloom: retrieval, relevance feedback, reranking, context pruning and evaluation over one ranked-list type.

This package holds the shared vocabulary: records, runs, stages, pipelines, fusion, the session, configuration and the
command line. Stages live in `rankloom.retrieval`, `rankloom.prf` and `rankloom.rerank`; experiments in
`rankloom.eval`. Importing it loads no model library.
"""

from rankloom.corpus import Corpus
from rankloom.errors import RankloomError
from rankloom.fusion import Fuser, fuse, fuse_runs, interpolate, rrf
from rankloom.pipeline import Pipeline, Top
from rankloom.ranked_list import Hit, RankedList
from rankloom.ranking import Ranking, ScoreKind
from rankloom.records import Document, Query, Span
from rankloom.run import Run
from rankloom.score_parts import ScoreExplainer, ScoreParts, TermPart
from rankloom.session import Session
from rankloom.stage import Feedback, Pruner, Reranker, Retriever, Stage

__version__ = "0.1.0"

__all__ = [
    "Corpus",
    "Document",
    "Feedback",
    "Fuser",
    "Hit",
    "Pipeline",
    "Pruner",
    "Query",
    "RankedList",
    "Ranking",
    "RankloomError",
    "Reranker",
    "Retriever",
    "Run",
    "ScoreExplainer",
    "ScoreKind",
    "ScoreParts",
    "Session",
    "Span",
    "Stage",
    "TermPart",
    "Top",
    "fuse",
    "fuse_runs",
    "interpolate",
    "rrf",
]
