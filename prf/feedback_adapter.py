"""Learned feedback as a folder: an adapter of a sentence encoder, or a whole model with `feedback.json` beside it.

Either says which layout it was trained with, its depth above all, and which encoder's documents it was trained for.
See `rankloom.adapter`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

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
from rankloom.errors import DataError, UsageError
from rankloom.model_files import FEEDBACK, read_json_object
from rankloom.models import ResolvedModel
from rankloom.prf.feedback_layout import FeedbackLayout

if TYPE_CHECKING:
    from torch import Tensor

_STAGE = "feedback_adapter"
FORMAT, VERSION = "rankloom-feedback-adapter", 1


@dataclass(frozen=True, slots=True)
class FeedbackAdapterSettings(LowRankChanges):
    """How a backbone is changed; by name also what `LowRankChanges` has.

    Args:
        backbone: Name or folder of a sentence encoder.
        documents: The sentence encoder whose document vectors it was trained for.
        layout: What it reads.
    """

    backbone: str
    documents: str
    layout: FeedbackLayout


class Said(NamedTuple):
    """What a folder says of the query encoder in it.

    Args:
        layout: What it reads.
        documents: The sentence encoder whose document vectors it was trained for.
    """

    layout: FeedbackLayout
    documents: str


def adapted(backbone: Any, settings: FeedbackAdapterSettings) -> Any:
    """A backbone with low-rank changes, which alone can be trained; its own parameters are the same tensors as before.

    Args:
        backbone: A `SentenceTransformer` whose first module is a transformer.
        settings: How it is changed.
    """
    from rankloom.prf.feedback_model import feedback_model

    transformer = changed_transformer(backbone, settings, stage=_STAGE)
    return feedback_model([transformer, *list(backbone)[1:]], similarity=backbone.similarity_fn_name)


def trained(encoder: Any) -> dict[str, Tensor]:
    """Name -> parameter, of the low-rank changes."""
    return trainable({"transformer": encoder[0].model})


def save_adapter(
    encoder: Any, folder: str | Path, settings: FeedbackAdapterSettings, *, card: str, manifest: Mapping[str, Any]
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
    write_adapter(folder, fields, trained(encoder), card=card, manifest=manifest)


def read_settings(folder: str | Path) -> FeedbackAdapterSettings:
    """What an adapter says of itself.

    Raises:
        DataError: The file can not be read, or is of another format or version.
    """
    fields = read_fields(folder, FORMAT, VERSION, stage=_STAGE)
    try:
        layout, modules = FeedbackLayout.of(fields.pop("layout")), tuple(fields.pop("modules"))
        return FeedbackAdapterSettings(**fields, layout=layout, modules=modules)
    except (KeyError, TypeError, UsageError) as error:
        raise unreadable(folder, FORMAT, VERSION, str(error), stage=_STAGE) from error


def load_adapter(folder: str | Path, backbone: Any) -> Any:
    """The encoder that an adapter and its backbone make, in evaluation mode.

    Args:
        folder: The adapter.
        backbone: The `SentenceTransformer` that the adapter names, loaded; its weights are shared, not copied.

    Raises:
        DataError: The adapter can not be read, or does not fit the backbone.
    """
    encoder = adapted(backbone, read_settings(folder))
    restore(trained(encoder), read_weights(folder), stage=_STAGE)
    return encoder.eval()


def said_by(found: ResolvedModel) -> Said | None:
    """What a model says of itself; None for one that was not made here and has no `feedback.json`.

    Raises:
        DataError: The file that says it can not be read.
    """
    if found.backbone is not None:
        settings = read_settings(found.path)
        return Said(settings.layout, settings.documents)
    file = found.path / FEEDBACK
    if not file.is_file():
        return None
    fields = read_json_object(file, stage=_STAGE)
    try:
        return Said(FeedbackLayout.of(fields["layout"]), str(fields["documents"]))
    except (KeyError, TypeError, UsageError) as error:
        raise DataError(
            f"what the model says of feedback can not be read ({type(error).__name__}: {error})",
            stage=_STAGE,
            value=str(file),
            accepted='{"layout": {"docs": 3}, "documents": "all-MiniLM-L6-v2"}',
        ) from error
