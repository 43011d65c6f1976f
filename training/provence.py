"""Training a Provence model: the recipe, from texts with labelled sentences to an adapter.

Chirkova, Formal, Nikoulina and Clinchant: Provence: efficient and robust context pruning for retrieval-augmented
generation, ICLR 2025 (arXiv:2501.16214). Killed at any moment, a training goes on from its last checkpoint when it is
run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rankloom.cross_encoder_adapter import read_settings
from rankloom.errors import DataError
from rankloom.eval.labelled_sentences import LabelledText
from rankloom.files import MANIFEST, write_json
from rankloom.fingerprint import digest
from rankloom.models import model_identity, resolve_device, resolve_model
from rankloom.provence_adapter import ProvenceSettings, save_adapter, with_token_head
from rankloom.session import Session
from rankloom.training import cross_encoder
from rankloom.training.encoder_training import before_training
from rankloom.training.held_out_texts import halves
from rankloom.training.provence_card import provence_card
from rankloom.training.provence_config import ProvenceRecipe, TrainedProvence
from rankloom.training.provence_examples import prepared, read_once
from rankloom.training.training_folder import Trained, TrainingFolder, require_training

if TYPE_CHECKING:
    from rankloom.training.provence_reading import Reader
    from rankloom.training.provence_teacher import TeacherScores

_STAGE = "training"


def train(recipe: ProvenceRecipe, session: Session, *, output: Path) -> Trained:
    """Carry a recipe out, or go on with it.

    Args:
        recipe: What to do.
        session: Where pipelines keep their indexes, and whether the network may be used.
        output: Folder of checkpoints, the teacher's scores, the adapter, and the manifest.

    Raises:
        NotFoundError: A source or a model is not there.
        DataError: The sources give no example, the adapter to start from is of other sizes or reads another number of
            tokens, or the folder holds another training.
        MissingExtraError: The extra `train` is not installed.
    """
    folder = TrainingFolder(recipe, output)
    require_training()
    import torch

    from rankloom.training.provence_fit import fit
    from rankloom.training.provence_validation import best_of, keeping, ranking_measured, sentences_measured

    if recipe.encoder.start is not None:
        _check_tokens(recipe.encoder, session)
    data = prepared(recipe, session, output)
    torch.manual_seed(recipe.seed)
    reader, settings = untrained(recipe, session)
    laid, told = read_once(data, reader.lay_out(data.passages))
    passages = [one.passage for one in laid]
    teacher = _taught(recipe, passages, session, output)
    folder.mark([*passages, *data.held_out, *data.lists, teacher.scores], model=_identity(recipe, settings))
    start = before_training(output / "start.json", lambda: ranking_measured(reader, data.lists))
    if recipe.training.steps:
        fit(reader, laid, teacher.scores, recipe, checkpoints=output / "checkpoints", progress=session.progress)
    end, (chosen_on, others) = ranking_measured(reader, data.lists), halves(data.held_out)
    choices, curve = sentences_measured(reader, chosen_on), sentences_measured(reader, others)
    best, chosen = best_of(curve), keeping(choices, recipe.keeps)
    settings = settings if chosen is None else replace(settings, threshold=chosen.threshold)
    manifest = folder.manifest(
        told,
        examples=len(laid),
        shortened=sum(one.shortened for one in laid),
        teacher_cut=teacher.cut,
        start_unknown=list(data.start_unknown),
        held_out=len(data.lists),
        threshold_texts=len(chosen_on),
        held_out_texts=len(others),
        start=start,
        end=end,
        threshold_chosen_of=[one._asdict() for one in choices],
        thresholds=[one._asdict() for one in curve],
        best_threshold=None if best is None else best.threshold,
        threshold=settings.threshold,
    )
    save_adapter(reader.model, output / "adapter", settings, card=provence_card(manifest), manifest=manifest)
    write_json(output / MANIFEST, manifest)
    return Trained(output / "adapter", "provence", manifest)


def untrained(recipe: ProvenceRecipe, session: Session) -> tuple[Reader, ProvenceSettings]:
    """The model that is to be trained, with what lays passages out for it, and how it is made of its backbone."""
    from rankloom.training.provence_reading import Reader

    wanted = recipe.encoder
    model, made = cross_encoder.untrained(wanted, session, device=recipe.training.device)
    settings = ProvenceSettings(**asdict(made), rounding=wanted.rounding, below_last=wanted.below_last)
    heads = with_token_head(model, below_last=wanted.below_last)
    device = resolve_device(recipe.training.device, stage=_STAGE)
    return Reader(heads, model.tokenizer, settings, device), settings


def _check_tokens(wanted: TrainedProvence, session: Session) -> None:
    """Refuse to go on from an adapter that reads more of a passage, or less: its scores would be of other texts.

    Raises:
        DataError: Names both numbers.
    """
    start = str(wanted.start)
    reads = read_settings(resolve_model(start, offline=session.offline, stage=_STAGE).path).max_tokens
    if reads != wanted.max_tokens:
        raise DataError(
            f"the adapter to start from reads {reads} tokens, and the recipe's model {wanted.max_tokens}",
            stage=_STAGE,
            value=start,
            accepted=f"max_tokens {reads}",
            fix="say so in encoder.max_tokens, or start from another",
        )


def _taught(recipe: ProvenceRecipe, passages: Sequence[LabelledText], session: Session, output: Path) -> TeacherScores:
    """The teacher's scores; zeros where nothing is learnt from any."""
    from rankloom.training.provence_teacher import TeacherScores, teacher_scores

    if recipe.taught_by is None:
        return TeacherScores([0.0] * len(passages), 0)
    return teacher_scores(passages, recipe.taught_by, session, output / "teacher.json")


def _identity(recipe: ProvenceRecipe, settings: ProvenceSettings) -> str:
    """The fingerprint of what training starts from."""
    start = recipe.encoder.start
    named = [settings.backbone] if start is None else [settings.backbone, start]
    return digest(*(model_identity(one, stage=_STAGE) for one in named))
