"""Cross-encoders: a transformer reads the query and the document together and gives one score.

Nogueira and Cho: Passage Re-ranking with BERT, 2019 (arXiv:1901.04085).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import choice, whole
from rankloom.encoders import Precision, readable
from rankloom.encoders.batches import batches, longest, plain_transformer
from rankloom.encoders.precision import chosen_precision, precision_identity
from rankloom.errors import StageError, UsageError
from rankloom.fingerprint import digest
from rankloom.models import LoadedModel, ResolvedModel, model_identity, resolve_model
from rankloom.parameter_kinds import NamesModel
from rankloom.ranking import ScoreKind
from rankloom.rerank.pair_stage import Pair
from rankloom.rerank.pair_windows import own_tokens, pair_windows
from rankloom.rerank.pointwise import Pointwise, Scored
from rankloom.rerank.window_choice import aggregated, best_windows
from rankloom.session import Session

Aggregate = Literal["max", "first", "top3"]
_ORGANISATION = "cross-encoder"  # what a model name without a slash belongs to
_BEST = 3  # windows of `top3`


class CrossEncoder(Pointwise):
    """Rerank by any cross-encoder of sentence-transformers, or a causal language model with a template for pairs.

    Other causal language models are those of `CausalReranker`.

    The score is the model's raw output, before any activation. The document is read as `Document.contents`; a pair
    that is longer than the model reads is cut at the end of its longer side, and noted, unless windows are asked for.

    Args:
        model: A name such as `cross-encoder/ms-marco-MiniLM-L6-v2`, or a folder, also of an adapter that
            `rankloom train` has made; see `rankloom.models.resolve_model`.
        precision: What scores are computed with: `float32` and `bfloat16` on torch, `onnx-float32` and `onnx-int8` on
            ONNX Runtime, or `auto`; see `rankloom.encoders.SentenceEncoder`. Default: the session's.
        window: Tokens of a window of long documents, without the query and special tokens; each window is scored.
            Default: documents are read once, as far as the model reads.
        stride: Tokens from the beginning of one window to that of the next. Default: those of a window.
        aggregate: What a document's score is of its windows': the largest (`max`), that of the `first`, which alone is
            read then (the rest is noted as cut), or the mean of the three largest (`top3`), of fewer if there are not
            three. Dai and Callan: Deeper Text Understanding for IR with Contextual Neural Language Modeling, SIGIR
            2019 (MaxP, FirstP).
        depth: How many hits of each query are scored; 100 as in most published reranking runs.
        batch_size: Most pairs in one batch; 32 as in sentence-transformers. Scores depend on it only by float noise.

    Raises:
        UsageError: A number is not positive and whole, a word is unknown, or a stride has no window or is longer.
    """

    name = "cross_encoder"
    requires = ("sentence_transformers",)
    kind = ScoreKind.LOGIT

    def __init__(
        self,
        model: Annotated[str, NamesModel(_ORGANISATION)],
        *,
        precision: Precision | None = None,
        window: int | None = None,
        stride: int | None = None,
        aggregate: Aggregate = "max",
        depth: int = 100,
        batch_size: int = 32,
    ) -> None:
        self.model = model
        if precision is not None:
            choice(precision, get_args(Precision), stage=self.name, parameter="precision")
        choice(aggregate, get_args(Aggregate), stage=self.name, parameter="aggregate")
        for parameter, number in {"window": window, "stride": stride}.items():
            if number is not None:
                whole(number, least=1, stage=self.name, parameter=parameter)
        if stride is not None and (window is None or stride > window):
            accepted = "at most the window's tokens, and only with a window"
            raise UsageError("windows would leave tokens out", stage=self.name, value=stride, accepted=accepted)
        self.precision, self.window, self.stride, self.aggregate = precision, window, stride, aggregate
        self.depth = whole(depth, least=1, stage=self.name, parameter="depth")
        self.batch_size = whole(batch_size, least=1, stage=self.name, parameter="batch_size")
        self._loaded: LoadedModel | None = None

    def identity(self, session: Session | None = None) -> str:
        """The model's fingerprint; see `PairStage.identity`."""
        if session is None:
            return model_identity(self.model, stage=self.name, organisation=_ORGANISATION)
        found = self._found(session)
        if self.precision is None:  # the session's dtype, which counts anyway
            return found.fingerprint
        return digest(found.fingerprint, precision_identity(self._precision(found, session), stage=self.name))

    def score(self, pairs: Sequence[Pair], session: Session) -> Scored:
        """Score some pairs, batched by length.

        Raises:
            NotFoundError: The model is not to be had.
            DataError: It is not a cross-encoder with one output.
            StageError: It can not be loaded or exported, or has no fast tokenizer, which windows need.
        """
        loaded = self._load(session)
        texts = [(readable(pair.query), readable(pair.document.contents)) for pair in pairs]
        if self.window is None:
            found = self._scored(loaded, texts)
            return Scored(found.scores, found.truncated, found.calls, int(found.tokens.sum()))
        pieces, left = self._windows(loaded, texts)
        found = self._scored(loaded, [pair for some in pieces for pair in some])
        starts = np.concatenate([[0], np.cumsum([len(some) for some in pieces])[:-1]]).astype(np.int64)
        parts = np.split(found.scores, starts[1:])
        scores = np.array([self._aggregated(part) for part in parts], dtype=np.float32)
        truncated = np.add.reduceat(found.truncated, starts) + left
        return Scored(scores, truncated, found.calls, int(found.tokens.sum()))

    def warm_up(self, session: Session | None = None) -> None:
        """Load the model."""
        self._load(session or Session())

    def close(self) -> None:
        """Free the model, unless another stage holds it too."""
        self._loaded = None

    # --- inside ------------------------------------------------------------------------------------------------

    def _found(self, session: Session) -> ResolvedModel:
        """The model's files."""
        return resolve_model(self.model, offline=session.offline, stage=self.name, organisation=_ORGANISATION)

    def _precision(self, found: ResolvedModel, session: Session) -> str:
        """What scores are computed with in a session."""
        folder = found.path if found.backbone is None else found.backbone.path
        return chosen_precision(self.precision, session, folder=folder, stage=self.name)

    def _load(self, session: Session) -> LoadedModel:
        """The model in memory."""
        from rankloom.rerank.cross_encoder_model import cross_encoder_model

        found = self._found(session)
        precision = self._precision(found, session)
        self._loaded = cross_encoder_model(found, session, precision=precision, stage=self.name)
        return self._loaded

    def _scored(self, loaded: LoadedModel, texts: list[tuple[str, str]]) -> _Scores:
        """The scores of some texts."""
        from rankloom.encoders.forward import PairScores

        forward = PairScores(loaded)
        order = sorted(range(len(texts)), key=lambda place: (-len(texts[place][0]) - len(texts[place][1]), place))
        longest_first, prompt = [texts[place] for place in order], _prompt(loaded)
        count = len(texts)
        found = _Scores(np.zeros(count, np.float32), np.zeros(count, np.int64), np.zeros(count, np.int64), 0)
        with loaded.lock:
            limits = forward.limits(self.batch_size)
            prepared = list(batches(loaded.model, longest_first, prompt=prompt, limits=limits))
            for batch, scores in forward.scored(prepared):
                places = [order[place] for place in batch.places]
                found.scores[places], found.tokens[places] = scores, batch.read
                found.truncated[places] = batch.truncated
        return found._replace(calls=len(prepared))

    def _windows(
        self, loaded: LoadedModel, texts: list[tuple[str, str]]
    ) -> tuple[list[list[tuple[str, str]]], NDArray[np.int64]]:
        """The pairs of each query and the windows of its document; and how many tokens are in no window."""
        if not plain_transformer(loaded.model):
            raise StageError("windows need a transformer with a fast tokenizer", stage=self.name, value=self.model)
        tokenizer, limit = loaded.model[0].tokenizer, longest(loaded.model[0], None)
        prompt, window = _prompt(loaded) or "", self.window or 1
        pairs, left = [], np.zeros(len(texts), dtype=np.int64)
        with loaded.lock:
            for place, (query, document) in enumerate(texts):
                pieces = pair_windows(
                    tokenizer, prompt + query, document, window=window, stride=self.stride, limit=limit
                )
                if self.aggregate == "first":
                    pieces = pieces[:1]
                    left[place] = own_tokens(tokenizer, document) - own_tokens(tokenizer, pieces[0])
                pairs.append([(query, piece) for piece in pieces])
        return pairs, left

    def _aggregated(self, scores: NDArray[np.float32]) -> float:
        """The score of a document, from its windows'."""
        if self.aggregate == "top3":
            return aggregated(scores[best_windows(scores, _BEST)], "mean")
        return aggregated(scores, self.aggregate)


class _Scores(NamedTuple):
    """What became of some texts.

    Args:
        scores: float32 of shape (texts,).
        tokens: How many were read of each; int64.
        truncated: And not read; int64.
        calls: Batches.
    """

    scores: NDArray[np.float32]
    tokens: NDArray[np.int64]
    truncated: NDArray[np.int64]
    calls: int


def _prompt(loaded: LoadedModel) -> str | None:
    """What the model wants before each query."""
    prompt: Any = loaded.model.prompts.get(loaded.model.default_prompt_name)
    return None if prompt is None else str(prompt)
