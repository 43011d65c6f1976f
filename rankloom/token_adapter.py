"""Adapters of multi-vector encoders: what training has changed of a sentence encoder, and the encoder made of both.

Beside low-rank changes of the backbone's layers, one holds a linear projection, the layout (which tokens get a vector)
and the word of the reduction that it was trained with. See `rankloom.adapter`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rankloom.adapter import (
    AdapterKind,
    LowRankChanges,
    changed_transformer,
    trainable,
)
from rankloom.token_layout import TokenLayout, multi_vector_encoder

if TYPE_CHECKING:
    from torch import Tensor

_STAGE = "token_adapter"
FORMAT, VERSION = "rankloom-token-adapter", 1


@dataclass(frozen=True, slots=True)
class TokenAdapterSettings(LowRankChanges):
    """How a backbone is changed; by name also what `LowRankChanges` has.

    Args:
        backbone: Name or folder of a sentence encoder.
        layout: Which tokens get a vector.
        dimensions: Of the vectors, by a linear projection; None keeps the backbone's.
        reduction: The word of the reduction that it was trained with; see `rankloom.reduction`.
    """

    backbone: str
    layout: TokenLayout = field(default_factory=TokenLayout)
    dimensions: int | None = 128
    reduction: str = "none"


def adapted(backbone: Any, settings: TokenAdapterSettings) -> Any:
    """A `MultiVectorEncoder` of sentence-transformers, which gives all vectors: reducing them is up to the caller.

    The backbone's parameters are the same tensors as before and stay as they are; only the changes and the projection
    can be trained. The projection's weights are arbitrary until an adapter is loaded, or `rankloom.training` starts
    them.

    Args:
        backbone: A `SentenceTransformer` whose first module is a transformer.
        settings: How it is changed.
    """
    transformer = changed_transformer(backbone, settings, stage=_STAGE)
    return multi_vector_encoder(transformer, settings.layout, dimensions=settings.dimensions)


def projection_of(encoder: Any) -> Any:
    """The projection of a multi-vector encoder, a `Dense` of sentence-transformers; None if it has none."""
    from sentence_transformers.base.modules import Dense

    return next((module for module in encoder if isinstance(module, Dense)), None)


def trained(encoder: Any) -> dict[str, Tensor]:
    """Name -> parameter, of those that training changes: the low-rank changes and the projection."""
    projection = projection_of(encoder)
    return trainable({"transformer": encoder[0].model} | ({} if projection is None else {"projection": projection}))


_KIND = AdapterKind(
    FORMAT, VERSION, _STAGE, TokenAdapterSettings, adapted, trained, {"layout": lambda told: TokenLayout(**told)}
)
save_adapter, read_settings, load_adapter = _KIND.save, _KIND.read_settings, _KIND.load
