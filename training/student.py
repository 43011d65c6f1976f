"""What a student of any architecture offers to training, and the student that is a sentence encoder.

Texts go in, scores come out; the architecture is the student's own affair. A trained student is a folder that a stage
loads by its path.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rankloom.encoders import Role, readable
from rankloom.errors import ConfigError
from rankloom.session import Session
from rankloom.training.contrastive_config import TrainedEncoder
from rankloom.training.distillation_config import DotStudent
from rankloom.training.encoder_training import load_encoder
from rankloom.training.pool import prompts_of

_STAGE = "training"


class Student(nn.Module):
    """A model that scores the documents of queries.

    Attributes:
        stage: The word of the stage that loads its folder.
    """

    stage: ClassVar[str]

    @abstractmethod
    def forward(self, queries: Sequence[str], documents: Sequence[str], *, crossed: bool = False) -> Tensor:
        """Scores of documents.

        Args:
            queries: Some queries.
            documents: As many for each, those of the first query first.
            crossed: Score every query with every document; only a `CrossingStudent` can.

        Returns:
            float of shape (queries, documents of each), or crossed (queries, documents).
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write it to a new folder, as its stage loads it."""


class CrossingStudent(Student):
    """A student that reads queries and documents apart, and so compares all of a batch at little cost."""

    @abstractmethod
    def read(self, texts: Sequence[str], role: Role) -> Any:
        """What it compares of texts that are queries or documents."""

    @abstractmethod
    def cross(self, queries: Any, documents: Any) -> Tensor:
        """Scores of every query with every document, float of shape (queries, documents), from what was read."""


class DotLearner(CrossingStudent):
    """A sentence encoder: the inner product of two vectors.

    Args:
        settings: How it is made.
        backbone: The `SentenceTransformer` it starts as; not changed.
    """

    stage = "dense"

    def __init__(self, settings: DotStudent, backbone: Any) -> None:
        super().__init__()
        self.settings = settings
        self.encoder = copy.deepcopy(backbone)
        keep_layers(self.encoder[0].model, settings.layers)

    def forward(self, queries: Sequence[str], documents: Sequence[str], *, crossed: bool = False) -> Tensor:
        """See `Student.forward`."""
        left, right = self.read(queries, "query"), self.read(documents, "document")
        if crossed:
            return self.cross(left, right)
        return self.settings.score_scale * torch.einsum("qe,qde->qd", left, right.view(len(left), -1, left.shape[1]))

    def save(self, folder: Path) -> None:
        """Write a model of sentence-transformers."""
        self.encoder.save_pretrained(str(folder), create_model_card=False)

    def read(self, texts: Sequence[str], role: Role) -> Tensor:
        """One vector for each text, as the encoder makes them for search: with its prompts."""
        tokens = self.settings.query_tokens if role == "query" else self.settings.max_tokens
        prompt = prompts_of(self.encoder).get(role)
        length, self.encoder.max_seq_length = self.encoder.max_seq_length, tokens
        try:
            features = self.encoder.preprocess([readable(text) for text in texts], prompt=prompt, task=role)
        finally:
            self.encoder.max_seq_length = length
        vectors = self.encoder(on_device(features, self.encoder), task=role)["sentence_embedding"].float()
        return nn.functional.normalize(vectors) if self.encoder.similarity_fn_name == "cosine" else vectors

    def cross(self, queries: Tensor, documents: Tensor) -> Tensor:
        """See `CrossingStudent.cross`."""
        return self.settings.score_scale * queries @ documents.T


def on_device(features: dict[str, Any], model: nn.Module) -> dict[str, Any]:
    """Features of a batch where the model is."""
    device = next(model.parameters()).device
    return {name: value.to(device) if isinstance(value, Tensor) else value for name, value in features.items()}


def keep_layers(model: Any, count: int | None) -> None:
    """Leave the lowest layers of a transformer of the BERT family.

    Raises:
        ConfigError: It has fewer, or keeps its layers somewhere else.
    """
    if count is None:
        return
    layers = getattr(getattr(model, "encoder", None), "layer", None)
    if layers is None or len(layers) < count:
        raise ConfigError(
            "the backbone has not that many layers",
            stage=_STAGE,
            value=count,
            accepted="a model of the BERT family" if layers is None else f"1..{len(layers)}",
        )
    model.encoder.layer = nn.ModuleList(layers[:count])
    model.config.num_hidden_layers = count


def load_backbone(name: str, session: Session) -> Any:
    """The `SentenceTransformer` that a student starts from, in float32."""
    return load_encoder(TrainedEncoder(model=name), session, device=session.device)
