"""Late interaction: reranking by the vectors of all tokens.

Khattab and Zaharia: ColBERT, SIGIR 2020 (arXiv:2004.12832). Query and document are encoded apart; the score is the sum
over the query's tokens of the best match among the document's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rankloom.checks import whole
from rankloom.fingerprint import digest
from rankloom.parameter_kinds import ModelName
from rankloom.ranking import ScoreKind
from rankloom.rerank.pair_stage import Pair
from rankloom.rerank.pointwise import Pointwise, Scored
from rankloom.session import Session
from rankloom.token_encoder import (
    DEFAULT_TOKEN_MODEL,
    TokenEncoder,
    TokenEncoderOptions,
    TokenPrecision,
    without_blank,
)
from rankloom.token_vectors import maxsim


class LateInteraction(Pointwise):
    """Rerank by a ColBERT model: any multi-vector encoder of sentence-transformers; `rankloom train` makes one, too.

    Scores are sums (MaxSim), also of models that are compared by means: for one query the order is the same. A document
    without contents or vectors has a score of 0 and is noted as `no_vectors`.

    Args:
        model: A folder or name; see `rankloom.token_encoder`.
        reduction: What makes fewer vectors of a text's, such as `C8x32`; see `rankloom.reduction`. Default: what the
            model was trained with.
        untrained: Take a transformer or sentence encoder that was not trained for it, by the states of its tokens.
        query_tokens: How many tokens are read of a query. Default: as many as the model says.
        document_tokens: How many are read of a document. Default: as many as the model says.
        expand_queries: Whether queries are filled up with [MASK]. Default: the model's, as for the next three; see
            `TokenEncoder`.
        skip_punctuation: Whether documents have no vectors for punctuation.
        query_prefix: Put before each query; an empty one for none.
        document_prefix: Put before each document; an empty one for none.
        precision: What vectors are computed with: `float32`, `bfloat16`, or `auto` for the faster. Default: the
            session's dtype.
        depth: How many hits of each query are scored; 100 as in most published reranking runs.
        batch_size: Most texts in one batch. Scores depend on it only by float noise. Default: as many as suit the
            device.

    Raises:
        UsageError: A parameter is not a positive whole number, or there is no such reduction or precision.

    Example:
        >>> from rankloom import Document, Run
        >>> documents = [Document("d1", "Bread needs yeast."), Document("d2", "Tides follow the moon.")]
        >>> run = Run.from_documents("what makes the sea rise", documents, session=Session(offline=True))
        >>> LateInteraction().run(run)["q1"].doc_ids
        ['d2', 'd1']
    """

    name = "late_interaction"
    requires = ("sentence_transformers",)
    kind = ScoreKind.SIMILARITY

    def __init__(
        self,
        model: ModelName = DEFAULT_TOKEN_MODEL,
        *,
        reduction: str | None = None,
        untrained: bool = False,
        query_tokens: int | None = None,
        document_tokens: int | None = None,
        expand_queries: bool | None = None,
        skip_punctuation: bool | None = None,
        query_prefix: str | None = None,
        document_prefix: str | None = None,
        precision: TokenPrecision | None = None,
        depth: int = 100,
        batch_size: int | None = None,
    ) -> None:
        self.model, self.reduction, self.untrained, self.precision = model, reduction, untrained, precision
        self.query_tokens, self.document_tokens = query_tokens, document_tokens
        self.expand_queries, self.skip_punctuation = expand_queries, skip_punctuation
        self.query_prefix, self.document_prefix, self.batch_size = query_prefix, document_prefix, batch_size
        self.depth = whole(depth, least=1, stage=self.name, parameter="depth")
        options: dict[str, Any] = {name: getattr(self, name) for name in TokenEncoderOptions.__annotations__}
        self._encoder = TokenEncoder(model, **options, batch_size=batch_size, stage=self.name)

    def identity(self, session: Session | None = None) -> str:
        """The encoder's fingerprint; see `PairStage.identity`."""
        if session is not None and self.precision == "auto":  # another machine may choose another
            return digest(self._encoder.fingerprint(session), self._encoder.precision_in(session))
        return self._encoder.fingerprint(session)

    def score(self, pairs: Sequence[Pair], session: Session) -> Scored:
        """Score some pairs; each text is encoded once.

        Raises:
            NotFoundError: The model is not to be had.
            DataError: It is not a multi-vector encoder.
            StageError: It can not be loaded.
        """
        places: dict[str, list[int]] = {}
        for place, pair in enumerate(pairs):
            places.setdefault(pair.query, []).append(place)
        texts = {text: row for row, text in enumerate(dict.fromkeys(pair.document.contents for pair in pairs))}
        left = self._encoder.encode(list(places), role="query", session=session)
        right = without_blank(self._encoder.encode(list(texts), role="document", session=session), list(texts))
        scores = np.zeros(len(pairs), dtype=np.float32)
        truncated, bare = np.zeros(len(pairs), dtype=np.int64), np.zeros(len(pairs), dtype=np.bool_)
        for number, own in enumerate(places.values()):
            rows = [texts[pairs[place].document.contents] for place in own]
            query, documents = left.vectors[number], right.vectors.take(rows)
            scores[own] = maxsim(query, documents)
            bare[own] = (documents.lengths == 0) | (len(query) == 0)
            truncated[own] = left.truncated[number] + right.truncated[rows]
        tokens = int(left.tokens.sum() + right.tokens.sum())
        return Scored(scores, truncated, left.calls + right.calls, tokens, bare)

    def warm_up(self, session: Session | None = None) -> None:
        """Load the model."""
        self._encoder.load(session or Session())

    def close(self) -> None:
        """Free the model, unless another stage holds it too."""
        self._encoder.close()
