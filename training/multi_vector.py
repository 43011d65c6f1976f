"""Training a multi-vector encoder whose vectors are reduced in every step: the recipe, from queries to an adapter.

Veneroso et al.: CRISP, 2025 (arXiv:2505.11471): vectors of queries and documents are clustered inside the forward pass,
their means are compared instead, and gradients flow through the means, so that the encoder learns vectors that can be
clustered. With other reductions the same recipe trains what CRISP is compared with, and with none an ordinary ColBERT.
Killed at any moment, a training goes on from its last checkpoint when it is run again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rankloom.encoders import readable
from rankloom.files import MANIFEST, write_json
from rankloom.models import model_identity
from rankloom.reduction import reductions
from rankloom.session import Session
from rankloom.token_adapter import TokenAdapterSettings, adapted, save_adapter
from rankloom.token_layout import TokenLayout, multi_vector_encoder
from rankloom.training.contrastive_config import TrainedEncoder
from rankloom.training.contrasts import Row
from rankloom.training.encoder_training import before_training, load_encoder, save_encoder, some_of
from rankloom.training.mined_examples import prepared
from rankloom.training.multi_vector_card import multi_vector_card
from rankloom.training.multi_vector_config import MultiVectorRecipe, TrainedTokenEncoder
from rankloom.training.pool import measured, prompts_of
from rankloom.training.training_folder import Trained, TrainingFolder, require_training

_STAGE = "training"
_SAMPLE = 2000  # texts whose lengths are looked at
_log = logging.getLogger("rankloom")


def train(recipe: MultiVectorRecipe, session: Session, *, output: Path) -> Trained:
    """Carry a recipe out, or go on with it.

    Args:
        recipe: What to do.
        session: Where pipelines keep their indexes, and whether the network may be used.
        output: Folder of checkpoints, the adapter or model, and the manifest.

    Raises:
        NotFoundError: A source or the backbone is not there.
        DataError: The sources give no example, or the folder holds another training.
        MissingExtraError: The extra `train` is not installed.
    """
    import torch

    from rankloom.training.multi_vector_fit import MultiVectorTrainer, ReducedVectors, multi_vector_loss

    folder = TrainingFolder(recipe, output)
    require_training()
    rows, pool, data = prepared(recipe, session, output)
    torch.manual_seed(recipe.seed)
    encoder, settings = untrained(recipe, session)
    folder.mark(
        [*rows, pool.queries, pool.documents, pool.relevant], model=model_identity(settings.backbone, stage=_STAGE)
    )
    cut = _cut(encoder, rows, settings.layout, seed=recipe.seed)
    holds = _started(encoder, rows, recipe)
    encoder.append(ReducedVectors(reductions(recipe.reduction)))
    start = before_training(output / "start.json", lambda: measured(encoder, pool))
    if recipe.training.steps:
        from rankloom.training.encoder_fit import fit

        fit(
            encoder,
            rows,
            recipe,
            trainer=MultiVectorTrainer,
            loss=multi_vector_loss(encoder, recipe.loss),
            pool=pool,
            checkpoints=output / "checkpoints",
            progress=session.progress,
        )
    end = measured(encoder, pool)
    del encoder[-1]  # reductions are the model's user's to choose
    manifest = folder.manifest(
        data, examples=len(rows), held_out=len(pool), **cut, projection_holds=holds, start=start, end=end
    )
    model = save(encoder, settings, recipe, output, manifest)
    write_json(output / MANIFEST, manifest)
    return Trained(model, "multi_vector", manifest)


def untrained(recipe: MultiVectorRecipe, session: Session) -> tuple[Any, TokenAdapterSettings]:
    """The encoder that is to be trained, and how it is made of its backbone."""
    wanted = recipe.encoder
    backbone = load_encoder(TrainedEncoder(model=wanted.model), session, device=recipe.training.device)
    settings = settings_of(wanted, prompts_of(backbone), reduction=recipe.reduction)
    if wanted.lora is not None:
        return adapted(backbone, settings), settings
    return multi_vector_encoder(backbone[0], settings.layout, dimensions=settings.dimensions), settings


def settings_of(wanted: TrainedTokenEncoder, prompts: Mapping[str, str], *, reduction: str) -> TokenAdapterSettings:
    """How a backbone becomes what a recipe asks for.

    Args:
        wanted: Says the recipe.
        prompts: What the backbone wants before a `query` and a `document`.
        reduction: The word of the recipe's.
    """
    layout = TokenLayout(
        query_tokens=wanted.query_tokens,
        document_tokens=wanted.document_tokens,
        expand_queries=wanted.expand_queries,
        skip_punctuation=wanted.skip_punctuation,
        query_prefix=prompts.get("query", "") if wanted.query_prefix is None else wanted.query_prefix,
        document_prefix=prompts.get("document", "") if wanted.document_prefix is None else wanted.document_prefix,
    )
    settings = TokenAdapterSettings(wanted.model, layout, wanted.dimensions, reduction)
    if wanted.lora is None:
        return settings
    low_rank = wanted.lora.model_dump()
    return replace(settings, **{**low_rank, "modules": tuple(low_rank["modules"])})


def save(
    encoder: Any, settings: TokenAdapterSettings, recipe: MultiVectorRecipe, output: Path, manifest: dict[str, Any]
) -> Path:
    """Write what was trained: an adapter, or a whole model with its reduction beside it; returns its folder."""
    card = multi_vector_card(manifest)
    if recipe.encoder.lora is not None:
        save_adapter(encoder, output / "adapter", settings, card=card, manifest=manifest)
        return output / "adapter"
    said = {"reduction.json": {"reduction": recipe.reduction}}
    save_encoder(encoder, output / "model", card=card, manifest=manifest, more=said)
    return output / "model"


def _cut(encoder: Any, rows: Sequence[Row], layout: TokenLayout, *, seed: int) -> dict[str, float]:
    """The shares of queries and documents that are longer than is read, of some of them; told where there are any."""
    parts = {
        "queries": ([row.query for row in rows], layout.query_prefix, layout.query_tokens),
        "documents": ([row.positive for row in rows], layout.document_prefix, layout.document_tokens),
    }
    found = {}
    for name, (texts, prefix, most) in parts.items():
        drawn = [prefix + readable(text) for text in some_of(texts, _SAMPLE, seed=seed)]
        numbers = encoder.tokenizer(drawn, truncation=False, verbose=False)["input_ids"]
        found[f"{name}_cut"] = share = sum(len(one) > most for one in numbers) / len(drawn)
        if share:
            _log.warning("training reads the first %s tokens; %.0f%% of %s are longer", most, 100 * share, name)
    return found


def _started(encoder: Any, rows: Sequence[Row], recipe: MultiVectorRecipe) -> float:
    """Start the projection; returns the share of what token vectors say that it keeps."""
    from rankloom.training.projection_start import start_projection

    documents = list(dict.fromkeys(row.positive for row in rows))
    return round(start_projection(encoder, documents, count=recipe.encoder.start, seed=recipe.seed), 4)
