"""The model card of a trained multi-vector encoder."""

from __future__ import annotations

from typing import Any

from rankloom.training.encoder_card import training_card
from rankloom.training.model_card import score_table


def multi_vector_card(manifest: dict[str, Any]) -> str:
    """What a trained encoder is, as Markdown: data and licences, reduction, how it was trained, scores.

    Args:
        manifest: Of the training; see `rankloom.training.multi_vector.train`.
    """
    recipe = manifest["recipe"]
    encoder, training, reduction = recipe["encoder"], recipe["training"], recipe["reduction"]
    vectors = "all vectors are kept" if reduction == "none" else f"reduced by `{reduction}`, in training and by default"
    what = (
        f"A multi-vector encoder, trained from {encoder['model']}"
        if encoder["lora"] is None
        else f"An adapter of {encoder['model']}, which makes it a multi-vector encoder"
    )
    return training_card(
        manifest,
        what=[
            f"{what}; {vectors}.",
            "Made by `rankloom train` (recipe of kind `multi_vector`). Name this folder as the model of `multi_vector`",
            "or `late_interaction`.",
        ],
        how=[
            f"{_changes(encoder)}; {training['steps']:,} steps of {training['queries']} queries, each with",
            f"{_negatives(recipe['negatives']['count'])} beside the other queries' documents; learning rate",
            f"{training['learning_rate']:g}, temperature {recipe['loss']['temperature']:g} of MaxSim / query vectors,",
            f"{_read(encoder, manifest)}; seed {recipe['seed']}.",
            f"{_start(encoder, manifest)}",
        ],
        scores=score_table(manifest),
    )


def _negatives(count: int) -> str:
    """How many there are for each query."""
    return f"{count} mined negative{'' if count == 1 else 's'}"


def _changes(encoder: dict[str, Any]) -> str:
    """What is trained."""
    lora = encoder["lora"]
    if lora is None:
        return "All weights"
    layers = "all layers" if lora["layers"] is None else f"the upper {lora['layers']} layers"
    return f"Low-rank changes of {layers} (rank {lora['rank']}, alpha {lora['alpha']})"


def _read(encoder: dict[str, Any], manifest: dict[str, Any]) -> str:
    """How much is read of texts."""
    documents = f"{encoder['document_tokens']} tokens a document ({manifest['documents_cut']:.0%} have more)"
    return f"{documents}, {encoder['query_tokens']} a query ({manifest['queries_cut']:.0%} have more)"


def _start(encoder: dict[str, Any], manifest: dict[str, Any]) -> str:
    """What vectors are at first."""
    if encoder["dimensions"] is None:
        return "Vectors have the dimensions of the backbone."
    return (
        f"{encoder['dimensions']} dimensions, at first the principal components of token vectors, which hold "
        f"{manifest['projection_holds']:.0%} of them."
    )
