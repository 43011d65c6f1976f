"""Learned feedback as a folder: an adapter of a sentence encoder, or a whole model with `feedback.json` beside it.

Either says which layout it was trained with, its depth above all, and which encoder's documents it was trained for.
See `rankloom.adapter`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from rankloom.adapter import (
    AdapterKind,
    LowRankChanges,
    changed_transformer,
    trainable,
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


_KIND = AdapterKind(FORMAT, VERSION, _STAGE, FeedbackAdapterSettings, adapted, trained, {"layout": FeedbackLayout.of})
save_adapter, read_settings, load_adapter = _KIND.save, _KIND.read_settings, _KIND.load


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
