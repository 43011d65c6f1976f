"""Training a student of any architecture by teachers' margins, or by hard labels: the recipe, from texts to a model.

Hofstätter et al.: Improving Efficient Neural Ranking Models with Cross-Architecture Knowledge Distillation, 2020
(arXiv:2010.02666). Killed at any moment, it goes on from its last checkpoint when it is run again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankloom.files import MANIFEST, atomic_path, write_json
from rankloom.models import model_identity, resolve_device
from rankloom.session import Session
from rankloom.training.distillation import Example, mixed
from rankloom.training.distillation_card import distillation_card
from rankloom.training.distillation_config import DistillationRecipe
from rankloom.training.example_rows import rows_of
from rankloom.training.examples import prepared, source_data
from rankloom.training.teacher_examples import taught_by_file
from rankloom.training.training_folder import Trained, TrainingFolder

if TYPE_CHECKING:
    from rankloom.training.student import Student

_MODEL = "student"
_log = logging.getLogger("rankloom")


def train(recipe: DistillationRecipe, session: Session, *, output: Path) -> Trained:
    """Carry a recipe out, or go on with it.

    Args:
        recipe: What to do.
        session: Where teachers keep their indexes, and whether the network may be used.
        output: Folder of checkpoints, the student and the manifest.

    Raises:
        NotFoundError: A source or the backbone is not there.
        DataError: The sources give no example, or the folder holds another training.
        ConfigError: The student can not be made of the backbone.
        MissingExtraError: The extra `train` is not installed.
    """
    folder = TrainingFolder(recipe, output)
    by_file = recipe.teachers.file is not None
    sources, examples = taught_by_file(recipe, session) if by_file else prepared(recipe, session, output)
    from rankloom.training.student_fit import fit
    from rankloom.training.student_validation import measured
    from rankloom.training.students import make_student

    device = resolve_device(recipe.training.device, stage="training")
    student = make_student(recipe.student, Session(offline=session.offline, device=device, seed=recipe.seed))
    folder.mark([examples], model=model_identity(recipe.student.backbone, stage="training"))
    start = _start(student, examples.held_out, output / "start.json")
    if recipe.training.steps:
        teachers = recipe.teachers
        fit(
            student,
            examples.training,
            mixed(examples.training, teachers.ensemble, mix=teachers.mix, scale=teachers.scale),
            recipe,
            rows=rows_of(examples.training, sources),
            held_out=examples.held_out,
            checkpoints=output / "checkpoints",
            progress=session.progress,
        )
    manifest = folder.manifest(
        source_data(sources, examples),
        examples=len(examples.training),
        held_out=len(examples.held_out),
        start=start,
        end=measured(student, examples.held_out),
    )
    _save(student, output / _MODEL, manifest)
    write_json(output / MANIFEST, manifest)
    return Trained(output / _MODEL, student.stage, manifest)


def _start(student: Student, held_out: Sequence[Example], memory: Path) -> dict[str, float]:
    """What the student is worth untrained; remembered, for a training that goes on."""
    from rankloom.training.student_validation import measured

    if not memory.is_file():
        write_json(memory, measured(student, held_out))
    start: dict[str, float] = json.loads(memory.read_text(encoding="utf-8"))
    _log.info("before training: %s", start)
    return start


def _save(student: Student, folder: Path, manifest: dict[str, Any]) -> None:
    """Write the student's folder, with its card and manifest, whole or not at all."""
    with atomic_path(folder) as temporary:
        student.save(temporary)
        (temporary / "README.md").write_text(distillation_card(manifest, stage=student.stage), encoding="utf-8")
        write_json(temporary / MANIFEST, manifest)
