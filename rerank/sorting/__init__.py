"""Sorting by comparisons that cost money: how few questions put hits in order, and who asks them.

An algorithm, one a file, knows hits by number and asks questions (`question.py`); it knows nothing of language models.
`runner.py` carries out the algorithms of all queries side by side and asks a comparator, which may be a language
model (`rankloom.rerank.llm`) or anything else that can tell which of some documents is better.
"""

from rankloom.rerank.sorting.all_pair import AllPair
from rankloom.rerank.sorting.bubblesort import Bubblesort
from rankloom.rerank.sorting.choice import BestOf, best_by_pairs, best_of_set
from rankloom.rerank.sorting.heapsort import Heapsort
from rankloom.rerank.sorting.methods import PairMethod, by_pairs
from rankloom.rerank.sorting.question import Answer, Best, Compare, Order, Preference, Question, Rounds, Sorting
from rankloom.rerank.sorting.runner import Answered, Asked, Comparator, SortOutcome, sort_hits
from rankloom.rerank.sorting.tournament import Tournament
from rankloom.rerank.sorting.windows import Windows

__all__ = [
    "AllPair",
    "Answer",
    "Answered",
    "Asked",
    "Best",
    "BestOf",
    "Bubblesort",
    "Comparator",
    "Compare",
    "Heapsort",
    "Order",
    "PairMethod",
    "Preference",
    "Question",
    "Rounds",
    "SortOutcome",
    "Sorting",
    "Tournament",
    "Windows",
    "best_by_pairs",
    "best_of_set",
    "by_pairs",
    "sort_hits",
]
