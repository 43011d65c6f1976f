"""Sentences judged one by one by a cross-encoder, and put together again in their order.

Hwang et al.: DSLR: Document Refinement with Sentence-Level Re-ranking and Reconstruction to Enhance
Retrieval-Augmented Generation, 2024 (arXiv:2407.03627).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np

from rankloom.encoders import Precision
from rankloom.parameter_kinds import NamesModel
from rankloom.records import Document
from rankloom.rerank.cross_encoder import CrossEncoder
from rankloom.rerank.pair_stage import Pair
from rankloom.rerank.pruning.sentence_stage import Judged, SentencePair, SentenceStage
from rankloom.rerank.pruning.splitting import AnySplitter
from rankloom.session import Session
from rankloom.stage import Pruner


class SentenceCrossEncoder(SentenceStage, Pruner):
    """Mark each sentence of a document as kept or dropped, by a cross-encoder that reads it with the query.

    A sentence's probability is the sigmoid of the score that `CrossEncoder` gives the query and the sentence, which is
    remembered for the sentence, in whatever document it stands. Order and scores of the hits stay as they are.

    It takes a pass for each sentence, where `Provence` takes one for a document, and reads no sentence in the light of
    its neighbours. Nobody has trained these scores for sentences: choose the threshold for the model and the texts.

    Args:
        model: Any cross-encoder; see `CrossEncoder`.
        threshold: Least probability of a sentence that is kept, 0 to 1. 0.1, 0.2 and 0.5 are what the Provence paper
            compares itself with.
        best: At most so many sentences of each document are kept, the likeliest; None for no limit.
        keep_at_least: So many sentences of each document are kept, the likeliest, whatever their probability.
        title: Whether the model reads the document's title before each sentence, as in that comparison.
        precision: What scores are computed with; see `CrossEncoder`. Default: the session's.
        splitter: What splits texts into sentences: `syntok`, `lines`, `module:function`, or a `Splitter`.
        depth: How many hits of each query are pruned; the others stay whole.
        batch_size: Most sentences in one batch. Probabilities depend on it only by float noise.

    Raises:
        UsageError: A parameter is out of range, or a word is unknown.

    Example:
        >>> SentenceCrossEncoder("ms-marco-MiniLM-L6-v2", threshold=0.5).threshold
        0.5
    """

    name = "sentence_cross_encoder"
    requires = CrossEncoder.requires

    def __init__(
        self,
        model: Annotated[str, NamesModel("cross-encoder")],
        *,
        threshold: float = 0.1,
        best: int | None = None,
        keep_at_least: int = 0,
        title: bool = True,
        precision: Precision | None = None,
        splitter: AnySplitter = "syntok",
        depth: int = 100,
        batch_size: int = 32,
    ) -> None:
        super().__init__(threshold=threshold, best=best, keep_at_least=keep_at_least, splitter=splitter, depth=depth)
        self._scorer = CrossEncoder(model, precision=precision, batch_size=batch_size)
        self._scorer.name = self.name  # for its errors
        self.model, self.title, self.precision, self.batch_size = model, title, precision, batch_size

    def judge(self, pairs: Sequence[SentencePair], session: Session) -> Judged:
        """Probabilities of the sentences of some pairs.

        Raises:
            NotFoundError: The model is not to be had.
            DataError: It is not a cross-encoder with one output.
            StageError: It can not be loaded.
        """
        asked = [
            Pair(pair.query, Document(pair.document.id, sentence, pair.document.title if self.title else ""))
            for pair in pairs
            for sentence in pair.sentences
        ]
        outcomes, computed = self._scorer.of_pairs(asked, session)
        known = [outcome for outcome in outcomes if outcome is not None]  # nothing limits a model on this machine
        scores = np.array([outcome.arrays["score"][0] for outcome in known], dtype=np.float64)
        truncated = np.array([outcome.truncated for outcome in known], dtype=np.int64)
        probabilities = np.exp(-np.logaddexp(0, -scores)).astype(np.float32)  # the sigmoid, for scores of any size
        ends = np.cumsum([len(pair.offsets) for pair in pairs])[:-1]
        return Judged(
            np.split(probabilities, ends),
            np.array([some.sum() for some in np.split(truncated, ends)], dtype=np.int64),
            computed.calls,
            computed.tokens,
        )

    def identity(self, session: Session | None = None) -> str:
        """The model's fingerprint; see `PairStage.identity`."""
        return self._scorer.identity(session)

    def warm_up(self, session: Session | None = None) -> None:
        """Load the model."""
        self._scorer.warm_up(session)

    def close(self) -> None:
        """Free the model, unless another stage holds it too."""
        self._scorer.close()
