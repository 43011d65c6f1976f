"""Training an inference-free sparse retriever from a sentence encoder: the recipe, from texts to an adapter.

Geng et al.: Towards Competitive Search Relevance For Inference-Free Learned Sparse Retrievers, 2024 (arXiv:2411.04403).
Killed at any moment, it goes on from its last checkpoint when it is run again.
"""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from rankloom.encoders import SentenceEncoder
from rankloom.files import MANIFEST, write_json
from rankloom.models import model_identity, resolve_device
from rankloom.progress import Progress
from rankloom.retrieval.sparse_adapter import AdapterSettings, adapted, document_modules, save_adapter
from rankloom.session import Session
from rankloom.training.distillation import Example
from rankloom.training.examples import document_texts, prepared, source_data
from rankloom.training.idf import idf_table
from rankloom.training.inference_free_config import InferenceFreeRecipe
from rankloom.training.model_card import model_card
from rankloom.training.training_folder import Trained, TrainingFolder

_STAGE = "training"
_log = logging.getLogger("rankloom")
_ACTIVATIONS: dict[int, Literal["relu", "log1p_relu"]] = {1: "relu", 2: "log1p_relu"}


def train(recipe: InferenceFreeRecipe, session: Session, *, output: Path) -> Trained:
    """Carry a recipe out, or go on with it.

    Args:
        recipe: What to do.
        session: Where teachers keep their indexes, and whether the network may be used.
        output: Folder of checkpoints, the adapter and the manifest.

    Raises:
        NotFoundError: A source or the backbone is not there.
        DataError: The sources give no example, or the folder holds another training.
        MissingExtraError: The extra `train` is not installed.
    """
    folder = TrainingFolder(recipe, output)
    sources, examples = prepared(recipe, session, output)
    texts = document_texts(sources)
    student = Student(recipe, session, texts)
    folder.mark([examples, *texts], model=model_identity(recipe.student.backbone, stage=_STAGE))
    start = student.start(texts, examples.held_out, output / "start.json")
    student.fit(examples.training, output / "checkpoints", session.progress)
    end = student.measured(examples.held_out)
    manifest = folder.manifest(
        source_data(sources, examples),
        examples=len(examples.training),
        held_out=len(examples.held_out),
        start=start,
        end=end,
    )
    card = model_card(manifest)
    save_adapter(student.encoder, output / "adapter", student.settings, student.idf, card=card, manifest=manifest)
    write_json(output / MANIFEST, manifest)
    return Trained(output / "adapter", "learned_sparse", manifest)


class Student:
    """The encoder that is trained, and what is done to it.

    Args:
        recipe: How it is made.
        session: Whether the network may be used.
        texts: Documents, for the weights of query terms.
    """

    def __init__(self, recipe: InferenceFreeRecipe, session: Session, texts: Sequence[str]) -> None:
        import torch

        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        device = resolve_device(recipe.training.device, stage=_STAGE)
        plain = Session(offline=session.offline, device=device, seed=recipe.seed)
        self.backbone = SentenceEncoder(recipe.student.backbone, stage=_STAGE).load(plain)
        wanted = recipe.student
        self.settings = AdapterSettings(
            wanted.backbone,
            rank=wanted.rank,
            alpha=wanted.alpha,
            layers=wanted.layers,
            activation_function=_ACTIVATIONS[wanted.logs],
        )
        self.idf = idf_table(texts, self.backbone.model.tokenizer)
        self.encoder = adapted(self.backbone.model, self.settings, self.idf)
        transformer, self.head = document_modules(self.encoder)
        transformer.max_seq_length = wanted.max_tokens

    def start(self, texts: Sequence[str], held_out: Sequence[Example], memory: Path) -> dict[str, Any]:
        """Start the head, unless there is a checkpoint to go on from; returns what the student is worth untrained."""
        from rankloom.training.loop import last_checkpoint
        from rankloom.training.warm_start import warm_start

        if memory.is_file() and last_checkpoint(memory.parent / "checkpoints") is not None:
            remembered: dict[str, Any] = json.loads(memory.read_text(encoding="utf-8"))
            return remembered
        drawn = random.Random(self.recipe.seed).sample(list(texts), min(len(texts), self.recipe.student.warm_start))  # noqa: S311  # no secret
        own = warm_start(self.encoder, drawn, terms=self.recipe.student.terms, seed=self.recipe.seed)
        start = {"own_token": round(own, 4), **self.measured(held_out)}
        _log.info("before training: %s", start)
        write_json(memory, start)
        return start

    def fit(self, examples: Sequence[Example], checkpoints: Path, progress: Progress) -> None:
        """Train by the teachers' scores."""
        from rankloom.training.fit import fit

        if not self.recipe.training.steps:
            return
        fit(self.encoder, examples, self.recipe, checkpoints, progress)

    def measured(self, held_out: Sequence[Example]) -> dict[str, float]:
        """nDCG@10 of held-out queries among all their documents, and how sparse those are."""
        from rankloom.training.validation import measured

        return measured(self.encoder, held_out)
