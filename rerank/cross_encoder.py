"""Cross-encoders: a transformer reads the query and the document together and gives one score.

Nogueira and Cho: Passage Re-ranking with BERT, 2019 (arXiv:1901.04085).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from rankloom.checks import whole
from rankloom.encoders import readable, token_counts
from rankloom.errors import DataError
from rankloom.extras import require
from rankloom.models import LoadedModel, model_identity, resolve_model, shared_model
from rankloom.parameter_kinds import NamesModel
from rankloom.ranking import ScoreKind
from rankloom.rerank.pair_stage import Pair
from rankloom.rerank.pointwise import Pointwise, Scored
from rankloom.session import Session

_ORGANISATION = "cross-encoder"  # what a model name without a slash belongs to
# Classes of transformers whose output is a score; any other checkpoint would get a random head.
_SCORING = ("ForSequenceClassification", "ForCausalLM")


class CrossEncoder(Pointwise):
    """Rerank by any cross-encoder of sentence-transformers.

    The score is the model's raw output, before any activation. The document is read as `Document.contents`; a pair
    that is longer than the model reads is cut at the end of its longer side, and noted.

    Args:
        model: A name such as `cross-encoder/ms-marco-MiniLM-L6-v2`, or a folder; see `rankloom.models.resolve_model`.
        depth: How many hits of each query are scored; 100 as in most published reranking runs.
        batch_size: Pairs in one batch. Scores depend on it only by float noise.

    Raises:
        UsageError: A parameter is not a positive whole number.
    """

    name = "cross_encoder"
    requires = ("sentence_transformers",)
    kind = ScoreKind.LOGIT

    def __init__(
        self, model: Annotated[str, NamesModel(_ORGANISATION)], *, depth: int = 100, batch_size: int = 32
    ) -> None:
        self.model = model
        self.depth = whole(depth, least=1, stage=self.name, parameter="depth")
        self.batch_size = whole(batch_size, least=1, stage=self.name, parameter="batch_size")
        self._loaded: LoadedModel | None = None

    def identity(self, session: Session | None = None) -> str:
        """The model's fingerprint; see `PairStage.identity`."""
        if session is None:
            return model_identity(self.model, stage=self.name, organisation=_ORGANISATION)
        return resolve_model(
            self.model, offline=session.offline, stage=self.name, organisation=_ORGANISATION
        ).fingerprint

    def score(self, pairs: Sequence[Pair], session: Session) -> Scored:
        """Score some pairs, batched by length.

        Raises:
            NotFoundError: The model is not to be had.
            DataError: It is not a cross-encoder with one output.
            StageError: It can not be loaded.
        """
        loaded = self._load(session)
        texts = [(readable(pair.query), readable(pair.document.contents)) for pair in pairs]
        order = sorted(range(len(texts)), key=lambda place: (-len(texts[place][0]) - len(texts[place][1]), place))
        scores = np.zeros(len(texts), dtype=np.float32)
        truncated = np.zeros(len(texts), dtype=np.int64)
        tokens, starts = 0, range(0, len(texts), self.batch_size)
        for start in starts:
            places = order[start : start + self.batch_size]
            with loaded.lock:
                scores[places], read, truncated[places] = _score_batch(loaded, [texts[place] for place in places])
            tokens += int(read.sum())
        return Scored(scores, truncated, len(starts), tokens)

    def warm_up(self, session: Session | None = None) -> None:
        """Load the model."""
        self._load(session or Session())

    def close(self) -> None:
        """Free the model, unless another stage holds it too."""
        self._loaded = None

    def _load(self, session: Session) -> LoadedModel:
        """The model in memory."""
        found = resolve_model(self.model, offline=session.offline, stage=self.name, organisation=_ORGANISATION)
        self._loaded = shared_model("cross encoder", found, session, _load, stage=self.name)
        return self._loaded


def _score_batch(loaded: LoadedModel, texts: list[tuple[str, str]]) -> tuple[Any, Any, Any]:
    """Raw scores, tokens read and tokens not read of one batch."""
    import torch
    from sentence_transformers.util import batch_to_device

    model = loaded.model
    prompt = model.prompts.get(model.default_prompt_name)
    with torch.inference_mode():
        features = model.preprocess(texts, prompt=prompt)
        read, truncated = token_counts(model, texts, features, prompt=prompt)
        scores = model(batch_to_device(features, torch.device(loaded.device)))["scores"]
    return scores.float().reshape(len(texts)).cpu().numpy(), read, truncated


def _load(folder: str, device: str, dtype: Any) -> Any:
    """A cross-encoder from a folder, by sentence-transformers."""
    library = require("sentence_transformers", extra="dense", stage=CrossEncoder.name)
    _check_head(Path(folder))
    model = library.CrossEncoder(
        folder,
        device=device,
        local_files_only=True,
        trust_remote_code=False,
        model_kwargs={"dtype": dtype, "use_safetensors": True},
    ).eval()
    if model.num_labels != 1:
        raise DataError(
            f"the model has {model.num_labels} outputs",
            stage=CrossEncoder.name,
            value=folder,
            accepted="a model that gives one score (num_labels=1)",
            fix="take a model trained for reranking; one for classification or inference does not rank",
        )
    return model


def _check_head(folder: Path) -> None:
    """Refuse a model without a scoring head: loading it as a cross-encoder would make up a random one."""
    saved_as = folder / "config_sentence_transformers.json"
    if saved_as.is_file() and json.loads(saved_as.read_text(encoding="utf-8")).get("model_type") == "CrossEncoder":
        return
    config = folder / "config.json"
    classes = json.loads(config.read_text(encoding="utf-8")).get("architectures") if config.is_file() else None
    if not classes or not classes[0].endswith(_SCORING):
        raise DataError(
            "the model has no scoring head",
            stage=CrossEncoder.name,
            value=folder.name if not classes else f"{folder.name} ({classes[0]})",
            accepted="a cross-encoder",
            fix="for a sentence encoder, take BiEncoder",
        )
