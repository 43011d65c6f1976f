"""Token encoders: texts to one vector for each token, for late interaction.

Khattab and Zaharia: ColBERT, SIGIR 2020 (arXiv:2004.12832). Models are multi-vector encoders of sentence-transformers,
which also reads those of PyLate and of the authors. A token encoder loads nothing until it first encodes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import whole
from rankloom.encoders import Role, readable
from rankloom.errors import DataError, StageError
from rankloom.extras import require
from rankloom.fingerprint import digest
from rankloom.models import LoadedModel, ResolvedModel, model_identity, resolve_model, shared_model
from rankloom.session import Session
from rankloom.token_vectors import TokenVectors

_VERSION = 1  # raised when the same model gives other vectors than before


class TokensEncoded(NamedTuple):
    """What a token encoder gives back for some texts, in their order.

    Args:
        vectors: Of the tokens that count.
        tokens: Tokens that the model read of each text; int64 of shape (texts,).
        truncated: Tokens of each text that it did not read; int64 of shape (texts,).
        calls: How many batches went through the model.
    """

    vectors: TokenVectors
    tokens: NDArray[np.int64]
    truncated: NDArray[np.int64]
    calls: int


class TokenEncoder:
    """One vector for each token of a text.

    Prompts, lengths, [MASK] tokens behind queries, and which tokens of documents count, are the model's own.

    Args:
        model: A name or folder; see `rankloom.models.resolve_model`.
        batch_size: Texts in one batch. Results depend on it only by float noise.
        stage: Who encodes, for errors.

    Raises:
        UsageError: batch_size is not a positive whole number.
    """

    def __init__(self, model: str, *, batch_size: int = 32, stage: str = "token_encoder") -> None:
        self.model = model
        self.batch_size = whole(batch_size, least=1, stage=stage, parameter="batch_size")
        self.stage = stage
        self._loaded: LoadedModel | None = None

    def __repr__(self) -> str:
        """The call that makes an equal encoder."""
        return f"TokenEncoder({self.model!r})"

    def fingerprint(self, session: Session | None = None) -> str:
        """A digest of the model's files; of the name while the model is not here and may not be fetched."""
        identity = (
            model_identity(self.model, stage=self.stage) if session is None else self.resolve(session).fingerprint
        )
        return digest("token encoder", _VERSION, identity)

    def resolve(self, session: Session) -> ResolvedModel:
        """Find the model's files, fetching them if the session allows it.

        Raises:
            NotFoundError: The model is not to be had.
        """
        return resolve_model(self.model, offline=session.offline, stage=self.stage)

    def load(self, session: Session) -> LoadedModel:
        """Load the model now rather than on first use.

        Raises:
            NotFoundError: The model is not to be had.
            DataError: It is not a multi-vector encoder.
            StageError: It can not be loaded.
        """
        self._loaded = shared_model("token encoder", self.resolve(session), session, _load, stage=self.stage)
        return self._loaded

    def close(self) -> None:
        """Free the model, unless another stage holds it too."""
        self._loaded = None

    def encode(self, texts: Sequence[str], *, role: Role, session: Session) -> TokensEncoded:
        """Encode texts, batched by length; equal ones once.

        Args:
            texts: Any strings.
            role: What they are.
            session: Device, dtype, and whether a model may be fetched.

        Raises:
            NotFoundError: The model is not to be had.
            DataError: It is not a multi-vector encoder.
            StageError: It can not be loaded, or gave a vector that is not finite.
        """
        loaded = self.load(session)
        ordered = sorted(set(texts), key=lambda text: (-len(text), text))
        place = {text: number for number, text in enumerate(ordered)}
        vectors: list[NDArray[np.float32]] = []
        tokens, truncated = np.zeros(len(ordered), dtype=np.int64), np.zeros(len(ordered), dtype=np.int64)
        starts = range(0, len(ordered), self.batch_size)
        for start in starts:
            part = slice(start, start + self.batch_size)
            with loaded.lock:
                some, tokens[part], truncated[part] = _encode_batch(
                    loaded, [readable(one) for one in ordered[part]], role
                )
            vectors.extend(some)
        if not all(np.isfinite(one).all() for one in vectors):
            raise StageError("the model gave vectors that are not finite", stage=self.stage, value=self.model)
        rows = np.array([place[text] for text in texts], dtype=np.int64)
        dimensions = int(loaded.model.get_embedding_dimension())
        found = TokenVectors.of(vectors, dimensions).take(rows)
        return TokensEncoded(found, tokens[rows], truncated[rows], len(starts))


def _encode_batch(
    loaded: LoadedModel, texts: list[str], role: Role
) -> tuple[list[NDArray[np.float32]], NDArray[np.int64], NDArray[np.int64]]:
    """Vectors, tokens read and tokens not read of each text of a batch."""
    import torch
    from sentence_transformers.util import batch_to_device

    model = loaded.model
    prompt = model.prompts.get(role) or ""
    with torch.inference_mode():
        features = model.preprocess(texts, prompt=prompt or None, task=role)
        width = features["input_ids"].shape[1]
        read = features["attention_mask"].sum(dim=1).numpy().astype(np.int64)
        whole_texts = model.tokenizer([prompt + text for text in texts], truncation=False, verbose=False)["input_ids"]
        truncated = np.array([max(0, len(one) - width) for one in whole_texts], dtype=np.int64)
        output = model(batch_to_device(features, torch.device(loaded.device)), task=role)
        pairs = zip(output["token_embeddings"].float().cpu(), output["attention_mask"].bool().cpu(), strict=True)
        vectors = [one[mask].numpy() for one, mask in pairs]
    return vectors, read, truncated


def _load(folder: str, device: str, dtype: Any) -> Any:
    """A multi-vector encoder from a folder, by sentence-transformers."""
    library = require("sentence_transformers", extra="dense", stage="token_encoder")
    if not _has_token_vectors(Path(folder)):  # a random projection would be made up for it
        raise DataError(
            "the model gives no vectors of tokens",
            stage="token_encoder",
            value=folder,
            accepted="a multi-vector encoder of sentence-transformers or PyLate, or a ColBERT of its authors",
            fix="for a sentence encoder, take bi_encoder",
        )
    return library.MultiVectorEncoder(
        folder,
        device=device,
        local_files_only=True,
        trust_remote_code=False,
        model_kwargs={"dtype": dtype, "use_safetensors": True},
    ).eval()


def _has_token_vectors(folder: Path) -> bool:
    """Whether a model was made to be compared by its tokens."""
    saved, config = folder / "config_sentence_transformers.json", folder / "config.json"
    said = json.loads(saved.read_text(encoding="utf-8")) if saved.is_file() else {}
    if said.get("model_type") == "MultiVectorEncoder" or "query_prefix" in said:  # the latter: PyLate
        return True
    return config.is_file() and "HF_ColBERT" in (
        json.loads(config.read_text(encoding="utf-8")).get("architectures") or []
    )
