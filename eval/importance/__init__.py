"""Data importance: which sources of a corpus help, learnt from the utility of what was retrieved.

After Lyu et al., "Improving Retrieval-Augmented Large Language Models via Data Importance Learning" (2023). Each source
gets a weight, the probability that a document of it exists; `learn` raises the expected utility of the first K
documents that exist. `tune_threshold` then says which sources to leave out, and the stages
`rankloom.rerank.source_weight.SourceFilter` and `SourceWeight` act on it.

What belongs here: utilities, the exact gradient, learning and tuning. What does not: stages.
"""

from rankloom.eval.importance.gradient import Importance, importance, value_and_gradient
from rankloom.eval.importance.learn import LearnedWeights, learn
from rankloom.eval.importance.lists import UNKNOWN, UtilityLists
from rankloom.eval.importance.monte_carlo import SampledImportance, sample_importance
from rankloom.eval.importance.prune import Pruning, pruned_value, tune_threshold
from rankloom.eval.importance.truncation import Tolerance, needed_depths
from rankloom.eval.importance.utilities import utilities_from_answers, utilities_from_qrels

__all__ = [
    "UNKNOWN",
    "Importance",
    "LearnedWeights",
    "Pruning",
    "SampledImportance",
    "Tolerance",
    "UtilityLists",
    "importance",
    "learn",
    "needed_depths",
    "pruned_value",
    "sample_importance",
    "tune_threshold",
    "utilities_from_answers",
    "utilities_from_qrels",
    "value_and_gradient",
]
