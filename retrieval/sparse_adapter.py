"""Adapters of sparse encoders: what training has changed of a sentence encoder, and the encoder made of both.

An adapter is a folder of a megabyte or two: `adapter.json` (which backbone, and how it is changed),
`adapter.safetensors` (low-rank changes of its upper layers, and a head) and `idf.json` (the weights of query terms).
The backbone's own weights are shared with whoever else holds them. Hu et al.: LoRA, ICLR 2022 (arXiv:2106.09685).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rankloom.errors import DataError
from rankloom.extras import require
from rankloom.files import MANIFEST, atomic_path, write_json
from rankloom.model_files import ADAPTER

if TYPE_CHECKING:
    from torch import Tensor

_STAGE = "sparse_adapter"
_FORMAT, _VERSION = "rankloom-sparse-adapter", 1
_WEIGHTS, _IDF = "adapter.safetensors", "idf.json"
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

    transformer = copy.deepcopy(backbone[0], {id(one): one for one in backbone.parameters()})
    model = transformer.model
    embeddings = model.get_input_embeddings()
    model.requires_grad_(False)
    head = SparseHead(embeddings, activation_function=settings.activation_function)
    head.to(embeddings.weight.device, embeddings.weight.dtype)
    if settings.rank:
        peft = require("peft", extra="mini", stage=_STAGE)
        depth = model.config.num_hidden_layers
        peft.inject_adapter_in_model(
            peft.LoraConfig(
                r=settings.rank,
                lora_alpha=settings.alpha,
                target_modules=list(settings.modules),
                layers_to_transform=list(range(depth - settings.layers, depth)),
                layers_pattern="layer",
            ),
            model,
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
    parts = {"transformer": transformer.model, "head": head}
    return {
        f"{part}.{name}": parameter
        for part, module in parts.items()
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }


def restore(encoder: Any, weights: Mapping[str, Tensor]) -> None:
    """Give an encoder the weights that `trained` had.

    Raises:
        DataError: They are of another encoder.
    """
    import torch

    parameters = trained(encoder)
    if {name: one.shape for name, one in parameters.items()} != {name: one.shape for name, one in weights.items()}:
        raise DataError("the weights are of another encoder", stage=_STAGE, value=sorted(weights)[:3])
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])


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
    import torch
    from safetensors.torch import save_file

    target = Path(folder)
    with atomic_path(target) as temporary:
        temporary.mkdir()
        halves = {name: one.detach().to("cpu", torch.float16).contiguous() for name, one in trained(encoder).items()}
        save_file(halves, temporary / _WEIGHTS)
        (temporary / _IDF).write_text(json.dumps(idf, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
        (temporary / "README.md").write_text(card, encoding="utf-8")
        write_json(temporary / MANIFEST, manifest or {})
        fields = {**asdict(settings), "format": _FORMAT, "version": _VERSION}
        write_json(temporary / ADAPTER, fields)


def read_settings(folder: str | Path) -> AdapterSettings:
    """What an adapter says of itself.

    Raises:
        DataError: The file can not be read, or is of another version.
    """
    file = Path(folder) / ADAPTER
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
        kind = (fields.pop("format"), fields.pop("version"))
        if kind != (_FORMAT, _VERSION):
            raise ValueError(f"it is of format {kind[0]}, version {kind[1]}")
        return AdapterSettings(**{**fields, "modules": tuple(fields["modules"])})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        accepted = f"an adapter of format {_FORMAT}, version {_VERSION}"
        raise DataError(
            f"the adapter can not be read ({error})", stage=_STAGE, value=str(file), accepted=accepted
        ) from error


def load_adapter(folder: str | Path, backbone: Any) -> Any:
    """The encoder that an adapter and its backbone make, in evaluation mode.

    Args:
        folder: The adapter.
        backbone: The `SentenceTransformer` that the adapter names, loaded; its weights are shared, not copied.

    Raises:
        DataError: The adapter can not be read, or does not fit the backbone.
    """
    from safetensors.torch import load_file

    encoder = adapted(backbone, read_settings(folder), read_idf(folder))
    restore(encoder, load_file(Path(folder) / _WEIGHTS))
    return encoder.eval()


def read_idf(folder: str | Path) -> dict[str, float]:
    """An adapter's table of the weights of query terms."""
    table: dict[str, float] = json.loads((Path(folder) / _IDF).read_text(encoding="utf-8"))
    return table
