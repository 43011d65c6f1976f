"""Milvus behind the protocol of every other retriever: one collection for more documents than one machine holds.

What belongs here: the stage, the collection it searches, and all that is known of `pymilvus` (extra `milvus`). The same
code works on Milvus Lite in a file (`corpus.db`), on `milvus-lite server`, and on a cluster: only the URI differs.
"""

from rankloom.retrieval.milvus.collection import MilvusCollection
from rankloom.retrieval.milvus.contents import IndexSettings
from rankloom.retrieval.milvus.stage import Milvus

__all__ = ["IndexSettings", "Milvus", "MilvusCollection"]
