"""Adapters of multi-vector encoders: what training has changed of a sentence encoder, and the encoder made of both.

Beside low-rank changes of the backbone's layers, one holds a linear projection, the layout (which tokens get a vector)
and the word of the reduction that it was trained with. See `rankloom.adapter`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankloom.adapter import (
    LowRankChanges,
    changed_transformer,
    read_fields,
    read_weights,
    restore,
    trainable,
    unreadable,
    write_adapter,
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


def save_adapter(
    encoder: Any,
    folder: str | Path,
    settings: TokenAdapterSettings,
    *,
    card: str = "",
    manifest: Mapping[str, Any] | None = None,
) -> None:
    """Write an adapter, with half-precision weights, whole or not at all.

    Args:
        encoder: A trained encoder of `adapted`.
        folder: Where to.
        settings: What the encoder was made with.
        card: The model card, written as README.md.
        manifest: How it came about, written as manifest.json.

    Raises:
        UsageError: The folder holds other things.
    """
    fields = {**asdict(settings), "format": FORMAT, "version": VERSION}
    write_adapter(folder, fields, trained(encoder), card=card, manifest=manifest or {})


def read_settings(folder: str | Path) -> TokenAdapterSettings:
    """What an adapter says of itself.

    Raises:
        DataError: The file can not be read, or is of another version.
    """
    fields = read_fields(folder, FORMAT, VERSION, stage=_STAGE)
    try:
        layout, modules = TokenLayout(**fields.pop("layout")), tuple(fields.pop("modules"))
        return TokenAdapterSettings(**fields, layout=layout, modules=modules)
    except (KeyError, TypeError) as error:
        raise unreadable(folder, FORMAT, VERSION, str(error), stage=_STAGE) from error


def load_adapter(folder: str | Path, backbone: Any) -> Any:
    """The encoder that an adapter and its backbone make, in evaluation mode; it gives all vectors, as `adapted` says.

    Args:
        folder: The adapter.
        backbone: The `SentenceTransformer` that the adapter names, loaded; its weights are shared, not copied.

    Raises:
        DataError: The adapter can not be read, or does not fit the backbone.
    """
    encoder = adapted(backbone, read_settings(folder))
    restore(trained(encoder), read_weights(folder), stage=_STAGE)
    return encoder.eval()
