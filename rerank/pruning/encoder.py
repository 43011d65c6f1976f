"""Extractive context pruning: keep the sentences that look like the query.

No model is trained for it: a sentence encoder compares each sentence with the query. What Provence (Chirkova et al.,
ICLR 2025) learns, this only approximates; it needs no model but the small one that works offline.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import whole
from rankloom.encoders import DEFAULT_MODEL, SentenceEncoder
from rankloom.parameter_kinds import ModelName
from rankloom.rerank.pruning.sentence_stage import Judged, SentencePair, SentenceStage
from rankloom.rerank.pruning.splitting import AnySplitter
from rankloom.session import Session
from rankloom.stage import Pruner

# Logistic regression of "the sentence is marked as relevant" on the cosine, over the 4,942 pairs of a query and a
# sentence of a judged passage of the mini collection (eval/mini), with all-MiniLM-L6-v2; rounded from 7.59 and -4.35.
_SLOPE, _INTERCEPT = 7.5, -4.3


class SentencePruner(SentenceStage, Pruner):
    """Mark each sentence of a document as kept or dropped, by its similarity to the query.

    Each sentence is encoded by itself, without the title, and compared with the query by cosine. The probability
    1 / (1 + exp(4.3 - 7.5 cosine)) was fitted to the sentence labels of the bundled mini collection with the default
    model; for another encoder it still puts sentences in order, but is no longer calibrated.

    The default threshold 0.1 (cosine 0.28) was chosen on the same labels: F2, which weighs recall over precision, is
    flat between 0.05 and 0.1 (0.42 to 0.43) and falls beyond; of these, 0.1 drops most. There it keeps 20% of all
    sentences of judged passages, relevant or not, at precision 0.20 and recall 0.58; in the relevant passages, 45% at
    precision 0.63. Choose it anew for texts of another kind.

    Order and scores of the hits stay as they are. A document of which nothing is kept stays in the ranking with an
    empty pruned text and the note `nothing_kept`.

    Args:
        model: A sentence encoder; see `rankloom.models.resolve_model`.
        threshold: Least probability of a sentence that is kept, 0 to 1.
        best: At most so many sentences of each document are kept, the likeliest; None for no limit.
        keep_at_least: So many sentences of each document are kept, the likeliest, whatever their probability.
        splitter: What splits texts into sentences: `syntok`, `lines`, `module:function`, or a `Splitter`.
        depth: How many hits of each query are pruned; the others stay whole.
        batch_size: Sentences in one batch. Probabilities depend on it only by float noise.

    Raises:
        UsageError: A parameter is out of range, or the splitter is unknown.

    Example:
        >>> from rankloom import Document, Run
        >>> sky = Document("d1", "Air scatters blue light, so the sky is blue. Bread needs yeast.")
        >>> run = Run.from_documents("why is the sky blue", [sky], session=Session(offline=True))
        >>> SentencePruner().run(run)["q1"][0].pruned_text
        'Air scatters blue light, so the sky is blue.'
    """

    name = "sentence_pruner"
    requires = ("sentence_transformers",)

    def __init__(
        self,
        model: ModelName = DEFAULT_MODEL,
        *,
        threshold: float = 0.1,
        best: int | None = None,
        keep_at_least: int = 0,
        splitter: AnySplitter = "syntok",
        depth: int = 100,
        batch_size: int = 32,
    ) -> None:
        super().__init__(threshold=threshold, best=best, keep_at_least=keep_at_least, splitter=splitter, depth=depth)
        self.model = model
        self.batch_size = whole(batch_size, least=1, stage=self.name, parameter="batch_size")
        self._encoder = SentenceEncoder(model, batch_size=batch_size, stage=self.name)

    def judge(self, pairs: Sequence[SentencePair], session: Session) -> Judged:
        """Probabilities of the sentences of some pairs; each text is encoded once.

        Raises:
            NotFoundError: The model is not to be had.
            StageError: It can not be loaded.
        """
        queries = {text: place for place, text in enumerate(dict.fromkeys(pair.query for pair in pairs))}
        texts = [pair.sentences for pair in pairs]
        places = {text: place for place, text in enumerate(dict.fromkeys(text for some in texts for text in some))}
        left = self._encoder.encode(list(queries), role="query", session=session)
        right = self._encoder.encode(list(places), role="document", session=session)
        probabilities, truncated = [], []
        for pair, some in zip(pairs, texts, strict=True):
            row, columns = queries[pair.query], [places[text] for text in some]
            probabilities.append(_probabilities(left.vectors[row], right.vectors[columns]))
            truncated.append(int(left.truncated[row] + right.truncated[columns].sum()))
        tokens = int(left.tokens.sum() + right.tokens.sum())
        return Judged(probabilities, np.array(truncated, dtype=np.int64), left.calls + right.calls, tokens)

    def identity(self, session: Session | None = None) -> str:
        """The encoder's fingerprint; see `PairStage.identity`."""
        if session is not None:
            self._encoder.resolve(session)
        return self._encoder.fingerprint()

    def warm_up(self, session: Session | None = None) -> None:
        """Load the model."""
        self._encoder.load(session or Session())

    def close(self) -> None:
        """Free the model, unless another stage holds it too."""
        self._encoder.close()


def _probabilities(query: NDArray[np.float32], sentences: NDArray[np.float32]) -> NDArray[np.float32]:
    """The probability of each sentence, float32 of shape (sentences,), from vectors of any length."""
    wide = sentences.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1) * np.linalg.norm(query.astype(np.float64))
    cosines = np.einsum("ij,j->i", wide, query.astype(np.float64)) / np.maximum(lengths, 1e-12)
    probabilities: NDArray[np.float32] = (1 / (1 + np.exp(-(_SLOPE * cosines + _INTERCEPT)))).astype(np.float32)
    return probabilities
