"""Adapters of cross-encoders: what training has changed of a sentence encoder so that it reads a query and a document.

Beside low-rank changes of the backbone's layers, one holds the head: how the first token becomes a score. One that
compares reads two documents; it is laid out alike. See `rankloom.adapter`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankloom.adapter import (
    AdapterKind,
    LowRankChanges,
    changed_transformer,
    trainable,
)
from rankloom.errors import DataError
from rankloom.extras import require

if TYPE_CHECKING:
    from torch import Tensor

_STAGE = "cross_encoder"
FORMAT, VERSION = "rankloom-cross-encoder-adapter", 1
#: Models of transformers whose layers are BERT's, and whose head reads the first token of the last one.
LIKE_BERT = frozenset({"bert", "roberta", "xlm-roberta", "electra", "camembert"})


@dataclass(frozen=True, slots=True)
class CrossEncoderSettings(LowRankChanges):
    """How a backbone is changed; by name also what `LowRankChanges` has.

    Args:
        backbone: Name or folder of a sentence encoder.
        max_tokens: Tokens that are read of a query and its documents together.
        documents: How many documents are read with a query: 1, or 2 that are compared.
    """

    backbone: str
    max_tokens: int = 256
    documents: int = 1


def adapted(backbone: Any, settings: CrossEncoderSettings) -> Any:
    """A `CrossEncoder` of sentence-transformers: the backbone with its low-rank changes, and a head.

    The backbone's parameters are the same tensors as before and stay as they are; only the changes and the head can be
    trained. The head's weights are arbitrary until an adapter is loaded or trained.

    Args:
        backbone: A `SentenceTransformer` whose first module is a transformer.
        settings: How it is changed.
    """
    transformer = changed_transformer(backbone, settings, stage=_STAGE)
    return with_head(transformer, max_tokens=settings.max_tokens)


def with_head(transformer: Any, *, max_tokens: int) -> Any:
    """A `CrossEncoder` of a transformer, with a new head that gives one score.

    Args:
        transformer: A `Transformer` of sentence-transformers; it is changed.
        max_tokens: Tokens that are read of a query and a document together.
    """
    library = require("sentence_transformers", extra="dense", stage=_STAGE)
    base = transformer.model
    if getattr(base, "pooler", None) is not None:  # a part of the head, and its weights are the backbone's own
        base.pooler = copy.deepcopy(base.pooler).requires_grad_(True)
    transformer.model = _classifier(base)
    transformer.transformer_task = "sequence-classification"
    transformer.modality_config = {"text": {"method": "forward", "method_output_name": "logits"}}
    transformer.module_output_name = "scores"
    transformer.max_seq_length = max_tokens
    return library.CrossEncoder(modules=[transformer], device=str(base.device))


def _classifier(base: Any) -> Any:
    """The class of transformers that puts a head on such a model, around the model itself."""
    transformers = require("transformers", extra="dense", stage=_STAGE)
    config = copy.deepcopy(base.config)
    config.num_labels = 1
    small = copy.deepcopy(config)
    small.num_hidden_layers, small.vocab_size = 0, 8  # what is made here is thrown away, but for the head
    classifier = transformers.AutoModelForSequenceClassification.from_config(small)
    setattr(classifier, classifier.base_model_prefix, base)
    classifier.config = config
    return classifier.to(device=base.device, dtype=base.dtype)


def trained(encoder: Any) -> dict[str, Tensor]:
    """Name -> parameter, of those that training changes: the low-rank changes and the head."""
    return trainable({"transformer": encoder[0].model})


_KIND = AdapterKind(FORMAT, VERSION, _STAGE, CrossEncoderSettings, adapted, trained)
save_adapter, read_settings = _KIND.save, _KIND.read_settings


def load_adapter(folder: str | Path, backbone: Any, *, documents: int = 1) -> Any:
    """The cross-encoder that an adapter and its backbone make, in evaluation mode.

    Args:
        folder: The adapter.
        backbone: The `SentenceTransformer` that the adapter names, loaded; its weights are shared, not copied.
        documents: How many documents it is to read with a query.

    Raises:
        DataError: The adapter can not be read, does not fit the backbone, or reads another number of documents.
    """
    settings = read_settings(folder)
    if settings.documents != documents:
        raise DataError(
            f"the adapter reads {settings.documents} document(s) with a query",
            stage=_STAGE,
            value=str(folder),
            accepted=f"one that reads {documents}",
            fix="take Duo for one that compares two documents, CrossEncoder for one that scores one",
        )
    return _KIND.load(folder, backbone)
