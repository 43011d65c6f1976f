"""The model card of a student."""

from __future__ import annotations

from typing import Any

from rankloom.training.model_card import data_table, platform, score_table


def distillation_card(manifest: dict[str, Any], *, stage: str) -> str:
    """What a student is, as Markdown: data and licences, how it was trained, scores.

    Args:
        manifest: Of the training; see `rankloom.training.distillation_recipe.train`.
        stage: The word of the stage that loads it.
    """
    recipe = manifest["recipe"]
    teachers, student, training = recipe["teachers"], recipe["student"], recipe["training"]
    sizes = ", ".join(f"{name} {value}" for name, value in student.items() if name not in ("architecture", "backbone"))
    taught = recipe["loss"].endswith("margin_mse")
    named = teachers["file"] or ", ".join(teachers["ensemble"])
    by = f"{named} (mix: {teachers['mix']}, scale {teachers['scale']:g})"
    crosses = "nDCG@10" in manifest["end"]
    lines = [
        f"# {recipe['name']}",
        "",
        f"A student of the architecture `{student['architecture']}`, started from {student['backbone']}.",
        f"Made by `rankloom train`; name this folder as the model of `{stage}`.",
        "",
        "## Data",
        "",
        *data_table(manifest),
        "",
        f"Examples: {manifest['examples']:,}, each of {teachers['documents']} documents, the relevant one first.",
        f"Teachers: {by}." if taught else "Trained on judgements alone: the other documents count as not relevant.",
        "Nothing else was trained or tuned on.",
        "",
        "## Training",
        "",
        f"{training['steps']:,} steps of {training['queries']} queries, learning rate {training['learning_rate']:g},",
        f"loss {recipe['loss']}, seed {recipe['seed']}. Student: {sizes}.",
        f"{platform(manifest)}; {manifest['seconds'] / 60:.0f} minutes since it was last started.",
        *score_table(manifest, among="all their documents" if crosses else "each one's own documents, at most 8"),
    ]
    return "\n".join(lines) + "\n"
