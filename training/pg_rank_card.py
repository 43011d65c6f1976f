"""The model card of a ranker that was trained for nDCG."""

from __future__ import annotations

from typing import Any

from rankloom.training.encoder_card import training_card
from rankloom.training.model_card import score_table

_AMONG = {
    "bi_encoder": "all their documents, which count as relevant or not",
    "cross_encoder": "the first stage's candidates and their relevant documents, which count as relevant or not",
}


def pg_rank_card(manifest: dict[str, Any], *, stage: str) -> str:
    """What a trained ranker is, as Markdown: data and licences, how it was trained, scores.

    Args:
        manifest: Of the training; see `rankloom.training.pg_rank.train`.
        stage: The word of the stage that loads it.
    """
    recipe = manifest["recipe"]
    encoder, training, loss, how = recipe["encoder"], recipe["training"], recipe["loss"], recipe["negatives"]
    lists = [
        f"| {label} | {' | '.join(f'{value:g}' for value in manifest['trained_on'][when].values())} |"
        for when, label in (("start", "before training"), ("end", "after training"))
    ]
    measures = list(manifest["trained_on"]["start"])
    what = encoder["architecture"].replace("_", "-")
    return training_card(
        manifest,
        what=[
            f"A {what}, trained from {encoder['model']} for nDCG@{loss['k']} itself by `rankloom train`",
            "(recipe of kind `pg_rank`: Neural PG-RANK, arXiv:2310.04407).",
            f"Name this folder as the model of `{stage}`.",
        ],
        examples=[
            f"Lists: {manifest['examples']:,}, each of {how['count'] + 1} documents,",
            f"of which at most {how['positives']} are relevant. Nothing else was trained or tuned on.",
        ],
        how=[
            f"{training['steps']:,} steps of {training['queries']} lists, learning rate {training['learning_rate']:g};",
            f"{loss['samples']} rankings drawn of each list, temperature {encoder['temperature']:g};",
            f"{manifest['documents_cut']:.0%} of documents are longer than is read; seed {recipe['seed']}.",
        ],
        scores=[
            "",
            f"On {manifest['trained_on']['lists']:,} of the lists that were trained on, by their documents' grades:",
            "",
            f"| | {' | '.join(measures)} |",
            f"|---|{'---:|' * len(measures)}",
            *lists,
            *score_table(manifest, among=_AMONG[encoder["architecture"]]),
        ],
    )
