"""Pseudo-relevance feedback: what the best documents of a first ranking say about the query.

A feedback stage stands between two retrievers (`bm25 >> RM3() >> bm25`). It takes a ranking and gives queries in the
form that the second retriever reads: weighted terms (`RM3`, `TermRocchio`, `Bo1`, `KL`; `SparseVectorPRF` over learned
weights) or a vector (`VectorPRF`, and `LearnedPRF` by a model that reads the documents; also for reranking). It reads
the documents' terms or vectors from that retriever through the classes of `rankloom.sources`; nothing here imports a
retriever. `TextPRF` writes texts, several for a query if asked to, and makes one ranking of what they find. One method
a file; what those over terms share is in `term_feedback.py`, what those over vectors share in `mixture.py`, what a
learned query encoder is made of in the files `feedback_*.py`. A language model writes for four more: `PromptPRF` puts
what it has drawn out of the best documents into the query, `HyDE`, `Query2Doc` and `GRF` let it answer the query before
anything is found (`generation.py`); their prompts are files in `prompts/`. `InterpolatedFeedback` is no method: it puts
any of them between interpolations with a second retriever.
"""

from rankloom.prf.bo1 import Bo1
from rankloom.prf.grf import GRF
from rankloom.prf.hyde import HyDE
from rankloom.prf.interpolated import InterpolatedFeedback
from rankloom.prf.kl import KL
from rankloom.prf.learned import LearnedPRF
from rankloom.prf.prompt import PromptPRF
from rankloom.prf.query2doc import Query2Doc
from rankloom.prf.rm3 import RM3
from rankloom.prf.sparse_vector import SparseVectorPRF
from rankloom.prf.term_rocchio import TermRocchio
from rankloom.prf.text import TextPRF
from rankloom.prf.token_vector import ColBERTPRF
from rankloom.prf.vector import VectorPRF

__all__ = [
    "GRF",
    "KL",
    "RM3",
    "Bo1",
    "ColBERTPRF",
    "HyDE",
    "InterpolatedFeedback",
    "LearnedPRF",
    "PromptPRF",
    "Query2Doc",
    "SparseVectorPRF",
    "TermRocchio",
    "TextPRF",
    "VectorPRF",
]
