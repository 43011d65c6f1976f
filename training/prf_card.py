"""The model card of a query encoder that reads feedback."""

from __future__ import annotations

from typing import Any

from rankloom.training.encoder_card import training_card


def prf_card(manifest: dict[str, Any]) -> str:
    """What a trained encoder is, as Markdown: data and licences, what it reads, how it was trained, scores.

    Args:
        manifest: Of the training; see `rankloom.training.prf.train`.
    """
    recipe = manifest["recipe"]
    encoder, training, loss, negatives = (recipe[part] for part in ("encoder", "training", "loss", "negatives"))
    adapter = "A query encoder" if encoder["lora"] is None else f"An adapter of {encoder['model']}: a query encoder"
    first, last = negatives["ranks"]
    among = " and the other queries' documents" if loss["in_batch"] else ""
    return training_card(
        manifest,
        what=[
            f"{adapter} that reads a query and its {encoder['docs']} best documents (ANCE-PRF), and gives a vector for",
            f"an index of documents encoded by {encoder['model']}. Made by `rankloom train` (recipe of kind `prf`).",
            "Name this folder as the model of `learned_prf`, between two `dense`.",
        ],
        examples=[
            f"Examples: {manifest['examples']:,}. Nothing else was trained or tuned on. The relevant document is among",
            f"the feedback of {manifest['positives_shown']:.0%} of them: the first stage found it, as it does in use.",
        ],
        how=[
            f"{_changes(encoder)}; {training['steps']:,} steps of {training['queries']} queries, each with",
            f"{negatives['count']} negatives of ranks {first} to {last}{among}; learning rate",
            f"{training['learning_rate']:g}, temperature {loss['temperature']:g}; {_read(encoder, manifest)};",
            f"seed {recipe['seed']}.",
        ],
        scores=_scores(manifest),
    )


def _changes(encoder: dict[str, Any]) -> str:
    """What is trained."""
    lora = encoder["lora"]
    if lora is None:
        return "All weights"
    layers = "all layers" if lora["layers"] is None else f"the upper {lora['layers']} layers"
    return f"Low-rank changes of {layers} (rank {lora['rank']}, alpha {lora['alpha']})"


def _read(encoder: dict[str, Any], manifest: dict[str, Any]) -> str:
    """How much is read."""
    each = "" if encoder["document_tokens"] is None else f", {encoder['document_tokens']} of each document"
    whole = f"{manifest['documents_cut']:.0%} of the documents have more"
    return f"sequences of {encoder['max_tokens']} tokens{each} ({whole}), pooled over {_POOLED[encoder['pooled']]}"


_POOLED = {"all": "all tokens", "query": "those of the query"}


def _scores(manifest: dict[str, Any]) -> list[str]:
    """Scores before and after training, and of what it is to beat; nothing if no query was held out."""
    if not manifest["end"]:
        return []
    rows = {"before training": manifest["start"], "after training": manifest["end"], **manifest["compared"]}
    measures = list(manifest["end"])
    return [
        "",
        "## Scores",
        "",
        f"On the {manifest['held_out']} held-out queries, among all documents of their sources:",
        "",
        f"| | {' | '.join(measures)} |",
        f"|---|{'---:|' * len(measures)}",
        *(f"| {label} | {' | '.join(f'{one[measure]:g}' for measure in measures)} |" for label, one in rows.items()),
    ]
