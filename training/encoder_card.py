"""The model card of a trained sentence encoder."""

from __future__ import annotations

from collections.abc import Sequence
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
    return training_card(
        manifest,
        what=[
            f"A sentence encoder, trained from {encoder['model']} by `rankloom train`",
            f"(recipe of kind `{recipe['kind']}`). Name this folder as the model of `dense`.",
        ],
        how=[
            f"{what}; {training['steps']:,} steps of {training['queries']} queries, learning rate",
            f"{training['learning_rate']:g}, temperature {loss['temperature']:g}, {encoder['max_tokens']} tokens a",
            f"text, of which {manifest['documents_cut']:.0%} of the documents have more; seed {recipe['seed']}.",
        ],
        scores=score_table(manifest),
    )


def training_card(
    manifest: dict[str, Any],
    *,
    what: Sequence[str],
    how: Sequence[str],
    scores: Sequence[str],
    examples: Sequence[str] | None = None,
) -> str:
    """The card of a model that was trained on counted data, as Markdown.

    Args:
        manifest: Of the training: `recipe`, `data`, `examples`, `seconds`, versions and machine.
        what: Lines on what it is, and what takes it.
        how: Lines on how it was trained.
        scores: Whole sections.
        examples: Lines on what was trained on, if its number alone does not tell.
    """
    counted = [f"Examples: {manifest['examples']:,}. Nothing else was trained or tuned on."]
    lines = [
        f"# {manifest['recipe']['name']}",
        "",
        *what,
        "",
        "## Data",
        "",
        *counts_table(manifest["data"]),
        "",
        *(counted if examples is None else examples),
        "",
        "## Training",
        "",
        *how,
        f"{platform(manifest)}; {manifest['seconds'] / 60:.0f} minutes since it was last started.",
        *scores,
    ]
    return "\n".join(lines) + "\n"


def counts_table(data: list[dict[str, Any]]) -> list[str]:
    """Sources, what mining or pairing has counted, licences."""
    rows = ["| source | licence | counts |", "|---|---|---|"]
    for one in data:
        counts = ", ".join(f"{name} {number:,}" for name, number in one["counts"].items())
        rows.append(f"| {one['name']} | {one['licence']} | {counts} |")
    return rows
