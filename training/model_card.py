"""The model card of a trained adapter."""

from __future__ import annotations

from typing import Any


def model_card(manifest: dict[str, Any]) -> str:
    """What a trained adapter is, as Markdown: data and licences, how it was trained, scores.

    Args:
        manifest: Of the training; see `rankloom.training.inference_free.train`.
    """
    recipe = manifest["recipe"]
    teachers, student, training = recipe["teachers"], recipe["student"], recipe["training"]
    losses, penalty = _settings(recipe["loss"]), _settings(recipe["penalty"])
    lines = [
        f"# {recipe['name']}",
        "",
        f"An adapter of {student['backbone']} for inference-free learned sparse retrieval. The backbone, with low-rank",
        "changes and a head, encodes documents; the table `idf.json` alone encodes queries. Made by `rankloom train`.",
        "",
        "## Data",
        "",
        *data_table(manifest),
        "",
        f"Examples: {manifest['examples']:,}, each of {teachers['documents']} documents. Teachers:",
        f"{', '.join(teachers['ensemble'])}. Nothing else was trained or tuned on.",
        "",
        "## Training",
        "",
        f"{training['steps']:,} steps of {training['queries']} queries, learning rate {training['learning_rate']:g},",
        f"rank {student['rank']} in the upper {student['layers']} layers, {student['max_tokens']} tokens a document,",
        f"seed {recipe['seed']}. Losses: {losses}. Penalty: {penalty}.",
        f"{platform(manifest)}; {manifest['seconds'] / 60:.0f} minutes since it was last started.",
        *score_table(manifest),
    ]
    return "\n".join(lines) + "\n"


def data_table(manifest: dict[str, Any]) -> list[str]:
    """Sources, their sizes and licences, and why some of their queries gave no example."""
    rows = ["| source | queries | documents | held-out queries | licence | left out |", "|---|---:|---:|---:|---|---|"]
    for one in manifest["data"]:
        sizes = " | ".join(f"{one[what]:,}" for what in ("queries", "documents", "held_out"))
        left_out = ", ".join(f"{why} {number:,}" for why, number in one["left_out"].items())
        rows.append(f"| {one['name']} | {sizes} | {one['licence']} | {left_out or 'nothing'} |")
    return rows


def score_table(manifest: dict[str, Any], *, among: str = "all their documents") -> list[str]:
    """Scores before and after training, as a section; nothing if no query was held out."""
    measures = list(manifest["end"])
    if not measures:
        return []
    scores = [
        f"| {label} | {' | '.join(f'{manifest[when][measure]:g}' for measure in measures)} |"
        for when, label in (("start", "before training"), ("end", "after training"))
    ]
    return [
        "",
        "## Scores",
        "",
        f"On the {manifest['held_out']} held-out queries, among {among}:",
        "",
        f"| | {' | '.join(measures)} |",
        f"|---|{'---:|' * len(measures)}",
        *scores,
    ]


def _settings(values: dict[str, Any]) -> str:
    """Names and values in one line."""
    return ", ".join(f"{name} {value:g}" for name, value in values.items() if value is not None)


def platform(manifest: dict[str, Any]) -> str:
    """What it ran on."""
    hardware, versions = manifest["hardware"], manifest["versions"]
    libraries = ", ".join(f"{name} {versions[name]}" for name in ("torch", "sentence-transformers") if name in versions)
    accelerators = hardware["accelerators"] or "no GPU"
    return f"{hardware['usable_cores']} cores, {accelerators}, {libraries}"
