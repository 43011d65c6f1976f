"""Contrastive fine-tuning of a sentence encoder with mined hard negatives: the recipe, from queries to a model.

Karpukhin et al.: Dense Passage Retrieval, EMNLP 2020 (arXiv:2004.04906). Killed at any moment, it goes on from its last
checkpoint when it is run again.
"""

from __future__ import annotations

from pathlib import Path

from rankloom.session import Session
from rankloom.training.contrastive_config import ContrastiveRecipe
from rankloom.training.encoder_training import train_encoder
from rankloom.training.mined_examples import prepared
from rankloom.training.training_folder import Trained, TrainingFolder, require_training


def train(recipe: ContrastiveRecipe, session: Session, *, output: Path) -> Trained:
    """Carry a recipe out, or go on with it.

    Args:
        recipe: What to do.
        session: Where pipelines keep their indexes, and whether the network may be used.
        output: Folder of checkpoints, the model and the manifest.

    Raises:
        NotFoundError: A source or a model is not there.
        DataError: The sources give no example, or the folder holds another training.
        MissingExtraError: The extra `train` is not installed.
    """
    folder = TrainingFolder(recipe, output)
    require_training()
    rows, pool, data = prepared(recipe, session, output)
    return train_encoder(folder, recipe, rows, pool, data=data, session=session)
