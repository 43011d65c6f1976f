"""Training IDCM: the recipe, from questions about long documents to an adapter, in three steps.

Hofstätter et al.: Intra-Document Cascading, SIGIR 2021 (arXiv:2105.09816). Killed at any moment, a training goes on
from the last checkpoint of the step that it was in when it is run again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankloom.adapter import LowRankChanges, restore
from rankloom.files import MANIFEST, atomic_path, write_json
from rankloom.models import model_identity
from rankloom.session import Session
from rankloom.training import cross_encoder
from rankloom.training.contrasts import Row
from rankloom.training.cross_encoder_config import CrossEncoderRecipe, TrainedCrossEncoder
from rankloom.training.encoder_training import some_of
from rankloom.training.idcm_card import idcm_card
from rankloom.training.idcm_config import IDCMRecipe
from rankloom.training.mined_examples import data_of, examples_of, mining_session
from rankloom.training.pairs import SourceTexts, read_sources
from rankloom.training.pool import Pool
from rankloom.training.training_folder import Trained, TrainingFolder, require_training

if TYPE_CHECKING:
    from torch import Tensor

    from rankloom.rerank.idcm_adapter import IDCMSettings
    from rankloom.rerank.idcm_model import IDCMModel, IDCMSizes
    from rankloom.training.idcm_reading import Reader

_STAGE = "training"
_PASSAGES = "passages.json"  # what the first step was trained on; a training that goes on after it reads it here
_NO_ANSWER = "queries left out, as no answer stands in their documents"
_log = logging.getLogger("rankloom")


def train(recipe: IDCMRecipe, session: Session, *, output: Path) -> Trained:
    """Carry a recipe out, or go on with it.

    Args:
        recipe: What to do.
        session: Where pipelines keep their indexes, and whether the network may be used.
        output: Folder of checkpoints, what each step has left, the adapter, the manifest, and as `teacher` an adapter
            of a cross-encoder: the teacher alone.

    Raises:
        NotFoundError: A source or a model is not there.
        DataError: The sources give no example, the adapter to start from is of other sizes, or the folder holds another
            training.
        MissingExtraError: The extra `train` is not installed.
    """
    folder = TrainingFolder(recipe, output)
    require_training()
    import torch

    from rankloom.rerank.idcm_adapter import save_adapter, save_teacher, teacher_weights, trained
    from rankloom.training.idcm_fit import fit_documents
    from rankloom.training.idcm_reading import Reader
    from rankloom.training.idcm_validation import validation_pool

    mining = mining_session(recipe, session)
    sources = read_sources(recipe.sources, mining, seed=recipe.seed)
    examples, _ = examples_of(recipe, sources, mining, output)
    rows = [row for one in examples for row in one.rows]
    pool, left_out = validation_pool(recipe, mining, trained_on=sources)
    torch.manual_seed(recipe.seed)
    encoder, model, settings = untrained(recipe, session)
    folder.mark(
        [*rows, pool.queries, pool.documents, pool.relevant, pool.candidates],
        model=model_identity(settings.backbone, stage=_STAGE),
    )
    reader = Reader(model)

    def passages() -> None:
        _learn_passages(recipe, encoder, sources, mining, output)

    def documents() -> None:
        fit_documents(reader, rows, recipe, checkpoints=output / "checkpoints" / "documents", progress=session.progress)

    if recipe.passages.steps:
        _once(output / "passages.safetensors", teacher_weights(model), passages)
    if recipe.training.steps:
        _once(output / "documents.safetensors", {**teacher_weights(model), "weights": model.weights}, documents)
    end = _learn_windows(recipe, reader, rows, pool, output=output, session=session)
    data = [data_of(source, one) for source, one in zip(sources, examples, strict=True)]
    learnt = recipe.passages.steps and (output / _PASSAGES).is_file()
    manifest = folder.manifest(
        data,
        passages=json.loads((output / _PASSAGES).read_text(encoding="utf-8")) if learnt else [],
        examples=len(rows),
        held_out=len(pool),
        left_out=left_out,
        weights=[round(one, 4) for one in model.weights.tolist()],
        end=end,
    )
    save_adapter(model, output / "adapter", settings, card=idcm_card(manifest), manifest=manifest)
    save_teacher(encoder, output / "teacher", settings, manifest=manifest)
    write_json(output / MANIFEST, manifest)
    _log.info("IDCM: %s trained numbers; %s", sum(one.numel() for one in trained(model).values()), end)
    return Trained(output / "adapter", "idcm", manifest)


def untrained(recipe: IDCMRecipe, session: Session) -> tuple[Any, IDCMModel, IDCMSettings]:
    """The teacher as a cross-encoder of sentence-transformers, the model around it, and how that is made."""
    from rankloom.rerank.idcm_adapter import IDCMSettings, around

    wanted = recipe.encoder
    sizes = _sizes(recipe)
    teacher = _of_passages(recipe).encoder
    encoder, made = cross_encoder.untrained(teacher, session, device=recipe.training.device)
    changes = {one.name: getattr(made, one.name) for one in fields(LowRankChanges)}
    return encoder, around(encoder, sizes), IDCMSettings(wanted.model, sizes, **changes)


def _sizes(recipe: IDCMRecipe) -> IDCMSizes:
    """What the model reads."""
    from rankloom.rerank.idcm_model import IDCMSizes

    told = recipe.encoder.model_dump(include={one.name for one in fields(IDCMSizes)})
    return IDCMSizes(**told)


def _of_passages(recipe: IDCMRecipe) -> CrossEncoderRecipe:
    """The first step as a recipe for a cross-encoder."""
    from rankloom.rerank.idcm_adapter import longest

    wanted = recipe.encoder
    most = longest(_sizes(recipe))
    negatives = recipe.negatives.model_copy(update={"count": recipe.passages.count, "positives": 1})
    return CrossEncoderRecipe(
        kind="cross_encoder",
        name=recipe.name,
        output=recipe.output,
        seed=recipe.seed,
        training=recipe.passages,
        sources=recipe.sources,
        negatives=negatives,
        encoder=TrainedCrossEncoder(model=wanted.model, max_tokens=most, lora=wanted.lora, start=wanted.start),
        loss=recipe.passages.loss,
    )


def _learn_passages(
    recipe: IDCMRecipe, encoder: Any, sources: Sequence[SourceTexts], mining: Session, output: Path
) -> None:
    """The first step: the teacher learns to rank passages."""
    from rankloom.training.cross_encoder_fit import fit
    from rankloom.training.idcm_passages import passage_sources

    sizes, of_passages = recipe.encoder, _of_passages(recipe)
    found = passage_sources(sources, encoder.tokenizer, core=sizes.core, overlap=sizes.overlap)
    passages = [source for source, _ in found]
    examples, _ = examples_of(of_passages, passages, mining, output)
    data = [data_of(source, one) for source, one in zip(passages, examples, strict=True)]
    for told, (_, left_out) in zip(data, found, strict=True):
        told["counts"][_NO_ANSWER] = left_out
    write_json(output / _PASSAGES, data)
    rows = [row for one in examples for row in one.rows]
    checkpoints = output / "checkpoints" / "passages"
    fit(encoder, rows, of_passages, pool=Pool(), checkpoints=checkpoints, progress=mining.progress)


def _learn_windows(
    recipe: IDCMRecipe, reader: Reader, rows: Sequence[Row], pool: Pool, *, output: Path, session: Session
) -> dict[str, float]:
    """The third step, and what all steps have come to."""
    from rankloom.rerank.idcm_adapter import trained
    from rankloom.training.idcm_fit import WindowLearner, fit_student
    from rankloom.training.idcm_reading import TeacherScores
    from rankloom.training.idcm_validation import measured

    pairs = [(row.query, text) for row in rows for text in (row.positive, *row.negatives)]
    asked = some_of(list(dict.fromkeys(pairs)), recipe.distillation.pairs or len(pairs), seed=recipe.seed)
    held_out = [(text, pool.documents[one]) for query, text in pool.queries.items() for one in pool.candidates[query]]
    teacher = TeacherScores(reader, output / "windows.jsonl", bfloat16=recipe.distillation.bfloat16)
    teacher.read([*(asked if recipe.distillation.steps else []), *held_out], session.progress)

    def student() -> None:
        checkpoints = output / "checkpoints" / "student"
        fit_student(reader, teacher, asked, recipe, checkpoints=checkpoints, progress=session.progress)

    if recipe.distillation.steps:
        own = {name: one for name, one in trained(reader.model).items() if name.startswith("student.")}
        _once(output / "student.safetensors", own, student)
    return measured(reader, teacher, WindowLearner(reader, teacher, recipe.distillation.loss), pool)


def _once(file: Path, parameters: Mapping[str, Tensor], learn: Callable[[], None]) -> None:
    """Train parameters, or take them as they were when that was done."""
    from safetensors.torch import load_file, save_file

    if not file.is_file():
        learn()
        with atomic_path(file) as temporary:
            save_file({name: one.detach().cpu().contiguous() for name, one in parameters.items()}, temporary)
    restore(parameters, load_file(file), stage=_STAGE)
