"""Students by the name of their architecture."""

from __future__ import annotations

import torch

from rankloom.session import Session
from rankloom.training.distillation_config import ColBERTStudent, DotStudent, StudentConfig, TKStudent
from rankloom.training.student import DotLearner, Student, load_backbone
from rankloom.training.student_rerankers import ColBERTLearner, PreTTRLearner, TKLearner


def make_student(settings: StudentConfig, session: Session) -> Student:
    """A student as it is before training.

    Args:
        settings: Which architecture, and its sizes.
        session: Device, seed of what is drawn at random, and whether the network may be used.

    Raises:
        NotFoundError: The backbone is not to be had.
        ConfigError: It is not of a kind that the student can start from.
    """
    torch.manual_seed(session.seed)
    backbone = load_backbone(settings.backbone, session)
    if isinstance(settings, DotStudent):
        return DotLearner(settings, backbone)
    if isinstance(settings, TKStudent):
        return TKLearner(settings, backbone)
    if isinstance(settings, ColBERTStudent):
        return ColBERTLearner(settings, backbone)
    return PreTTRLearner(settings, backbone)
