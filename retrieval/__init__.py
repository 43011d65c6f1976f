"""First-stage retrievers and the engines they run on: queries in, rankings over a corpus out.

What belongs here: analyzers, indexes, and stages that inherit `rankloom.Retriever`, one concept a file. What does
not: stages that need a ranking before them (`rankloom.prf`, `rankloom.rerank`), and fusion (`rankloom.fusion`).
Libraries and models load on first use: taking BM25 imports no torch.
"""

from rankloom.retrieval.analysis import STOP_WORDS, Analyzer, EnglishAnalyzer
from rankloom.retrieval.analyzers import CustomAnalyzer, WhitespaceAnalyzer, analyzer_of
from rankloom.retrieval.bm25 import BM25
from rankloom.retrieval.bm25_scoring import BM25Scoring
from rankloom.retrieval.dense import Dense
from rankloom.retrieval.index import ImpactBatch, ImpactIndex, ImpactIndexWriter
from rankloom.retrieval.inference_free import InferenceFreeEncoder
from rankloom.retrieval.learned_sparse import LearnedSparse
from rankloom.retrieval.lucene import Lucene, LuceneAnalyzer, LuceneIndex
from rankloom.retrieval.milvus import IndexSettings, Milvus, MilvusCollection
from rankloom.retrieval.multi_vector import MultiVector
from rankloom.retrieval.rank_bm25 import RankBM25
from rankloom.retrieval.snowball import SnowballAnalyzer
from rankloom.retrieval.sparse_encoder import SparseEncoder
from rankloom.retrieval.sparse_vectors import SparseVectors
from rankloom.retrieval.stored_terms import StoredTerms
from rankloom.retrieval.token_index.index import TokenIndex
from rankloom.retrieval.vectors.index import VectorIndex
from rankloom.retrieval.wordpiece import WordPieceAnalyzer

__all__ = [
    "BM25",
    "STOP_WORDS",
    "Analyzer",
    "BM25Scoring",
    "CustomAnalyzer",
    "Dense",
    "EnglishAnalyzer",
    "ImpactBatch",
    "ImpactIndex",
    "ImpactIndexWriter",
    "IndexSettings",
    "InferenceFreeEncoder",
    "LearnedSparse",
    "Lucene",
    "LuceneAnalyzer",
    "LuceneIndex",
    "Milvus",
    "MilvusCollection",
    "MultiVector",
    "RankBM25",
    "SnowballAnalyzer",
    "SparseEncoder",
    "SparseVectors",
    "StoredTerms",
    "TokenIndex",
    "VectorIndex",
    "WhitespaceAnalyzer",
    "WordPieceAnalyzer",
    "analyzer_of",
]
