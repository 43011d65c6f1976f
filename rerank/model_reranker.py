"""What rerankers share whose model is a folder: finding it, loading it once, batching pairs by length."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import whole
from rankloom.encoders import readable
from rankloom.models import LoadedModel, ResolvedModel, model_identity, resolve_model, shared_model
from rankloom.parameter_kinds import ModelName
from rankloom.ranking import ScoreKind
from rankloom.rerank.pair_stage import Pair
from rankloom.rerank.pointwise import Pointwise, Scored
from rankloom.session import Session


class Batch(NamedTuple):
    """What a model says of some pairs.

    Args:
        scores: float32 of shape (pairs,).
        read: Tokens of each pair that it has read; int64 of shape (pairs,).
        truncated: Tokens of each pair that it has not read; int64 of shape (pairs,).
    """

    scores: NDArray[np.float32]
    read: NDArray[np.int64]
    truncated: NDArray[np.int64]


class ModelReranker(Pointwise):
    """Rerank by a model that reads pairs in batches of its own, such as those that `rankloom train` makes.

    The document is read as `Document.contents`; what the model does not read of a pair is noted.

    Args:
        model: The folder of a model, or its name; see `rankloom.models.resolve_model`.
        depth: How many hits of each query are scored; 100 as in most published reranking runs.
        batch_size: Pairs in one batch. Scores depend on it only by float noise.

    Raises:
        UsageError: A parameter is not a positive whole number.
    """

    requires = ("transformers",)
    kind = ScoreKind.LOGIT

    def __init__(self, model: ModelName, *, depth: int = 100, batch_size: int = 32) -> None:
        self.model = model
        self.depth = whole(depth, least=1, stage=self.name, parameter="depth")
        self.batch_size = whole(batch_size, least=1, stage=self.name, parameter="batch_size")
        self._loaded: LoadedModel | None = None

    @staticmethod
    @abstractmethod
    def load_model(folder: str, device: str, dtype: Any) -> Any:
        """The model from its folder, in evaluation mode."""

    @abstractmethod
    def score_batch(self, model: Any, queries: list[str], documents: list[str], session: Session) -> Batch:
        """Score the pairs of queries and documents that stand side by side."""

    def identity(self, session: Session | None = None) -> str:
        """The model's fingerprint; see `PairStage.identity`."""
        if session is None:
            return model_identity(self.model, stage=self.name)
        return self._found(session).fingerprint

    def score(self, pairs: Sequence[Pair], session: Session) -> Scored:
        """Score some pairs, batched by length.

        Raises:
            NotFoundError: The model is not to be had.
            DataError: It is of another kind.
            StageError: It can not be loaded.
        """
        loaded = self._load(session)
        texts = [(readable(pair.query), readable(pair.document.contents)) for pair in pairs]
        order = sorted(range(len(texts)), key=lambda place: (-len(texts[place][1]), place))
        scores = np.zeros(len(texts), dtype=np.float32)
        truncated = np.zeros(len(texts), dtype=np.int64)
        tokens, starts = 0, range(0, len(texts), self.batch_size)
        for start in starts:
            places = order[start : start + self.batch_size]
            queries, documents = [texts[place][0] for place in places], [texts[place][1] for place in places]
            with loaded.lock:
                batch = self.score_batch(loaded.model, queries, documents, session)
            scores[places], truncated[places] = batch.scores, batch.truncated
            tokens += int(batch.read.sum())
        return Scored(scores, truncated, len(starts), tokens)

    def loaded_model(self, found: ResolvedModel, session: Session) -> LoadedModel:
        """The model in memory, shared with whoever asks for the same."""
        return shared_model(self.name, found, session, self.load_model, stage=self.name)

    def warm_up(self, session: Session | None = None) -> None:
        """Load the model."""
        self._load(session or Session())

    def close(self) -> None:
        """Free the model, unless another stage holds it too."""
        self._loaded = None

    def _found(self, session: Session) -> ResolvedModel:
        """The model's files."""
        return resolve_model(self.model, offline=session.offline, stage=self.name)

    def _load(self, session: Session) -> LoadedModel:
        """The model in memory."""
        self._loaded = self.loaded_model(self._found(session), session)
        return self._loaded
