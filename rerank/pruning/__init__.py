"""Context pruning: which sentences of the documents a reader needs, with offsets into the original texts.

All pruners split texts by `splitting`, give each sentence a probability, and choose by `sentence_stage`.
"""

from rankloom.rerank.pruning.citations import CitationPruner
from rankloom.rerank.pruning.cross_encoder import SentenceCrossEncoder
from rankloom.rerank.pruning.encoder import SentencePruner
from rankloom.rerank.pruning.lead import LeadPruner
from rankloom.rerank.pruning.oracle import OraclePruner
from rankloom.rerank.pruning.provence import Provence
from rankloom.rerank.pruning.prune import PrunedContext, PruningResult, prune
from rankloom.rerank.pruning.sentence_stage import Judged, SentencePair, SentenceStage, SplitDocument
from rankloom.rerank.pruning.sentences import split_lines, split_sentences
from rankloom.rerank.pruning.silver_labels import SilverLabels, write_silver_labels
from rankloom.rerank.pruning.splitting import SPLITTERS, Splitter

__all__ = [
    "SPLITTERS",
    "CitationPruner",
    "Judged",
    "LeadPruner",
    "OraclePruner",
    "Provence",
    "PrunedContext",
    "PruningResult",
    "SentenceCrossEncoder",
    "SentencePair",
    "SentencePruner",
    "SentenceStage",
    "SilverLabels",
    "SplitDocument",
    "Splitter",
    "prune",
    "split_lines",
    "split_sentences",
    "write_silver_labels",
]
