"""The model card of a trained model that compares two documents."""

from __future__ import annotations

from typing import Any

from rankloom.training.encoder_card import counts_table
from rankloom.training.model_card import platform, score_table


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
    lines = [
        f"# {recipe['name']}",
        "",
        f"An adapter that makes of {encoder['model']} a model that compares two documents. Made by `rankloom train`",
        "(recipe of kind `duo`). Name this folder as the model of `duo`.",
        "",
        "## Data",
        "",
        *counts_table(manifest["data"]),
        "",
        f"Examples: {manifest['examples']:,}. Nothing else was trained or tuned on.",
        "",
        "## Training",
        "",
        f"Low-rank changes (rank {lora['rank']}, alpha {lora['alpha']}), a head{from_where};",
        f"{training['steps']:,} steps of {training['queries']} queries, whose relevant document is compared with",
        f"{recipe['compared']} mined negatives in both orders; binary cross entropy with the labels{judged};",
        f"learning rate {training['learning_rate']:g},",
        f"{encoder['max_tokens']} tokens for a query and two documents (of {manifest['cut']:.0%} of the relevant",
        f"documents the end is not read), seed {recipe['seed']}.",
        f"{platform(manifest)}; {manifest['seconds'] / 60:.0f} minutes since it was last started.",
        *score_table(manifest, among=f"the {recipe['depth']} best candidates of each, all compared with all"),
    ]
    return "\n".join(lines) + "\n"
