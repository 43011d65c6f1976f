"""The model card of a trained Provence model."""

from __future__ import annotations

from typing import Any

from rankloom.training.encoder_card import training_card
from rankloom.training.model_card import score_table

_COLUMNS = ("threshold", "precision", "recall", "f1", "f2", "compression")


def provence_card(manifest: dict[str, Any]) -> str:
    """What a trained Provence model is, as Markdown: data and licences, how it was trained, scores, thresholds.

    Args:
        manifest: Of the training; see `rankloom.training.provence.train`.
    """
    recipe = manifest["recipe"]
    encoder, training, passages = recipe["encoder"], recipe["training"], recipe["passages"]
    lora = encoder["lora"]
    from_where = f", from the adapter {encoder['start']}" if encoder["start"] else ""
    begins = "; and the beginning of each text, as far as it is read" if passages["beginning"] else ""
    where = "what goes into the last layer" if encoder["below_last"] else "the last layer's states"
    return training_card(
        manifest,
        what=[
            f"An adapter that makes of {encoder['model']} a model that reranks and prunes in one pass (Provence,",
            "Chirkova et al., ICLR 2025). Made by `rankloom train` (recipe of kind `provence`). Name this folder as",
            "the model of `provence`.",
        ],
        examples=[
            f"Passages: {manifest['examples']:,}, of 1 to {passages['longest']} sentences{begins}. Of",
            f"{manifest['shortened']:,} the last sentences do not fit and are not read. Nothing else was trained or",
            "tuned on.",
        ],
        how=[
            f"Low-rank changes (rank {lora['rank']}, alpha {lora['alpha']}) and two heads{from_where}; the one that",
            f"prunes reads {where}. {training['steps']:,} steps of {training['queries']} passages,",
            f"{encoder['max_tokens']} tokens each at most, learning rate {training['learning_rate']:g},",
            f"seed {recipe['seed']}. {_loss(recipe)}",
            "What remains is the last checkpoint: none was chosen by its scores.",
        ],
        scores=[
            *score_table(
                manifest, among="the first stage's candidates and their relevant documents, by their first blocks"
            ),
            *_thresholds(manifest),
        ],
    )


def _loss(recipe: dict[str, Any]) -> str:
    """By what it has learnt, in a sentence or two."""
    loss = recipe["loss"]
    counted = "all tokens, also those that fill a batch up" if loss["ignore"] == "none" else "all tokens of a passage"
    tokens = f"cross entropy of {counted}, being of a relevant sentence or not"
    scores = f"the squared error of the score from that of {recipe['teacher'] or recipe['encoder']['start']}"
    if loss["trains"] == "pruning":
        return f"Loss: {tokens}; scores were not trained, and are worth nothing."
    if loss["trains"] == "ranking":
        return f"Loss: {scores}; pruning was not trained, and is worth nothing."
    return f"Loss: {tokens}, and {loss['weight']:g} times {scores}."


def _thresholds(manifest: dict[str, Any]) -> list[str]:
    """How well it prunes, as a section; nothing if no labelled sentence was held out."""
    if not manifest["thresholds"]:
        return []
    rows = [f"| {' | '.join(f'{one[name]:g}' for name in _COLUMNS)} |" for one in manifest["thresholds"]]
    return [
        "",
        "## Sentences",
        "",
        f"Of {manifest['held_out_texts']} held-out texts with labels. Its own threshold, {manifest['threshold']:g}, is",
        f"the largest of these at which {manifest['recipe']['keeps']:.0%} of the relevant sentences are kept, if any",
        f"is; the largest F2 is at {manifest['best_threshold']:g}. Precision, recall, F1 and F2 are means over texts",
        "with relevant sentences, compression is the share of all characters that is dropped.",
        "",
        f"| {' | '.join(_COLUMNS)} |",
        f"|{'---:|' * len(_COLUMNS)}",
        *rows,
    ]
