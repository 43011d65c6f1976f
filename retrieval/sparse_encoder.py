"""Learned sparse encoders: texts to weighted terms, by any SPLADE-like model of sentence-transformers.

Formal et al.: SPLADE v2, 2021 (arXiv:2109.10086). Geng et al.: Towards Competitive Search Relevance For Inference-Free
Learned Sparse Retrievers, 2024 (arXiv:2411.04403).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import between, choice, whole
from rankloom.encoders import Role, SentenceEncoder, readable, token_counts
from rankloom.errors import DataError, StageError, UsageError
from rankloom.extras import require
from rankloom.fingerprint import digest
from rankloom.model_files import ADAPTER
from rankloom.models import LoadedModel, ResolvedModel, model_identity, resolve_model, shared_model
from rankloom.session import Session
from rankloom.weighted_terms import SparseEncoded, Terms

#: What is done to a logit: log(1 + relu(x)) once as in SPLADE, or twice as in the OpenSearch v3 models.
#: sentence-transformers has names for what comes before its own last logarithm.
Activation = Literal["model", "log1p", "log1p_log1p"]
_IN_LIBRARY: dict[str, Literal["relu", "log1p_relu"]] = {"log1p": "relu", "log1p_log1p": "log1p_relu"}
_VERSION = 1  # raised when the same model gives other weights than before


class TermEncoder(Protocol):
    """Whatever turns texts into weighted terms: a model, a table of weights, a file of stored ones."""

    def fingerprint(self) -> str:
        """Equal for equal terms and weights of the same text."""
        ...

    def encode(self, texts: list[str], *, role: Role, session: Session) -> SparseEncoded:
        """Weighted terms of some texts."""
        ...


class SparseEncoder:
    """Weighted terms by a masked language model: SPLADE, SPLADE++, the OpenSearch models.

    A model with two ways in (one for queries, one for documents) is asked by the right one, so that inference-free
    checkpoints of sentence-transformers need nothing more.

    Args:
        model: A name such as `naver/splade-v3` or `mini/inference-free`, or a folder; see
            `rankloom.models.resolve_model`.
        activation: `model` as the checkpoint says. A plain masked language model does not say, and has to be told: one
            that was trained with two logs runs with one as well, and ranks badly.
        prune_ratio: Weights up to this share of a document's largest are dropped, below 1 (0: none; OpenSearch's models
            use 0.1). Queries are left whole.
        top_terms: Only this many terms of a document are kept, the heaviest; all by default.
        batch_size: Texts in one batch. Weights depend on it only by float noise.
        stage: Who encodes, for errors.

    Raises:
        UsageError: A parameter is out of range.

    Example:
        >>> SparseEncoder("naver/splade-v3").activation
        'model'
    """

    def __init__(
        self,
        model: str,
        *,
        activation: Activation = "model",
        prune_ratio: float = 0.0,
        top_terms: int | None = None,
        batch_size: int = 32,
        stage: str = "sparse_encoder",
    ) -> None:
        choice(activation, get_args(Activation), stage=stage, parameter="activation")
        self.model = model
        self.activation: Activation = activation
        self.prune_ratio = between(prune_ratio, 0, 1, stage=stage, parameter="prune_ratio")
        self.top_terms = None if top_terms is None else whole(top_terms, least=1, stage=stage, parameter="top_terms")
        if self.prune_ratio == 1:
            raise UsageError("prune_ratio drops every term", stage=stage, value=prune_ratio, accepted="below 1")
        self.batch_size = whole(batch_size, least=1, stage=stage, parameter="batch_size")
        self.stage = stage
        self._found: ResolvedModel | None = None
        self._loaded: LoadedModel | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Pickled without the model, which is looked for and loaded again wherever that is."""
        return {**self.__dict__, "_found": None, "_loaded": None}

    @property
    def space(self) -> str:
        """A digest of the model's files and activation: queries and documents must agree in it."""
        identity = self._found.fingerprint if self._found else model_identity(self.model, stage=self.stage)
        return digest("sparse encoder", _VERSION, identity, self.activation)

    def fingerprint(self) -> str:
        """A digest of the model and of what is kept of its weights."""
        return digest(self.space, self.prune_ratio, self.top_terms)

    def resolve(self, session: Session) -> ResolvedModel:
        """Find the model's files, fetching them if the session allows it.

        Raises:
            NotFoundError: The model is not to be had.
        """
        if self._found is None:
            self._found = resolve_model(self.model, offline=session.offline, stage=self.stage)
        return self._found

    def load(self, session: Session) -> LoadedModel:
        """Load the model now rather than on first use.

        Raises:
            NotFoundError: The model is not to be had.
            DataError: It does not give a weight for each term of its vocabulary, or needs an `activation`.
            StageError: It can not be loaded.
        """
        found = self.resolve(session)
        load = partial(_load, activation=self.activation)
        if found.backbone is not None:
            backbone = SentenceEncoder(str(found.backbone.path), stage=self.stage).load(session)
            load = partial(_load_adapter, activation=self.activation, backbone=backbone)
        self._loaded = shared_model(f"sparse encoder {self.activation}", found, session, load, stage=self.stage)
        return self._loaded

    def close(self) -> None:
        """Free the model, unless another stage holds it too."""
        self._loaded = None

    def encode(self, texts: list[str], *, role: Role, session: Session) -> SparseEncoded:
        """Encode texts; batched by length, returned in the order given, equal texts once.

        Special tokens and unused entries of the vocabulary get no weight.

        Args:
            texts: Any strings.
            role: What the texts are.
            session: Device, dtype, and whether a model may be fetched.

        Raises:
            NotFoundError: The model is not to be had.
            StageError: The model can not be loaded, or gave a weight that is not finite.
        """
        loaded = self.load(session)
        ordered = sorted(set(texts), key=lambda text: (-len(text), text))
        found: dict[str, tuple[Terms, int, int]] = {}
        starts = range(0, len(ordered), self.batch_size)
        for start in starts:
            batch = ordered[start : start + self.batch_size]
            with loaded.lock:
                weights, tokens, truncated = _encode_batch(loaded, [readable(text) for text in batch], role)
            if not np.isfinite(weights).all():
                raise StageError("the model gave weights that are not finite", stage=self.stage, value=self.model)
            for text, row, read, cut in zip(batch, weights, tokens.tolist(), truncated.tolist(), strict=True):
                found[text] = (self._terms(row, loaded.model, role), read, cut)
        return SparseEncoded(
            [found[text][0] for text in texts],
            np.array([found[text][1] for text in texts], dtype=np.int64),
            np.array([found[text][2] for text in texts], dtype=np.int64),
            len(starts),
        )

    def _terms(self, row: NDArray[np.float32], model: Any, role: Role) -> Terms:
        """The terms that are kept of one text's weights."""
        row = row[: len(model.vocabulary)]  # some models pad their outputs to a round number
        row[model.unweighted] = 0
        ratio, most = (self.prune_ratio, self.top_terms) if role == "document" else (0.0, None)
        row[row <= ratio * row.max(initial=0)] = 0
        held = np.flatnonzero(row)
        weighted = [(model.vocabulary[number], float(row[number])) for number in held.tolist()]
        weighted.sort(key=lambda pair: (-pair[1], pair[0]))
        return dict(weighted[:most])


