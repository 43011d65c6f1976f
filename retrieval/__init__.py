"""First-stage retrievers and the engines they run on: queries in, rankings over a corpus out.

What belongs here: analyzers, indexes, and stages that inherit `rankloom.Retriever`, one concept a file. What does
not: stages that need a ranking before them (`rankloom.prf`, `rankloom.rerank`), and fusion (`rankloom.fusion`).
Names load on first use, so that taking one retriever never imports another one's libraries.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rankloom.retrieval.analysis import STOP_WORDS, Analyzer, EnglishAnalyzer
    from rankloom.retrieval.bm25 import BM25
    from rankloom.retrieval.bm25_scoring import LuceneBM25
    from rankloom.retrieval.dense import Dense
    from rankloom.retrieval.inverted_index import InvertedIndex
    from rankloom.retrieval.vector_index import VectorIndex

# public name -> its module in this package; a new retriever adds a line here, above and in __all__
_HOMES = {
    "BM25": "bm25",
    "Dense": "dense",
    "STOP_WORDS": "analysis",
    "Analyzer": "analysis",
    "EnglishAnalyzer": "analysis",
    "InvertedIndex": "inverted_index",
    "LuceneBM25": "bm25_scoring",
    "VectorIndex": "vector_index",
}

__all__ = [
    "BM25",
    "STOP_WORDS",
    "Analyzer",
    "Dense",
    "EnglishAnalyzer",
    "InvertedIndex",
    "LuceneBM25",
    "VectorIndex",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
