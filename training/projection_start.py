"""The start of a projection of token vectors: the directions that hold most of what a transformer says of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from torch import Tensor

from rankloom.errors import DataError
from rankloom.token_adapter import projection_of
from rankloom.training.encoder_training import some_of
from rankloom.training.pool import prompts_of

_AT_ONCE = 32  # documents


def start_projection(encoder: Any, documents: Sequence[str], *, count: int, seed: int) -> float:
    """Start the projection of a multi-vector encoder by the principal components of token vectors.

    The rows are orthonormal, so inner products in their space stay as they are, and the untrained encoder ranks nearly
    as the transformer's own vectors do. Components are taken about the origin: the projection has no bias, and it is
    inner products with the origin as the centre that are to be kept.

    Args:
        encoder: Of `rankloom.token_layout.multi_vector_encoder`. Without a projection, nothing is done.
        documents: Texts to look at.
        count: How many of them.
        seed: Of the draw.

    Returns:
        The share of the squared lengths that the components hold; 1 without a projection.

    Raises:
        DataError: The transformer has fewer dimensions than the projection.
    """
    projection = projection_of(encoder)
    if projection is None:
        return 1.0
    moments = _second_moments(encoder, some_of(documents, count, seed=seed))
    weight = projection.linear.weight
    if weight.shape[0] > len(moments):
        raise DataError(
            "the projection has more dimensions than the model",
            stage="training",
            value=weight.shape[0],
            accepted=f"at most {len(moments)}",
            fix="lower encoder.dimensions",
        )
    values, vectors = torch.linalg.eigh(moments)  # ascending
    components = vectors.T.flip(0)[: weight.shape[0]]
    largest = components.gather(1, components.abs().argmax(dim=1, keepdim=True))
    with torch.no_grad():
        weight.copy_(components * largest.sign())  # an eigenvector's sign is arbitrary
    return float(values.flip(0)[: weight.shape[0]].sum() / values.sum())


def _second_moments(encoder: Any, documents: Sequence[str]) -> Tensor:
    """The sum, over all tokens that count, of x x^T of their vectors x of length 1; float64, on the CPU."""
    transformer, prompt = encoder[0], prompts_of(encoder).get("document")
    mask = next(module for module in encoder if isinstance(module, MultiVectorMask))
    width = transformer.get_embedding_dimension()
    total = torch.zeros(width, width, dtype=torch.float64)
    ordered = sorted(documents, key=len)
    training = encoder.training
    encoder.eval()
    with torch.inference_mode():
        for first in range(0, len(ordered), _AT_ONCE):
            features = encoder.preprocess(ordered[first : first + _AT_ONCE], prompt=prompt, task="document")
            features = {
                name: one.to(encoder.device) if isinstance(one, Tensor) else one for name, one in features.items()
            }
            features = mask(transformer(features), task="document")
            states = features["token_embeddings"][features["attention_mask"].bool()].float()
            states = torch.nn.functional.normalize(states, dim=1)
            total += (states.T @ states).double().cpu()
    encoder.train(training)
    return total
