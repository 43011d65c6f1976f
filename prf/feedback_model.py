"""The model of a learned query encoder: a sentence encoder that pools the tokens its layout says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense
from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling
from torch import Tensor

from rankloom.prf.feedback_layout import Rendered

_HEAD = "embeddingHead.weight"  # of a checkpoint of ANCE
_WEIGHTS = "model.safetensors"


class PooledTokens(torch.nn.Module):
    """Lets the pooling behind it see the tokens of `pooled_mask` alone."""

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """The features with another mask."""
        return {**features, "attention_mask": features["pooled_mask"]}


def feedback_model(modules: Sequence[Any], *, similarity: Literal["cosine", "dot"]) -> Any:
    """A `SentenceTransformer` that takes the features of `features_of`.

    Args:
        modules: Those of a sentence encoder, a transformer first.
        similarity: `cosine` or `dot`.
    """
    transformer, *others = modules
    device = str(transformer.model.get_input_embeddings().weight.device)
    return SentenceTransformer(
        modules=[transformer, PooledTokens(), *others], device=device, similarity_fn_name=similarity
    )


def features_of(sequences: Sequence[Rendered], *, padding: int) -> dict[str, Any]:
    """Sequences side by side: `input_ids`, `attention_mask` and `pooled_mask`, int64 of shape (sequences, longest).

    Segments are left out, so that a model like BERT takes all tokens for those of its first, as published.

    Args:
        sequences: One or more.
        padding: The token that fills up shorter ones.
    """
    width = max(len(one.ids) for one in sequences)
    ids = torch.tensor([one.ids + [padding] * (width - len(one.ids)) for one in sequences])
    lengths = torch.tensor([[len(one.ids)] for one in sequences])
    bounds = torch.tensor([one.pooled for one in sequences])
    places = torch.arange(width)
    pooled = (places >= bounds[:, :1]) & (places < bounds[:, 1:])
    return {
        "input_ids": ids,
        "attention_mask": (places < lengths).long(),
        "pooled_mask": pooled.long(),
        "modality": "text",
    }


def is_ance(folder: Path) -> bool:
    """Whether a folder holds a checkpoint of ANCE: RoBERTa, and a head that sentence-transformers does not know."""
    weights = folder / _WEIGHTS
    if not weights.is_file():
        return False
    with safe_open(str(weights), "pt") as file:
        return _HEAD in set(file.keys())


def with_ance_head(model: Any, folder: Path) -> list[Any]:
    """The modules of a checkpoint of ANCE: first token -> linear map -> layer norm (Xiong et al., ICLR 2021).

    Args:
        model: What sentence-transformers has made of the folder, whose transformer is taken.
        folder: It.
    """
    with safe_open(str(folder / _WEIGHTS), "pt") as file:
        weight, bias = file.get_tensor(_HEAD), file.get_tensor("embeddingHead.bias")
        scale, shift = file.get_tensor("norm.weight"), file.get_tensor("norm.bias")
    outputs, inputs = weight.shape
    head = Dense(inputs, outputs, activation_function=torch.nn.Identity(), init_weight=weight, init_bias=bias)
    norm = LayerNorm(outputs)
    norm.norm.weight.data, norm.norm.bias.data = scale, shift
    numbers = model[0].model.get_input_embeddings().weight
    return [model[0], Pooling(inputs, "cls"), *(one.to(numbers.device, numbers.dtype) for one in (head, norm))]
