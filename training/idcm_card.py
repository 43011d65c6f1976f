"""The model card of a trained IDCM model."""

from __future__ import annotations

from typing import Any

from rankloom.training.encoder_card import counts_table
from rankloom.training.model_card import platform


def idcm_card(manifest: dict[str, Any]) -> str:
    """What a trained IDCM model is, as Markdown: data and licences, how it was trained, scores.

    Args:
        manifest: Of the training; see `rankloom.training.idcm.train`.
    """
    recipe = manifest["recipe"]
    encoder, lora = recipe["encoder"], recipe["encoder"]["lora"]
    start = f", from the adapter {encoder['start']}" if encoder["start"] else ""
    lines = [
        f"# {recipe['name']}",
        "",
        f"An adapter that makes a reranker of long documents of {encoder['model']} (IDCM, Hofstätter et al., SIGIR",
        "2021). Made by `rankloom train` (recipe of kind `idcm`). Name this folder as the model of `idcm`.",
        "",
        "## Data",
        "",
        *counts_table(manifest["data"]),
        "",
        f"Examples: {manifest['examples']:,}. Nothing else was trained or tuned on.",
        *_passages(manifest),
        "",
        "## Training",
        "",
        f"Low-rank changes (rank {lora['rank']}, alpha {lora['alpha']}), a head{start}; a student of kind",
        f"`{encoder['student']}`. Windows of {encoder['core']} tokens and {encoder['overlap']} more on either side, of",
        f"the first {encoder['max_tokens']:,} tokens of a document; {encoder['sample']} of them are chosen. Weights",
        f"of the best: {', '.join(f'{one:g}' for one in manifest['weights'])}. Seed {recipe['seed']}.",
        "",
        *_steps(recipe),
        "",
        "What a step leaves is its last checkpoint: none was chosen by its scores.",
        "",
        f"{platform(manifest)}; {manifest['seconds'] / 60:.0f} minutes since it was last started.",
        *_scores(manifest),
    ]
    return "\n".join(lines) + "\n"


def _steps(recipe: dict[str, Any]) -> list[str]:
    """The three steps, in a table."""
    named = {
        "teacher, passages": (recipe["passages"], recipe["passages"]["loss"]),
        "teacher, documents": (recipe["training"], "ranknet"),
        "student, windows": (recipe["distillation"], recipe["distillation"]["loss"]),
    }
    rows = [
        f"| {name} | {how['steps']:,} | {how['queries']} | {how['learning_rate']:g} | `{loss}` |"
        for name, (how, loss) in named.items()
    ]
    return ["| trained on | steps | queries a step | learning rate | loss |", "|---|---:|---:|---:|---|", *rows]


def _passages(manifest: dict[str, Any]) -> list[str]:
    """What the first step was trained on, in a table; nothing if there was no such step."""
    if not manifest["passages"]:
        return []
    return ["", "Passages of them, which the first step was trained on:", "", *counts_table(manifest["passages"])]


def _scores(manifest: dict[str, Any]) -> list[str]:
    """What was measured, as a section; nothing if no query was held out."""
    if not manifest["end"]:
        return []
    collection = manifest["recipe"]["validation"]["collection"]
    left_out = f" ({manifest['left_out']} that were trained on are left out)" if manifest["left_out"] else ""
    return [
        "",
        "## Scores",
        "",
        f"On {manifest['held_out']} queries of {collection}{left_out}, among the first stage's documents; a relevant",
        "one that it has not found is missing from all rankings:",
        "",
        "| measure | |",
        "|---|---:|",
        *(f"| {name} | {value:g} |" for name, value in manifest["end"].items()),
    ]