def _encode_batch(
    loaded: LoadedModel, texts: list[str], role: Role
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Weights of the whole vocabulary, float32 (texts, vocabulary), tokens read and tokens not read of one batch."""
    import torch
    from sentence_transformers.util import batch_to_device

    model = loaded.model.inner
    with torch.inference_mode():
        features = model.preprocess(texts, task=role)
        tokens, truncated = token_counts(model, texts, features, task=role)
        output = model(batch_to_device(features, torch.device(loaded.device)), task=role)["sentence_embedding"]
    return output.float().cpu().numpy(), tokens, truncated


class _Model(NamedTuple):
    """A model in memory, with what its outputs are called."""

    inner: Any
    vocabulary: list[str]
    unweighted: NDArray[np.int64]
    backbone: LoadedModel | None = None  # of an adapter: held so that others share its weights


def _load(folder: str, device: str, dtype: Any, *, activation: Activation) -> _Model:
    """A sparse encoder from a folder, by sentence-transformers."""
    library = require("sentence_transformers", extra="dense", stage="sparse_encoder")
    model = library.SparseEncoder(
        folder,
        device=device,
        local_files_only=True,
        trust_remote_code=False,
        model_kwargs={"dtype": dtype, "use_safetensors": True},
    ).eval()
    return _ready(model, folder, activation)


def _load_adapter(folder: str, device: str, dtype: Any, *, activation: Activation, backbone: LoadedModel) -> _Model:  # noqa: ARG001  # the backbone's
    """A sparse encoder from an adapter, on the device and in the numbers of its backbone."""
    from rankloom.retrieval.sparse_adapter import load_adapter

    return _ready(load_adapter(folder, backbone.model), folder, activation)._replace(backbone=backbone)


def _ready(model: Any, folder: str, activation: Activation) -> _Model:
    """A loaded model with its vocabulary, and the activation that was asked for."""
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    poolings = [module for module in model.modules() if isinstance(module, SpladePooling)]
    if not poolings:  # sentence-transformers would put a random layer on any other encoder
        raise DataError(
            "the model gives no weight for each term",
            stage="sparse_encoder",
            value=folder,
            accepted="a masked language model, or a SparseEncoder of sentence-transformers with SpladePooling",
        )
    if activation == "model" and not any((Path(folder) / name).is_file() for name in ("modules.json", ADAPTER)):
        raise DataError(  # sentence-transformers would take one logarithm, whatever the model was trained with
            "the checkpoint does not say whether its weights take one logarithm or two",
            stage="sparse_encoder",
            value=folder,
            accepted="activation='log1p' (SPLADE) or activation='log1p_log1p' (OpenSearch v3)",
        )
    if activation != "model":
        for pooling in poolings:
            pooling.activation_function = _IN_LIBRARY[activation]
    tokenizer = model.tokenizer
    vocabulary = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    return _Model(model, vocabulary, np.array(sorted(set(tokenizer.all_special_ids)), dtype=np.int64))
