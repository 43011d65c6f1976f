"""Training a query encoder that reads feedback documents, for an index that stays: the recipe, to an adapter or model.

Yu, Xiong and Callan: Improving Query Representations for Dense Retrieval with Pseudo Relevance Feedback (ANCE-PRF),
CIKM 2021 (arXiv:2108.13454); its settings as in Li et al.: A Reproducibility Study, ECIR 2022 (arXiv:2112.06400).
Killed at any moment, a training goes on from its last checkpoint when it is run again.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rankloom.errors import StageError
from rankloom.files import MANIFEST, write_json
from rankloom.model_files import FEEDBACK
from rankloom.models import model_identity
from rankloom.prf.feedback_adapter import FeedbackAdapterSettings, adapted, save_adapter
from rankloom.session import Session
from rankloom.training.contrastive_config import TrainedEncoder
from rankloom.training.encoder_training import load_encoder, save_encoder
from rankloom.training.prf_card import prf_card
from rankloom.training.prf_config import PrfRecipe
from rankloom.training.prf_examples import FeedbackData, prepared
from rankloom.training.training_folder import Trained, TrainingFolder, require_training

_STAGE = "training"
_log = logging.getLogger("rankloom")


def train(recipe: PrfRecipe, session: Session, *, output: Path) -> Trained:
    """Carry a recipe out, or go on with it.

    Args:
        recipe: What to do.
        session: Where pipelines keep their indexes, and whether the network may be used.
        output: Folder of checkpoints, the adapter or model, and the manifest.

    Raises:
        NotFoundError: A source or the encoder is not there.
        DataError: The sources give no example, or the folder holds another training.
        MissingExtraError: The extra `train` is not installed.
    """
    import torch

    folder = TrainingFolder(recipe, output)
    require_training()
    data = prepared(recipe, session, output)
    from rankloom.training.prf_fit import fit
    from rankloom.training.prf_validation import Reader, measured

    torch.manual_seed(recipe.seed)
    encoder, settings = untrained(recipe, session)
    held_out = [[one.queries, one.feedback, one.relevant] for one in data.held_out.values()]
    folder.mark([*data.rows, *held_out], model=model_identity(recipe.encoder.model, stage=_STAGE))
    reader = Reader(encoder, settings.layout)
    before = _before(encoder, data, reader, output / "start.json")
    if recipe.training.steps:
        fit(encoder, data, recipe, reader=reader, checkpoints=output / "checkpoints", progress=session.progress)
    end = measured(encoder, data, reader)
    shows = sum(one.shows_positive for one in data.rows) / len(data.rows)
    manifest = folder.manifest(
        data.about,
        examples=len(data.rows),
        held_out=len(data),
        positives_shown=round(shows, 4),
        documents_cut=_cut(data, reader),
        **before,
        end=end,
    )
    model = _save(encoder, settings, recipe, output, manifest)
    write_json(output / MANIFEST, manifest)
    return Trained(model, "learned_prf", manifest)


def untrained(recipe: PrfRecipe, session: Session) -> tuple[Any, FeedbackAdapterSettings]:
    """The encoder that is to be trained, and how it is made of its backbone.

    Raises:
        NotFoundError: The backbone is not to be had.
        StageError: It does not begin with a transformer, or can not read so many tokens.
    """
    from rankloom.encoders.batches import plain_transformer
    from rankloom.prf.feedback_encoder import positions
    from rankloom.prf.feedback_model import feedback_model

    wanted = recipe.encoder
    backbone = load_encoder(TrainedEncoder(model=wanted.model), session, device=recipe.training.device)
    places = positions(backbone[0].model) or 0 if plain_transformer(backbone) else 0
    if wanted.max_tokens > places:
        raise StageError(
            "the encoder can not read that many tokens" if places else "the encoder does not begin with a transformer",
            stage=_STAGE,
            value=wanted.max_tokens if places else wanted.model,
            fix=f"let encoder.max_tokens be at most {places}" if places else "start from one like BERT",
        )
    settings = FeedbackAdapterSettings(wanted.model, wanted.model, wanted.layout())
    if wanted.lora is None:
        return feedback_model(list(backbone), similarity=backbone.similarity_fn_name), settings
    low_rank = wanted.lora.model_dump()
    settings = FeedbackAdapterSettings(
        wanted.model, wanted.model, wanted.layout(), **{**low_rank, "modules": tuple(low_rank["modules"])}
    )
    return adapted(backbone, settings), settings


def _before(encoder: Any, data: FeedbackData, reader: Any, memory: Path) -> dict[str, Any]:
    """Scores of the encoder untrained, and of what it is to beat; remembered for a training that goes on."""
    from rankloom.training.prf_validation import measured, others

    if memory.is_file():
        remembered: dict[str, Any] = json.loads(memory.read_text(encoding="utf-8"))
        return remembered
    found = {"start": measured(encoder, data, reader), "compared": others(data, reader.layout.docs)}
    _log.info("before training: %s", found)
    write_json(memory, found)
    return found


def _cut(data: FeedbackData, reader: Any) -> float:
    """The share of feedback documents that are not read whole."""
    cut = [bool(tokens) for one in data.rows for tokens in reader.sequence(one.row.query, one.feedback).cut]
    return round(sum(cut) / max(1, len(cut)), 4)


def _save(
    encoder: Any, settings: FeedbackAdapterSettings, recipe: PrfRecipe, output: Path, manifest: dict[str, Any]
) -> Path:
    """Write what was trained: an adapter, or a whole model that says what it reads; returns its folder."""
    card = prf_card(manifest)
    if recipe.encoder.lora is not None:
        save_adapter(encoder, output / "adapter", settings, card=card, manifest=manifest)
        return output / "adapter"
    del encoder[1]  # what lets the pooling see some tokens alone is put in again when it is loaded
    said = {FEEDBACK: {"layout": asdict(settings.layout), "documents": settings.documents}}
    save_encoder(encoder, output / "model", card=card, manifest=manifest, more=said)
    return output / "model"
