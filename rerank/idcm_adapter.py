"""Adapters of IDCM: what training has changed of a sentence encoder so that it reads long documents in two steps.

An adapter holds what one of a cross-encoder holds, the teacher's part, and the student and the weights. See
`rankloom.adapter`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankloom import cross_encoder_adapter
from rankloom.adapter import (
    AdapterKind,
    LowRankChanges,
    trainable,
)
from rankloom.errors import DataError
from rankloom.rerank.idcm_model import ClassifierTeacher, IDCMModel, IDCMSizes

if TYPE_CHECKING:
    from torch import Tensor

FORMAT, VERSION = "rankloom-idcm-adapter", 1
_STAGE = "idcm"
_SPECIAL = 3  # tokens beside a query and a window that the teacher reads: [CLS] and two [SEP]


@dataclass(frozen=True, slots=True)
class IDCMSettings(LowRankChanges):
    """How a backbone is changed; by name also what `LowRankChanges` has.

    Args:
        backbone: Name or folder of a sentence encoder.
        sizes: What is read.
    """

    backbone: str
    sizes: IDCMSizes


def adapted(backbone: Any, settings: IDCMSettings) -> IDCMModel:
    """A model whose teacher is the backbone with low-rank changes and a head; these, student and weights are untrained.

    Args:
        backbone: A `SentenceTransformer` whose first module is a transformer; its weights are shared.
        settings: How it is changed.

    Raises:
        DataError: The backbone's tokenizer knows no [CLS] or [SEP], or a query and a window are too long for it.
    """
    return around(cross_encoder_adapter.adapted(backbone, _of_teacher(settings)), settings.sizes)


def _of_teacher(settings: IDCMSettings) -> cross_encoder_adapter.CrossEncoderSettings:
    """How the teacher is made, as a cross-encoder."""
    changes = {one.name: getattr(settings, one.name) for one in fields(LowRankChanges)}
    return cross_encoder_adapter.CrossEncoderSettings(settings.backbone, longest(settings.sizes), **changes)


def around(encoder: Any, sizes: IDCMSizes) -> IDCMModel:
    """A model whose teacher is a cross-encoder of `rankloom.cross_encoder_adapter`; student and weights are untrained.

    Args:
        encoder: The cross-encoder; the teacher's weights are its own.
        sizes: What is read.

    Raises:
        DataError: As for `adapted`.
    """
    _check(encoder, longest(sizes))
    return IDCMModel(sizes, encoder.tokenizer, ClassifierTeacher(encoder[0].model)).to(encoder.device)


def longest(sizes: IDCMSizes) -> int:
    """Tokens of a query and a window that the teacher reads at most, special ones included."""
    return sizes.query_tokens + sizes.core + 2 * sizes.overlap + _SPECIAL


def _check(encoder: Any, length: int) -> None:
    """Refuse a backbone that can not read a query and a window of so many tokens as a pair."""
    tokenizer, config = encoder.tokenizer, encoder[0].model.config
    if tokenizer.cls_token_id is None or tokenizer.sep_token_id is None:
        raise DataError(
            "the backbone's tokenizer has no [CLS] or [SEP]",
            stage=_STAGE,
            value=config.model_type,
            accepted="a backbone like BERT or DistilBERT",
        )
    most = getattr(config, "max_position_embeddings", length)
    if length > most:
        raise DataError(
            "a query and a window are longer than the backbone reads",
            stage=_STAGE,
            value=length,
            accepted=f"at most {most} tokens, special ones included",
            fix="make core, overlap or query_tokens smaller",
        )


def teacher_weights(model: IDCMModel) -> dict[str, Tensor]:
    """Name -> parameter, of the teacher's that training changes, by the names that adapters of cross-encoders have."""
    return trainable({"transformer": model.teacher.model})


def trained(model: IDCMModel) -> dict[str, Tensor]:
    """Name -> parameter, of all that training changes."""
    return {**teacher_weights(model), **trainable({"student": model.student}), "weights": model.weights}


_KIND = AdapterKind(FORMAT, VERSION, _STAGE, IDCMSettings, adapted, trained, {"sizes": lambda told: IDCMSizes(**told)})
save_adapter, read_settings, load_adapter = _KIND.save, _KIND.read_settings, _KIND.load


def save_teacher(encoder: Any, folder: str | Path, settings: IDCMSettings, *, manifest: Mapping[str, Any]) -> None:
    """Write the teacher alone, as an adapter of a cross-encoder that reads single passages.

    Args:
        encoder: The cross-encoder that the model was made around.
        folder: Where to.
        settings: What the model was made with.
        manifest: How it came about.

    Raises:
        UsageError: The folder holds other things.
    """
    card = "# The teacher of an IDCM model, as a cross-encoder\n\nSee the model's own card, in the folder beside it.\n"
    cross_encoder_adapter.save_adapter(encoder, folder, _of_teacher(settings), card=card, manifest=manifest)
