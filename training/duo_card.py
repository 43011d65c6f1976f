"""The model card of a trained model that compares two documents."""

from __future__ import annotations

from typing import Any

from rankloom.training.encoder_card import training_card
from rankloom.training.model_card import score_table


def duo_card(manifest: dict[str, Any]) -> str:
    """What a trained model is, as Markdown: data and licences, how it was trained, scores.

    Args:
        manifest: Of the training; see `rankloom.training.duo.train`.
    """
    recipe = manifest["recipe"]
    encoder, training = recipe["encoder"], recipe["training"]
    lora = encoder["lora"]
    from_where = f", from the adapter {encoder['start']}" if encoder["start"] else ""
    how = recipe["judged"]
    judged = "" if how is None else f" and, as {how['share']:.0%} of it, with the scores of the judge of negatives"
    return training_card(
        manifest,
        what=[
            f"An adapter that makes of {encoder['model']} a model that compares two documents. Made by",
            "`rankloom train` (recipe of kind `duo`). Name this folder as the model of `duo`.",
        ],
        how=[
            f"Low-rank changes (rank {lora['rank']}, alpha {lora['alpha']}), a head{from_where};",
            f"{training['steps']:,} steps of {training['queries']} queries, whose relevant document is compared with",
            f"{recipe['compared']} mined negatives in both orders; binary cross entropy with the labels{judged};",
            f"learning rate {training['learning_rate']:g}, {encoder['max_tokens']} tokens for a query and two",
            f"documents (of {manifest['pairs_cut']:.0%} of the relevant documents the end is not read),",
            f"seed {recipe['seed']}.",
        ],
        scores=score_table(manifest, among=f"the {recipe['depth']} best candidates of each, all compared with all"),
    )
