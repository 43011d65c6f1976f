"""Rank-R1: a language model learns to think before it chooses the most relevant passage: the recipe, to an adapter.

Zhuang et al.: Rank-R1, 2025 (arXiv:2503.06034). Killed at any moment, a training goes on from its last checkpoint when
it is run again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankloom.errors import DataError
from rankloom.extras import require
from rankloom.files import MANIFEST, atomic_path, write_json
from rankloom.models import model_identity, resolve_device, resolve_model
from rankloom.session import Session
from rankloom.training.contrasts import Row
from rankloom.training.encoder_training import before_training, some_of
from rankloom.training.mined_examples import prepared
from rankloom.training.pool import Pool
from rankloom.training.rank_r1_card import rank_r1_card
from rankloom.training.rank_r1_config import RankR1Recipe
from rankloom.training.rank_r1_examples import Choice, choice_of
from rankloom.training.training_folder import Trained, TrainingFolder, require_training

if TYPE_CHECKING:
    from rankloom.language_models.generation import Writer

_STAGE = "training"
_log = logging.getLogger("rankloom")


def train(recipe: RankR1Recipe, session: Session, *, output: Path) -> Trained:
    """Carry a recipe out, or go on with it.

    Args:
        recipe: What to do.
        session: Where pipelines keep their indexes, and whether the network may be used.
        output: Folder of checkpoints, the adapter and the manifest.

    Raises:
        NotFoundError: A source or the model is not there.
        DataError: The sources give no example, all prompts are too long, or the folder holds another training.
        MissingExtraError: The extra `rl` is not installed.
    """
    folder = TrainingFolder(recipe, output)
    require_training()
    require("trl", extra="rl", stage=_STAGE)
    import torch

    from rankloom.training.rank_r1_fit import fit, measured

    rows, pool, data = prepared(recipe, session, output)
    writer = load_model(recipe, session)
    folder.mark([*rows, pool.queries, pool.documents, pool.relevant, pool.candidates], model=_identity(recipe))
    choices, too_long = _readable(recipe, writer, [_choice(recipe, row) for row in rows])
    held_out, _ = _readable(recipe, writer, [_choice(recipe, row) for row in held_out_rows(recipe, pool)])
    if not choices:
        raise DataError(
            f"all {too_long} prompts are longer than is read",
            stage=_STAGE,
            value=recipe.asked.max_tokens,
            fix="raise asked.max_tokens, or lower asked.passage_words or negatives.count",
        )
    torch.manual_seed(recipe.seed)
    start = before_training(output / "start.json", lambda: measured(writer, held_out, recipe))
    trained = fit(writer, choices, recipe, checkpoints=output / "checkpoints", progress=session.progress)
    manifest = folder.manifest(
        data,
        examples=len(choices),
        too_long=too_long,
        held_out=len(held_out),
        start=start,
        end=measured(trained, held_out, recipe),
    )
    save(trained, output / "adapter", recipe, manifest)
    write_json(output / MANIFEST, manifest)
    return Trained(output / "adapter", "setwise", manifest)


def load_model(recipe: RankR1Recipe, session: Session) -> Writer:
    """The language model that is trained."""
    import torch

    from rankloom.language_models.generation import load_writer

    found = resolve_model(recipe.model.model, offline=session.offline, stage=_STAGE, organisation="")
    if found.backbone is not None:
        raise DataError(
            "this is an adapter of another model",
            stage=_STAGE,
            value=recipe.model.model,
            accepted="a whole causal language model",
        )
    device = resolve_device(recipe.training.device, stage=_STAGE)
    return load_writer(str(found.path), device, torch.bfloat16 if recipe.training.bfloat16 else torch.float32)


def held_out_rows(recipe: RankR1Recipe, pool: Pool) -> list[Row]:
    """Rows of some held-out queries: a relevant document, and the best candidates that are none."""
    rows = []
    for query in some_of(sorted(pool.queries), recipe.measured, seed=recipe.seed):
        relevant = [pool.documents[one] for one in sorted(pool.relevant[query])]
        others = [pool.documents[one] for one in pool.candidates[query] if one not in pool.known[query]]
        if relevant and others:
            negatives = tuple(others[: recipe.negatives.count])
            rows.append(Row(pool.queries[query], relevant[0], negatives, "", frozenset(), frozenset()))
    return rows


def save(writer: Writer, folder: Path, recipe: RankR1Recipe, manifest: Mapping[str, Any]) -> None:
    """Write an adapter as peft lays it out, whole or not at all, with its card and manifest."""
    for config in writer.model.peft_config.values():
        config.base_model_name_or_path = recipe.model.model  # not the folder in which this machine keeps it
    with atomic_path(folder) as temporary:
        writer.model.save_pretrained(str(temporary), safe_serialization=True)
        (temporary / "README.md").write_text(rank_r1_card(dict(manifest)), encoding="utf-8")
        write_json(temporary / MANIFEST, manifest)


def _identity(recipe: RankR1Recipe) -> str:
    """The fingerprint of the model that training starts from."""
    return model_identity(recipe.model.model, stage=_STAGE, organisation="")


def _choice(recipe: RankR1Recipe, row: Row) -> Choice:
    """The question about a row."""
    return choice_of(row, recipe.template(), passage_words=recipe.asked.passage_words, seed=recipe.seed)


def _readable(recipe: RankR1Recipe, writer: Writer, choices: Sequence[Choice]) -> tuple[list[Choice], int]:
    """Questions that are read as a whole, and how many are not; these are told of."""
    from rankloom.training.rank_r1_fit import prompt_tokens

    limit = writer.most_tokens(recipe.loss.max_tokens)
    most = recipe.asked.max_tokens if limit is None else min(limit, recipe.asked.max_tokens)
    kept = [one for one in choices if len(prompt_tokens(writer, one.prompt, recipe)) <= most]
    if len(kept) < len(choices):
        _log.warning(
            "%s of %s prompts are longer than %s tokens and left out", len(choices) - len(kept), len(choices), most
        )
    return kept, len(choices) - len(kept)
