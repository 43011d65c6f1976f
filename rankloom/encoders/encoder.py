"""What every text encoder does, whatever computes its vectors."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rankloom.session import Session

Role = Literal["query", "document"]


class Encoded(NamedTuple):
    """What an encoder gives back for some texts, in their order.

    Args:
        vectors: float32 of shape (texts, dimensions).
        tokens: Tokens that the model read of each text, prompt and special tokens included; int64 of shape (texts,).
        truncated: Tokens of each text that the model did not read; int64 of shape (texts,).
        calls: How many batches went through the model.
    """

    vectors: NDArray[np.float32]
    tokens: NDArray[np.int64]
    truncated: NDArray[np.int64]
    calls: int


class Encoder(Protocol):
    """Turns texts into vectors whose inner product is their similarity.

    `model` is the name that errors and manifests show. An encoder loads nothing until it first encodes.
    """

    model: str

    def fingerprint(self) -> str:
        """A digest of the vector space: model, prompts, dimensions, pooling, normalisation; not the precision."""
        ...

    def settings(self) -> dict[str, Any]:
        """What besides the model and the session decides the vectors of texts: JSON values by name.

        Indexes and caches are kept apart by them, and a manifest shows them. Vectors of one space may have been made
        with other settings, such as other windows; a model on this machine can be made again from them.
        """
        ...

    def precision_in(self, session: Session) -> str:
        """What vectors are computed with in a session.

        `float32`, `bfloat16`, `onnx-float32` or `onnx-int8` of a model on this machine; `remote` or `given` of others.
        """
        ...

    def resolve(self, session: Session) -> object:
        """Find what is needed, without loading it."""
        ...

    def load(self, session: Session) -> object:
        """Get ready now rather than on first use."""
        ...

    def close(self) -> None:
        """Free what was loaded."""
        ...

    def encode(self, texts: list[str], *, role: Role, session: Session) -> Encoded:
        """Encode texts; results come in the order given."""
        ...

    def passages(self, texts: list[str], session: Session) -> list[list[str]]:
        """The windows that each document is encoded by: at least one each, `[text]` unless windows were asked for."""
        ...
