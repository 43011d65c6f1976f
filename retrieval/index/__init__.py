"""The impact index: one inverted index for BM25 and for learned sparse weights.

What belongs here: how postings are laid out, built, merged, committed and searched. What does not: what is searched
for (analyzers, encoders) and how BM25 weighs it (`rankloom.retrieval.bm25_scoring`). Modules whose names end in
`_kernel` are compiled by numba and loaded on first use.
"""

from rankloom.retrieval.index.impact_batch import ImpactBatch
from rankloom.retrieval.index.impact_index import ImpactIndex
from rankloom.retrieval.index.writer import ImpactIndexWriter

__all__ = ["ImpactBatch", "ImpactIndex", "ImpactIndexWriter"]
