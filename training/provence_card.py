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
            f"{manifest['shortened']:,} the last sentences do not fit and are not read; of {manifest['teacher_cut']:,}",
            "the teacher does not read the end.",
            *_before(manifest),
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


def _before(manifest: dict[str, Any]) -> list[str]:
    """What the model that training started from has seen; nothing if there is none."""
    start, unknown = manifest["recipe"]["encoder"]["start"], manifest["start_unknown"]
    if start is None:
        return []
    told = [f"What {start} was trained on counts too; see its card."]
    if unknown:
        told.append(f"Its questions are not known of {', '.join(unknown)}, and may be among those that are measured.")
    else:
        told.append("None of its questions is measured.")
    return told


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
    keeps, texts, others = (manifest[name] for name in ("threshold", "threshold_texts", "held_out_texts"))
    share, best = manifest["recipe"]["keeps"], manifest["best_threshold"]
    rows = [f"| {' | '.join(f'{one[name]:g}' for name in _COLUMNS)} |" for one in manifest["thresholds"]]
    return [
        "",
        "## Sentences",
        "",
        f"Its own threshold, {keeps:g}, was chosen on {texts} held-out texts with labels: the largest at which",
        f"{share:.0%} of the relevant sentences are kept, if any is. The table is of {others} other texts, of which",
        f"none shares a question or a sentence with those; the largest F2 is at {best:g}. Precision, recall, F1 and F2",
        "are means over texts with relevant sentences, compression is the share of all characters that is dropped. All",
        "are of the sentences that were labelled; the stage cuts texts itself, perhaps otherwise, and `rankloom run`",
        "measures a query's texts together, so that its figures are not to be compared with these.",
        "",
        f"| {' | '.join(_COLUMNS)} |",
        f"|{'---:|' * len(_COLUMNS)}",
        *rows,
    ]
