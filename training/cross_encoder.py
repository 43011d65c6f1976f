"""Training a cross-encoder: the recipe, from queries to an adapter.

Nogueira and Cho: Passage Re-ranking with BERT, 2019 (arXiv:1901.04085). Killed at any moment, a training goes on from
its last checkpoint when it is run again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from rankloom.adapter import LowRankChanges, read_weights, restore
from rankloom.cross_encoder_adapter import (
    CrossEncoderSettings,
    adapted,
    read_settings,
    save_adapter,
    trained,
    with_head,
)
from rankloom.encoders import readable
from rankloom.errors import DataError
from rankloom.files import MANIFEST, write_json
from rankloom.models import model_identity, resolve_model
from rankloom.session import Session
from rankloom.training.contrastive_config import TrainedEncoder
from rankloom.training.contrasts import Row
from rankloom.training.cross_encoder_card import cross_encoder_card
from rankloom.training.cross_encoder_config import CrossEncoderRecipe, PairRecipe, TrainedCrossEncoder
from rankloom.training.encoder_training import before_training, load_encoder, save_encoder, some_of
from rankloom.training.mined_examples import prepared
from rankloom.training.pool import Pool
from rankloom.training.training_folder import Trained, TrainingFolder, require_training

_STAGE = "training"
_SAMPLE = 2000  # pairs whose lengths are looked at
_log = logging.getLogger("rankloom")


def train(recipe: CrossEncoderRecipe, session: Session, *, output: Path) -> Trained:
    """Carry a recipe out, or go on with it.

    Args:
        recipe: What to do.
        session: Where pipelines keep their indexes, and whether the network may be used.
        output: Folder of checkpoints, the adapter or model, and the manifest.

    Raises:
        NotFoundError: A source or a model is not there.
        DataError: The sources give no example, the adapter to start from is of other sizes, or the folder holds another
            training.
        MissingExtraError: The extra `train` is not installed.
    """
    require_training()
    from rankloom.training.cross_encoder_fit import fit, measured

    learnt = learn(recipe, session, output, share_cut=_cut, measure=measured, fit=fit)
    card, manifest = cross_encoder_card(learnt.manifest), learnt.manifest
    trained_to = output / ("model" if recipe.encoder.lora is None else "adapter")
    if recipe.encoder.lora is None:
        save_encoder(learnt.model, trained_to, card=card, manifest=manifest)
    else:
        save_adapter(learnt.model, trained_to, learnt.settings, card=card, manifest=manifest)
    write_json(output / MANIFEST, manifest)
    return Trained(trained_to, "cross_encoder", manifest)


class Learnt(NamedTuple):
    """A trained model that reads a query and documents.

    Args:
        model: The cross-encoder.
        settings: How it is made of its backbone.
        manifest: All that is to be known of the training.
    """

    model: Any
    settings: CrossEncoderSettings
    manifest: dict[str, Any]


def learn(
    recipe: PairRecipe,
    session: Session,
    output: Path,
    *,
    share_cut: Callable[[Any, Sequence[Row], int], float],
    measure: Callable[[Any, Pool], dict[str, float]],
    fit: Callable[..., None],
) -> Learnt:
    """Train a model that reads a query and documents: from a recipe's sources to what was measured.

    Args:
        recipe: What to do.
        session: As for `train`.
        output: Likewise.
        share_cut: Model, rows, seed -> the share of what is not read to its end.
        measure: Model, held-out queries -> measures.
        fit: See `rankloom.training.cross_encoder_fit.fit`.

    Raises:
        As for `train`.
    """
    import torch

    folder = TrainingFolder(recipe, output)
    rows, pool, data = prepared(recipe, session, output)
    torch.manual_seed(recipe.seed)
    model, settings = untrained(recipe.encoder, session, device=recipe.training.device)
    folder.mark(
        [*rows, pool.queries, pool.documents, pool.relevant, pool.candidates],
        model=model_identity(settings.backbone, stage=_STAGE),
    )
    cut = share_cut(model, rows, recipe.seed)
    start = before_training(output / "start.json", lambda: measure(model, pool))
    if recipe.training.steps:
        fit(model, rows, recipe, pool=pool, checkpoints=output / "checkpoints", progress=session.progress)
    end = measure(model, pool)
    manifest = folder.manifest(data, examples=len(rows), held_out=len(pool), pairs_cut=cut, start=start, end=end)
    return Learnt(model, settings, manifest)


def untrained(wanted: TrainedCrossEncoder, session: Session, *, device: str) -> tuple[Any, CrossEncoderSettings]:
    """The cross-encoder that is to be trained, and how it is made of its backbone."""
    backbone = load_encoder(TrainedEncoder(model=wanted.model), session, device=device)
    settings = CrossEncoderSettings(wanted.model, wanted.max_tokens)
    if wanted.lora is None:
        return with_head(backbone[0], max_tokens=wanted.max_tokens), settings
    low_rank = wanted.lora.model_dump()
    settings = replace(settings, **{**low_rank, "modules": tuple(low_rank["modules"])})
    model = adapted(backbone, settings)
    if wanted.start is not None:
        found = resolve_model(wanted.start, offline=session.offline, stage=_STAGE)
        _check_changes(read_settings(found.path), settings, start=wanted.start)
        restore(trained(model), read_weights(found.path), stage=_STAGE)
    return model, settings


def _check_changes(told: LowRankChanges, wanted: LowRankChanges, *, start: str) -> None:
    """Refuse to start from low-rank changes that are to count otherwise; their weights may fit all the same.

    Raises:
        DataError: Names what the adapter says.
    """
    named = [one.name for one in fields(LowRankChanges)]
    if differ := [name for name in named if getattr(told, name) != getattr(wanted, name)]:
        raise DataError(
            "the adapter to start from has other low-rank changes",
            stage=_STAGE,
            value=start,
            accepted=", ".join(f"{name} {getattr(told, name)}" for name in differ),
            fix="say so in encoder.lora",
        )


def _cut(model: Any, rows: Sequence[Row], seed: int) -> float:
    """The share of pairs that are longer than is read, of some of them; told where there are any."""
    drawn = some_of(rows, _SAMPLE, seed=seed)
    texts = ([readable(row.query) for row in drawn], [readable(row.positive) for row in drawn])
    numbers = model.tokenizer(*texts, truncation=False, verbose=False)["input_ids"]
    share: float = sum(len(one) > model.max_seq_length for one in numbers) / len(drawn)
    if share:
        _log.warning(
            "training reads the first %s tokens; %.0f%% of pairs are longer", model.max_seq_length, 100 * share
        )
    return share
