"""The model card of a trained sentence encoder."""

from __future__ import annotations

from typing import Any

from rankloom.training.model_card import platform, score_table


def encoder_card(manifest: dict[str, Any]) -> str:
    """What a trained encoder is, as Markdown: data and licences, how it was trained, scores.

    Args:
        manifest: Of the training; see `rankloom.training.encoder_training.train_encoder`.
    """
    recipe = manifest["recipe"]
    encoder, training, loss = recipe["encoder"], recipe["training"], recipe["loss"]
    lora = encoder["lora"]
    what = "All weights" if lora is None else f"Low-rank changes (rank {lora['rank']}, alpha {lora['alpha']}), merged"
    lines = [
        f"# {recipe['name']}",
        "",
        f"A sentence encoder, trained from {encoder['model']} by `rankloom train` (recipe of kind `{recipe['kind']}`).",
        "Name this folder as the model of `dense`.",
        "",
        "## Data",
        "",
        *counts_table(manifest["data"]),
        "",
        f"Examples: {manifest['examples']:,}. Nothing else was trained or tuned on.",
        "",
        "## Training",
        "",
        f"{what}; {training['steps']:,} steps of {training['queries']} queries, learning rate",
        f"{training['learning_rate']:g}, temperature {loss['temperature']:g}, {encoder['max_tokens']} tokens a text,",
        f"of which {manifest['documents_cut']:.0%} of the documents have more; seed {recipe['seed']}.",
        f"{platform(manifest)}; {manifest['seconds'] / 60:.0f} minutes since it was last started.",
        *score_table(manifest),
    ]
    return "\n".join(lines) + "\n"


def counts_table(data: list[dict[str, Any]]) -> list[str]:
    """Sources, what mining or pairing has counted, licences."""
    rows = ["| source | licence | counts |", "|---|---|---|"]
    for one in data:
        counts = ", ".join(f"{name} {number:,}" for name, number in one["counts"].items())
        rows.append(f"| {one['name']} | {one['licence']} | {counts} |")
    return rows
