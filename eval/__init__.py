"""Evaluation: collections, measures, significance, and experiments that compare pipelines.

What belongs here is whatever knows judgements. Stages do not, except `candidates`, which replays a stored first stage,
and `judged`, whose hits are the judged documents.
"""

from rankloom.eval.candidates import Candidates
from rankloom.eval.collections import Collection, load_candidates, load_collection
from rankloom.eval.experiment import Experiment, ExperimentResult
from rankloom.eval.judged_documents import JudgedDocuments
from rankloom.eval.measures import Evaluation, evaluate

__all__ = [
    "Candidates",
    "Collection",
    "Evaluation",
    "Experiment",
    "ExperimentResult",
    "JudgedDocuments",
    "evaluate",
    "load_candidates",
    "load_collection",
]
