"""Adapters of sparse encoders: what training has changed of a sentence encoder, and the encoder made of both.

Beside the files of every adapter (low-rank changes of upper layers, and here a head), one holds `idf.json`, the weights
of query terms. See `rankloom.adapter`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rankloom import adapter
from rankloom.adapter import (
    add_low_rank,
    read_fields,
    read_weights,
    shared_transformer,
    trainable,
    unreadable,
    write_adapter,
)

if TYPE_CHECKING:
    from torch import Tensor

_STAGE = "sparse_adapter"
_FORMAT, _VERSION = "rankloom-sparse-adapter", 1
_IDF = "idf.json"
_DOCUMENTS = "document"


@dataclass(frozen=True, slots=True)
class AdapterSettings:
    """How a backbone is changed.

    Args:
        backbone: Name or folder of the sentence encoder.
        rank: Of the changes to each matrix; 0 leaves the backbone as it is and trains the head alone.
        alpha: The changes count alpha / rank.
        layers: How many of the backbone's layers are changed, from the top.
        modules: Ends of the names of the matrices that are changed; BERT's by default.
        activation_function: See `SparseHead`.
    """

    backbone: str
    rank: int = 16
    alpha: int = 32
    layers: int = 3
    modules: tuple[str, ...] = ("query", "key", "value", "dense")
    activation_function: Literal["relu", "log1p_relu"] = "relu"


def adapted(backbone: Any, settings: AdapterSettings, idf: Mapping[str, float]) -> Any:
    """A `SparseEncoder` of sentence-transformers: documents by the changed backbone and a head, queries by a table.

    The backbone's parameters are the same tensors as before and stay as they are; only the changes and the head can be
    trained. The head's weights are arbitrary until an adapter is loaded, or `rankloom.training` starts them.

    Args:
        backbone: A `SentenceTransformer` whose first module is a transformer.
        settings: How it is changed.
        idf: Token -> weight of a query term; tokens that are missing count 0.
    """
    import torch
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Router
    from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding

    from rankloom.retrieval.sparse_head import SparseHead

    transformer = shared_transformer(backbone)
    model = transformer.model
    embeddings = model.get_input_embeddings()
    head = SparseHead(embeddings, activation_function=settings.activation_function)
    head.to(embeddings.weight.device, embeddings.weight.dtype)
    add_low_rank(
        model,
        rank=settings.rank,
        alpha=settings.alpha,
        modules=settings.modules,
        layers=settings.layers,
        extra="mini",
        stage=_STAGE,
    )
    tokenizer = transformer.tokenizer
    weight = torch.zeros(model.config.vocab_size)
    for token, number in tokenizer.get_vocab().items():
        weight[number] = idf.get(token, 0.0)
    weight[tokenizer.all_special_ids] = 0.0
    queries = SparseStaticEmbedding(tokenizer, weight=weight, frozen=True)
    router = Router.for_query_document(query_modules=[queries], document_modules=[transformer, head])
    return SparseEncoder(modules=[router], device=str(embeddings.weight.device))


def document_modules(encoder: Any) -> tuple[Any, Any]:
    """The transformer and the head that an encoder of `adapted` reads documents with."""
    transformer, head = encoder[0].sub_modules[_DOCUMENTS]
    return transformer, head


def trained(encoder: Any) -> dict[str, Tensor]:
    """Name -> parameter, of those that training changes: the low-rank changes and the head."""
    transformer, head = document_modules(encoder)
    return trainable({"transformer": transformer.model, "head": head})


def restore(encoder: Any, weights: Mapping[str, Tensor]) -> None:
    """Give an encoder the weights that `trained` had.

    Raises:
        DataError: They are of another encoder.
    """
    adapter.restore(trained(encoder), weights, stage=_STAGE)


def save_adapter(
    encoder: Any,
    folder: str | Path,
    settings: AdapterSettings,
    idf: Mapping[str, float],
    *,
    card: str = "",
    manifest: Mapping[str, Any] | None = None,
) -> None:
    """Write an adapter, with half-precision weights, whole or not at all.

    Args:
        encoder: A trained encoder of `adapted`.
        folder: Where to.
        settings: What the encoder was made with.
        idf: What the encoder was made with.
        card: The model card, written as README.md.
        manifest: How it came about, written as manifest.json.

    Raises:
        UsageError: The folder holds other things.
    """
    write_adapter(
        folder,
        {**asdict(settings), "format": _FORMAT, "version": _VERSION},
        trained(encoder),
        card=card,
        manifest=manifest or {},
        texts={_IDF: json.dumps(idf, ensure_ascii=False, separators=(",", ":"))},
    )


def read_settings(folder: str | Path) -> AdapterSettings:
    """What an adapter says of itself.

    Raises:
        DataError: The file can not be read, or is of another version.
    """
    fields = read_fields(folder, _FORMAT, _VERSION, stage=_STAGE)
    try:
        return AdapterSettings(**{**fields, "modules": tuple(fields["modules"])})
    except (KeyError, TypeError) as error:
        raise unreadable(folder, _FORMAT, _VERSION, str(error), stage=_STAGE) from error


def load_adapter(folder: str | Path, backbone: Any) -> Any:
    """The encoder that an adapter and its backbone make, in evaluation mode.

    Args:
        folder: The adapter.
        backbone: The `SentenceTransformer` that the adapter names, loaded; its weights are shared, not copied.

    Raises:
        DataError: The adapter can not be read, or does not fit the backbone.
    """
    encoder = adapted(backbone, read_settings(folder), read_idf(folder))
    restore(encoder, read_weights(folder))
    return encoder.eval()


def read_idf(folder: str | Path) -> dict[str, float]:
    """An adapter's table of the weights of query terms."""
    table: dict[str, float] = json.loads((Path(folder) / _IDF).read_text(encoding="utf-8"))
    return table
