"""Contrastive fine-tuning of a sentence encoder with mined hard negatives: the recipe, from queries to a model.

Karpukhin et al.: Dense Passage Retrieval, EMNLP 2020 (arXiv:2004.04906). Killed at any moment, it goes on from its last
checkpoint when it is run again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rankloom.session import Session
from rankloom.training.contrastive_config import ContrastiveRecipe
from rankloom.training.encoder_training import train_encoder
from rankloom.training.mined_examples import SourceExamples, examples_of
from rankloom.training.pairs import SourceTexts, read_sources
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
    mining = Session(
        cache=session.cache,
        offline=session.offline,
        seed=recipe.seed,
        device=session.device,
        dtype=recipe.negatives.dtype,
        progress=session.progress,
    )
    sources = read_sources(recipe.sources, mining, seed=recipe.seed)
    examples, pool = examples_of(recipe, sources, mining, output)
    rows = [row for one in examples for row in one.rows]
    data = [_data(source, one) for source, one in zip(sources, examples, strict=True)]
    return train_encoder(folder, recipe, rows, pool, data=data, session=session)


def _data(source: SourceTexts, examples: SourceExamples) -> dict[str, Any]:
    """What the manifest says of a source."""
    counts = {"documents": len(source.corpus), "queries": len(source.queries), "held out": len(source.held_out)}
    return {
        "name": source.source.name,
        "licence": source.source.licence,
        "counts": counts | {name: number for name, number in examples.counts.items() if number},
    }
