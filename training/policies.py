"""Rankers as policies: models whose scores of a query's documents make a Plackett-Luce distribution of rankings."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.util import batch_to_device
from torch import Tensor, nn

from rankloom import adapter
from rankloom.cross_encoder_adapter import CrossEncoderSettings, load_adapter, read_settings, save_adapter
from rankloom.encoders import readable
from rankloom.models import resolve_device, resolve_model
from rankloom.rerank.cross_encoder_model import check_head
from rankloom.session import Session
from rankloom.training import cross_encoder_fit, encoder_training, pool
from rankloom.training.contrastive_config import TrainedEncoder
from rankloom.training.encoder_training import add_low_rank, load_encoder, save_encoder
from rankloom.training.pg_rank_config import PgRankRecipe, RankingBiEncoder, RankingCrossEncoder

_STAGE = "training"
_SAMPLE = 2000  # pairs whose lengths are looked at
#: What a bare name of a stage's model belongs to.
ORGANISATION = {"dense": "sentence-transformers", "cross_encoder": "cross-encoder"}


class Policy(nn.Module):
    """A model that scores the documents of queries.

    Attributes:
        stage: The word of the stage that loads what it saves.
        folder: What to call that.
        model: Of sentence-transformers.
    """

    stage: ClassVar[str]
    folder = "model"
    model: Any

    @abstractmethod
    def forward(self, queries: Sequence[str], documents: Sequence[str]) -> Tensor:
        """Scores of documents, divided by the temperature.

        Args:
            queries: Some queries.
            documents: As many for each, those of the first query first.

        Returns:
            float32 of shape (queries, documents of each).
        """

    @abstractmethod
    def share_cut(self, queries: Sequence[str], documents: Sequence[str], *, seed: int) -> float:
        """The share of documents that are longer than it reads, estimated from some; takes one for each query."""

    @abstractmethod
    def measured(self, held_out: pool.Pool) -> dict[str, float]:
        """How well it ranks for queries that are not trained on; nothing if there are none."""

    @abstractmethod
    def save(self, folder: Path, *, card: str, manifest: Mapping[str, Any]) -> None:
        """Write it whole or not at all, as its stage loads it; afterwards it is of no further use."""


class BiEncoderPolicy(Policy):
    """A sentence encoder, made to read as many tokens as the recipe says.

    Args:
        how: What the recipe says of it.
        encoder: A `SentenceTransformer`; it is changed.
    """

    stage = "dense"

    def __init__(self, how: RankingBiEncoder, encoder: Any) -> None:
        super().__init__()
        self.model, self.temperature = encoder, how.temperature
        self._reads = encoder.max_seq_length
        encoder.max_seq_length = min(how.max_tokens, self._reads or how.max_tokens)
        if how.lora is not None:
            add_low_rank(encoder, how.lora)

    def forward(self, queries: Sequence[str], documents: Sequence[str]) -> Tensor:
        """See `Policy.forward`."""
        left, right = self._read(queries, "query"), self._read(documents, "document")
        with torch.autocast(left.device.type, enabled=False):  # half precision has too few digits for cosines
            return torch.einsum("qe,qde->qd", left, right.view(len(left), -1, left.shape[1])) / self.temperature

    def share_cut(self, queries: Sequence[str], documents: Sequence[str], *, seed: int) -> float:  # noqa: ARG002  # read apart
        """See `Policy.share_cut`."""
        return encoder_training.share_cut(self.model, documents, seed=seed)

    def measured(self, held_out: pool.Pool) -> dict[str, float]:
        """See `Policy.measured`."""
        return pool.measured(self.model, held_out)

    def save(self, folder: Path, *, card: str, manifest: Mapping[str, Any]) -> None:
        """Write a model of sentence-transformers, with merged changes; it reads as many tokens as before training."""
        adapter.merge_low_rank(self.model, extra="train", stage=_STAGE)
        self.model.max_seq_length = self._reads
        save_encoder(self.model, folder, card=card, manifest=manifest)

    def _read(self, texts: Sequence[str], role: str) -> Tensor:
        """One vector for each text, made as for search: with the encoder's prompts, of length 1 if it uses cosines."""
        prompt = pool.prompts_of(self.model).get(role)
        features = self.model.preprocess([readable(text) for text in texts], prompt=prompt, task=role)
        vectors = self.model(batch_to_device(features, self.model.device), task=role)["sentence_embedding"].float()
        return nn.functional.normalize(vectors) if self.model.similarity_fn_name == "cosine" else vectors


class CrossEncoderPolicy(Policy):
    """A cross-encoder.

    Args:
        how: What the recipe says of it.
        encoder: A `CrossEncoder` of sentence-transformers; it is changed.
        settings: How it is made of its backbone, if it is an adapter.
    """

    stage = "cross_encoder"

    def __init__(self, how: RankingCrossEncoder, encoder: Any, settings: CrossEncoderSettings | None) -> None:
        super().__init__()
        self.model, self.temperature, self.settings = encoder, how.temperature, settings
        self.folder = "model" if settings is None else "adapter"

    def forward(self, queries: Sequence[str], documents: Sequence[str]) -> Tensor:
        """See `Policy.forward`."""
        of_each = len(documents) // len(queries)
        asked = [readable(query) for query in queries for _ in range(of_each)]
        pairs = list(zip(asked, map(readable, documents), strict=True))
        features = batch_to_device(self.model.preprocess(pairs), self.model.device)
        scores: Tensor = self.model(features)["scores"].float().view(len(queries), of_each)
        return scores / self.temperature

    def share_cut(self, queries: Sequence[str], documents: Sequence[str], *, seed: int) -> float:
        """See `Policy.share_cut`; a query and a document count together."""
        some = encoder_training.some_of(list(zip(queries, documents, strict=True)), _SAMPLE, seed=seed)
        texts = [[readable(one) for one in side] for side in zip(*some, strict=True)]
        numbers = self.model.tokenizer(*texts, truncation=False, verbose=False)["input_ids"]
        share: float = sum(len(one) > self.model.max_seq_length for one in numbers) / len(some)
        return share

    def measured(self, held_out: pool.Pool) -> dict[str, float]:
        """See `Policy.measured`."""
        return cross_encoder_fit.measured(self.model, held_out)

    def save(self, folder: Path, *, card: str, manifest: Mapping[str, Any]) -> None:
        """Write an adapter, or a model of sentence-transformers."""
        if self.settings is None:
            save_encoder(self.model, folder, card=card, manifest=manifest)
        else:
            save_adapter(self.model, folder, self.settings, card=card, manifest=manifest)


def load_policy(recipe: PgRankRecipe, session: Session) -> Policy:
    """The model that a recipe trains, in float32.

    Raises:
        NotFoundError: It is not to be had.
        DataError: It is no cross-encoder where that is asked for.
    """
    how, device = recipe.encoder, recipe.training.device
    if isinstance(how, RankingBiEncoder):
        return BiEncoderPolicy(how, load_encoder(how, session, device=device))
    organisation = ORGANISATION[CrossEncoderPolicy.stage]
    found = resolve_model(how.model, offline=session.offline, stage=_STAGE, organisation=organisation)
    if found.backbone is None:
        check_head(found.path, _STAGE)
        place = resolve_device(device, stage=_STAGE)
        whole = CrossEncoder(str(found.path), device=place, local_files_only=True, trust_remote_code=False)
        return CrossEncoderPolicy(how, whole, None)
    settings = read_settings(found.path)
    backbone = load_encoder(TrainedEncoder(model=settings.backbone), session, device=device)
    return CrossEncoderPolicy(how, load_adapter(found.path, backbone), settings)
