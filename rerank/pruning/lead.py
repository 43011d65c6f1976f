"""Lead pruning: the beginning of each document, whatever is asked.

What news are summarised by (lead-3) is the baseline that every pruner has to beat: it reads no model and no query.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import between, whole
from rankloom.errors import UsageError
from rankloom.records import Span
from rankloom.rerank.pair_stage import Outcome
from rankloom.rerank.pruning.sentence_stage import Judged, SentencePair, SentenceStage
from rankloom.rerank.pruning.splitting import AnySplitter
from rankloom.session import Session
from rankloom.stage import Pruner


class LeadPruner(SentenceStage, Pruner):
    """Keep the first sentences of each document.

    Order and scores of the hits stay as they are. A sentence's probability falls evenly from 1, that of the first, so
    that a context that is too small for all keeps the earlier ones.

    Args:
        n: How many sentences of each document are kept.
        share: Which share of its sentences is kept instead, above 0 and up to 1, rounded up.
        splitter: What splits texts into sentences: `syntok`, `lines`, `module:function`, or a `Splitter`.
        depth: How many hits of each query are pruned; the others stay whole.

    Raises:
        UsageError: A parameter is out of range, or not exactly one of `n` and `share` is given.

    Example:
        >>> from rankloom import Document, Run
        >>> sky = Document("d1", "Bread needs yeast. Air scatters blue light. The sky is blue.")
        >>> LeadPruner(2).run(Run.from_documents("why is the sky blue", [sky]))["q1"][0].pruned_text
        'Bread needs yeast. Air scatters blue light.'
    """

    name = "lead_pruner"
    decides_later = frozenset({*SentenceStage.decides_later, "n", "share"})

    def __init__(
        self,
        n: int | None = None,
        *,
        share: float | None = None,
        splitter: AnySplitter = "syntok",
        depth: int = 100,
    ) -> None:
        super().__init__(threshold=0, best=None, keep_at_least=0, splitter=splitter, depth=depth)
        if (n is None) == (share is None):
            accepted = "n, a number of sentences, or share, but not both"
            raise UsageError("how much is kept?", stage=self.name, value={"n": n, "share": share}, accepted=accepted)
        self.n = None if n is None else whole(n, least=1, stage=self.name, parameter="n")
        self.share = None if share is None else between(share, 0, 1, stage=self.name, parameter="share")
        if share == 0:
            raise UsageError("share is out of range", stage=self.name, value=share, accepted="a number above 0")

    def judge(self, pairs: Sequence[SentencePair], session: Session) -> Judged:  # noqa: ARG002  # nothing is carried out
        """Probabilities by place alone."""
        lengths = [len(pair.offsets) for pair in pairs]
        found = [(1 - np.arange(length) / max(1, length)).astype(np.float32) for length in lengths]
        return Judged(found, np.zeros(len(pairs), dtype=np.int64), 0, 0)

    def spans(self, outcome: Outcome, above: NDArray[np.bool_], compared: str = "") -> tuple[Span, ...]:
        """The sentences of a document, of which the first are kept."""
        kept = math.ceil(len(above) * self.share) if self.n is None and self.share else self.n or 0
        return tuple(
            replace(span, kept=place < kept, reason="among the first" if place < kept else "after the first")
            for place, span in enumerate(super().spans(outcome, above, compared))
        )

    def identity(self, session: Session | None = None) -> str:  # noqa: ARG002  # there is no model
        """Nothing but the parameters counts."""
        return ""
