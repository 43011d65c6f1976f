"""A sentence encoder from before its training to the folder that is left: what recipes of several kinds share."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from rankloom import adapter
from rankloom.encoders import token_counts
from rankloom.errors import StageError
from rankloom.files import MANIFEST, atomic_path, write_json
from rankloom.models import model_identity, resolve_device, resolve_model
from rankloom.session import Session
from rankloom.training.contrastive_config import EncoderRecipe, LowRank, TrainedEncoder
from rankloom.training.contrasts import Row
from rankloom.training.encoder_card import encoder_card
from rankloom.training.pool import Pool, measured
from rankloom.training.training_folder import Trained, TrainingFolder

_STAGE = "training"
_SAMPLE, _AT_ONCE = 2000, 32  # texts that are looked at, and how many together
_log = logging.getLogger("rankloom")
Item = TypeVar("Item")


def train_encoder(
    folder: TrainingFolder,
    recipe: EncoderRecipe,
    rows: Sequence[Row],
    pool: Pool,
    *,
    data: Sequence[dict[str, Any]],
    session: Session,
) -> Trained:
    """Train an encoder on rows, or go on with it, and write it to `model`.

    Args:
        folder: The recipe's.
        recipe: How.
        rows: What is learnt.
        pool: What is measured.
        data: What the manifest is to say of each source.
        session: Whether the network may be used, and who is told of progress.

    Raises:
        NotFoundError: The encoder is not there.
        DataError: Too few rows go together in a batch, or the folder holds the training of other rows or of another
            encoder.
    """
    import torch

    from rankloom.training.encoder_fit import ContrastTrainer, contrast_loss, fit

    torch.manual_seed(recipe.seed)
    encoder = load_encoder(recipe.encoder, session, device=recipe.training.device)
    reads = encoder.max_seq_length
    encoder.max_seq_length = min(recipe.encoder.max_tokens, reads or recipe.encoder.max_tokens)
    cut = share_cut(encoder, [row.positive for row in rows], seed=recipe.seed)
    if cut:
        _log.warning(
            "training reads the first %s tokens; %.0f%% of documents are longer", encoder.max_seq_length, 100 * cut
        )
    folder.mark(
        [*rows, pool.queries, pool.documents, pool.relevant],
        model=model_identity(recipe.encoder.model, stage=_STAGE),
    )
    start = before_training(folder.path / "start.json", lambda: measured(encoder, pool))
    checkpoints = folder.path / "checkpoints"
    if recipe.training.steps:
        if recipe.encoder.lora is not None:
            add_low_rank(encoder, recipe.encoder.lora)
        fit(
            encoder,
            rows,
            recipe,
            trainer=ContrastTrainer,
            loss=contrast_loss(encoder, recipe.loss),
            pool=pool,
            checkpoints=checkpoints,
            progress=session.progress,
        )
        adapter.merge_low_rank(encoder, extra="train", stage=_STAGE)
    end = measured(encoder, pool)
    encoder.max_seq_length = reads
    manifest = folder.manifest(data, examples=len(rows), held_out=len(pool), documents_cut=cut, start=start, end=end)
    save_encoder(encoder, folder.path / "model", card=encoder_card(manifest), manifest=manifest)
    write_json(folder.path / MANIFEST, manifest)
    return Trained(folder.path / "model", "dense", manifest)


def share_cut(encoder: Any, texts: Sequence[str], *, seed: int) -> float:
    """The share of texts that are longer than an encoder reads, estimated from some of them."""
    drawn = some_of(texts, _SAMPLE, seed=seed)
    longer = 0
    for start in range(0, len(drawn), _AT_ONCE):
        batch = drawn[start : start + _AT_ONCE]
        _, truncated = token_counts(encoder, batch, encoder.preprocess(batch))
        longer += int((truncated > 0).sum())
    return longer / len(drawn)


def some_of(texts: Sequence[Item], count: int, *, seed: int) -> list[Item]:
    """At most so many texts, or rows, drawn at random."""
    return [texts[place] for place in np.random.default_rng(seed).permutation(len(texts))[:count].tolist()]


def load_encoder(wanted: TrainedEncoder, session: Session, *, device: str) -> Any:
    """An encoder of its own, in float32, for training.

    Raises:
        NotFoundError: The model is not to be had.
        StageError: It compares vectors by neither cosine nor inner product.
    """
    from sentence_transformers import SentenceTransformer

    found = resolve_model(wanted.model, offline=session.offline, stage=_STAGE)
    encoder = SentenceTransformer(
        str(found.path), device=resolve_device(device, stage=_STAGE), local_files_only=True, trust_remote_code=False
    )
    if encoder.similarity_fn_name not in ("cosine", "dot"):
        raise StageError(
            "the model compares vectors by neither cosine nor inner product",
            stage=_STAGE,
            value=encoder.similarity_fn_name,
        )
    return encoder


def add_low_rank(encoder: Any, how: LowRank) -> None:
    """Freeze an encoder and add low-rank changes to it, which alone are trained."""
    encoder.requires_grad_(False)
    adapter.add_low_rank(
        encoder.transformers_model,
        rank=how.rank,
        alpha=how.alpha,
        modules=how.modules,
        layers=how.layers,
        extra="train",
        stage=_STAGE,
    )


def save_encoder(
    encoder: Any, folder: Path, *, card: str, manifest: Mapping[str, Any], more: Mapping[str, Any] | None = None
) -> None:
    """Write an encoder as sentence-transformers lays it out, whole or not at all.

    Args:
        encoder: A model of sentence-transformers.
        folder: Where to.
        card: The model card, written as README.md.
        manifest: How it came about, written as manifest.json.
        more: Name -> content, of other JSON files.
    """
    with atomic_path(folder) as temporary:
        encoder.save_pretrained(str(temporary), create_model_card=False)
        for name, content in (more or {}).items():
            write_json(temporary / name, content)
        (temporary / "README.md").write_text(card, encoding="utf-8")
        write_json(temporary / MANIFEST, manifest)


def before_training(memory: Path, measure: Callable[[], dict[str, float]]) -> dict[str, float]:
    """What a model is worth untrained; remembered in a file, since a training that goes on asks again."""
    if memory.is_file():
        remembered: dict[str, float] = json.loads(memory.read_text(encoding="utf-8"))
        return remembered
    start = measure()
    _log.info("before training: %s", start)
    write_json(memory, start)
    return start
