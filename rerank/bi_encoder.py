"""Reranking by a sentence encoder: query and documents are encoded apart and compared.

The score of a pair is the one `rankloom.retrieval.Dense` would give it, without an index of the whole corpus.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rankloom.checks import whole
from rankloom.encoders import DEFAULT_MODEL, Precision, SentenceEncoder
from rankloom.encoders.precision import precision_identity
from rankloom.fingerprint import digest
from rankloom.parameter_kinds import ModelName
from rankloom.ranking import ScoreKind
from rankloom.rerank.pair_stage import Pair
from rankloom.rerank.pointwise import Pointwise, Scored
from rankloom.session import Session


class BiEncoder(Pointwise):
    """Rerank by the similarity of a sentence encoder's vectors.

    A real reranker on a machine without a network: the extra `mini` brings its default model.

    Args:
        model: A sentence encoder; see `rankloom.models.resolve_model`.
        precision: What vectors are computed with; see `rankloom.encoders.SentenceEncoder`. Default: the session's.
        depth: How many hits of each query are scored; 100 as in most published reranking runs.
        batch_size: Texts in one batch. Scores depend on it only by float noise.

    Raises:
        UsageError: A parameter is not a positive whole number, or the precision is unknown.

    Example:
        >>> from rankloom import Document, Run
        >>> documents = [Document("d1", "Bread needs yeast."), Document("d2", "Tides follow the moon.")]
        >>> run = Run.from_documents("what makes the sea rise", documents, session=Session(offline=True))
        >>> BiEncoder().run(run)["q1"].doc_ids
        ['d2', 'd1']
    """

    name = "bi_encoder"
    requires = ("sentence_transformers",)
    kind = ScoreKind.SIMILARITY

    def __init__(
        self,
        model: ModelName = DEFAULT_MODEL,
        *,
        precision: Precision | None = None,
        depth: int = 100,
        batch_size: int = 32,
    ) -> None:
        self.model, self.precision = model, precision
        self.depth = whole(depth, least=1, stage=self.name, parameter="depth")
        self.batch_size = whole(batch_size, least=1, stage=self.name, parameter="batch_size")
        self._encoder = SentenceEncoder(model, precision=precision, batch_size=batch_size, stage=self.name)

    def identity(self, session: Session | None = None) -> str:
        """The encoder's fingerprint; see `PairStage.identity`."""
        if session is not None:
            self._encoder.resolve(session)
            if self.precision is not None:  # else it is the session's dtype, which counts anyway
                return digest(self._encoder, precision_identity(self._encoder.precision_in(session), stage=self.name))
        return self._encoder.fingerprint()

    def score(self, pairs: Sequence[Pair], session: Session) -> Scored:
        """Score some pairs; each text is encoded once.

        Raises:
            NotFoundError: The model is not to be had.
            StageError: It can not be loaded.
        """
        queries = {text: place for place, text in enumerate(dict.fromkeys(pair.query for pair in pairs))}
        texts = {text: place for place, text in enumerate(dict.fromkeys(pair.document.contents for pair in pairs))}
        left = self._encoder.encode(list(queries), role="query", session=session)
        right = self._encoder.encode(list(texts), role="document", session=session)
        rows = np.array([queries[pair.query] for pair in pairs], dtype=np.int64)
        columns = np.array([texts[pair.document.contents] for pair in pairs], dtype=np.int64)
        # float64, rounded once, as the dense index does it: equal vectors get equal scores
        scores = np.einsum("ij,ij->i", left.vectors[rows].astype(np.float64), right.vectors[columns].astype(np.float64))
        return Scored(
            scores.astype(np.float32),
            left.truncated[rows] + right.truncated[columns],
            left.calls + right.calls,
            int(left.tokens.sum() + right.tokens.sum()),
        )

    def warm_up(self, session: Session | None = None) -> None:
        """Load the model."""
        self._encoder.load(session or Session())

    def close(self) -> None:
        """Free the model, unless another stage holds it too."""
        self._encoder.close()
