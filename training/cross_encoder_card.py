"""The model card of a trained cross-encoder."""

from __future__ import annotations

from typing import Any

from rankloom.training.encoder_card import training_card
from rankloom.training.model_card import score_table


def cross_encoder_card(manifest: dict[str, Any]) -> str:
    """What a trained cross-encoder is, as Markdown: data and licences, how it was trained, scores.

    Args:
        manifest: Of the training; see `rankloom.training.cross_encoder.train`.
    """
    recipe = manifest["recipe"]
    encoder, training = recipe["encoder"], recipe["training"]
    lora = encoder["lora"]
    what = "A cross-encoder, trained from" if lora is None else "An adapter that makes a cross-encoder of"
    changes = (
        "All weights" if lora is None else f"Low-rank changes (rank {lora['rank']}, alpha {lora['alpha']}), a head"
    )
    cut = f"{manifest['pairs_cut']:.0%} have more"
    from_where = f", from the adapter {encoder['start']}" if encoder["start"] else ""
    how = recipe["judged"]
    judged = "" if how is None else f" and, as {how['share']:.0%} of it, the scores of the judge of negatives"
    return training_card(
        manifest,
        what=[
            f"{what} {encoder['model']}. Made by `rankloom train` (recipe of kind `cross_encoder`).",
            "Name this folder as the model of `cross_encoder`.",
        ],
        how=[
            f"{changes}{from_where}; {training['steps']:,} steps of {training['queries']} queries, each with",
            f"{recipe['negatives']['count']} mined negatives; loss `{recipe['loss']}`{judged}, learning rate",
            f"{training['learning_rate']:g}, {encoder['max_tokens']} tokens a pair ({cut}),",
            f"seed {recipe['seed']}.",
        ],
        scores=score_table(manifest, among="the first stage's candidates and their relevant documents"),
    )
