"""Sentence encoders: texts to vectors by any model of sentence-transformers.

Reimers and Gurevych: Sentence-BERT, EMNLP 2019. An encoder loads nothing until it first encodes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import whole
from rankloom.encoders.encoder import Encoded, Role
from rankloom.encoders.reading import readable, token_counts
from rankloom.errors import StageError
from rankloom.extras import require
from rankloom.fingerprint import digest
from rankloom.models import LoadedModel, ResolvedModel, model_identity, resolve_model, shared_model
from rankloom.session import Session

DEFAULT_MODEL = "all-MiniLM-L6-v2"
#: Names of a model's prompts that serve a role; the first that is there and not empty is put before each text.
#: (sentence-transformers 6.2 stops at its own empty `document` prompt and so ignores the `passage:` of the E5 models.)
_PROMPTS: dict[Role, tuple[str, ...]] = {"query": ("query",), "document": ("document", "passage", "corpus")}
_VERSION = 1  # raised when the same model gives other vectors than before


class SentenceEncoder:
    """One vector for each text.

    Prompts, pooling and the length that is read are the model's own. Vectors are brought to length 1 where the model
    compares by cosine, so that an inner product is what the model calls similarity.

    Args:
        model: A name or folder; see `rankloom.models.resolve_model`.
        batch_size: Texts in one batch. Results depend on it only by float noise.
        stage: Who encodes, for errors.

    Raises:
        UsageError: batch_size is not a positive whole number.

    Example:
        >>> encoder = SentenceEncoder("all-MiniLM-L6-v2")
        >>> encoder.encode(["why is the sky blue"], role="query", session=Session(offline=True)).vectors.shape
        (1, 384)
    """

    def __init__(self, model: str = DEFAULT_MODEL, *, batch_size: int = 32, stage: str = "encoder") -> None:
        self.model = model
        self.batch_size = whole(batch_size, least=1, stage=stage, parameter="batch_size")
        self.stage = stage
        self._found: ResolvedModel | None = None
        self._loaded: LoadedModel | None = None

    def __repr__(self) -> str:
        """The call that makes an equal encoder."""
        return f"SentenceEncoder({self.model!r})"

    def fingerprint(self) -> str:
        """A digest of the model's files, equal for equal vector spaces; of the name while the model is not here."""
        identity = self._found.fingerprint if self._found else model_identity(self.model, stage=self.stage)
        return digest("sentence encoder", _VERSION, identity)

    def precision_in(self, session: Session) -> str:
        """What vectors are computed with in a session; see `Encoder`."""
        return session.dtype

    def passages(self, texts: list[str], session: Session) -> list[list[str]]:  # noqa: ARG002  # the protocol's
        """Each document as it is."""
        return [[text] for text in texts]

    def __getstate__(self) -> dict[str, Any]:
        """Without the loaded model: whoever takes the encoder out of a pickle finds it again by its name."""
        return {**self.__dict__, "_found": None, "_loaded": None}

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
            StageError: It can not be loaded, or compares vectors by something else than cosine or inner product.
        """
        self._loaded = shared_model("sentence encoder", self.resolve(session), session, _load, stage=self.stage)
        return self._loaded

    def close(self) -> None:
        """Free the model, unless another stage holds it too."""
        self._loaded = None

    def encode(self, texts: list[str], *, role: Role, session: Session) -> Encoded:
        """Encode texts.

        Texts are batched by length, so that little is padded, and returned in the order given; equal texts are encoded
        once. On one CPU the same texts give the same bits; in other company a text's vector moves by float noise.

        Args:
            texts: Any strings.
            role: What the texts are; some models treat queries and documents differently.
            session: Device, dtype, and whether a model may be fetched.

        Raises:
            NotFoundError: The model is not to be had.
            StageError: The model can not be loaded, or gave a vector that is not finite.
        """
        loaded = self.load(session)
        place = {text: number for number, text in enumerate(sorted(set(texts), key=lambda text: (-len(text), text)))}
        ordered = [readable(text) for text in place]
        vectors = np.zeros((len(ordered), loaded.model.get_embedding_dimension()), dtype=np.float32)
        tokens, truncated = np.zeros(len(ordered), dtype=np.int64), np.zeros(len(ordered), dtype=np.int64)
        starts = range(0, len(ordered), self.batch_size)
        for start in starts:
            part = slice(start, start + self.batch_size)
            with loaded.lock:
                vectors[part], tokens[part], truncated[part] = _encode_batch(loaded, ordered[part], role)
        if not np.isfinite(vectors).all():
            raise StageError("the model gave vectors that are not finite", stage=self.stage, value=self.model)
        rows = np.array([place[text] for text in texts], dtype=np.int64)
        return Encoded(vectors[rows], tokens[rows], truncated[rows], len(starts))


def _encode_batch(
    loaded: LoadedModel, texts: list[str], role: Role
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Vectors, tokens read and tokens not read of one batch."""
    import torch
    from sentence_transformers.util import batch_to_device

    model = loaded.model
    prompt = next((model.prompts[name] for name in _PROMPTS[role] if model.prompts.get(name)), None)
    with torch.inference_mode():
        features = model.preprocess(texts, prompt=prompt, task=role)
        tokens, truncated = token_counts(model, texts, features, prompt=prompt, task=role)
        output = model(batch_to_device(features, torch.device(loaded.device)), task=role)["sentence_embedding"]
        vectors = output[:, : model.truncate_dim].float()
        if model.similarity_fn_name == "cosine":
            vectors = torch.nn.functional.normalize(vectors)
    return vectors.cpu().numpy(), tokens, truncated


def _load(folder: str, device: str, dtype: Any) -> Any:
    """A sentence encoder from a folder, by sentence-transformers."""
    library = require("sentence_transformers", extra="dense", stage="encoder")
    model = library.SentenceTransformer(
        folder,
        device=device,
        local_files_only=True,
        trust_remote_code=False,
        model_kwargs={"dtype": dtype, "use_safetensors": True},
    ).eval()
    if model.similarity_fn_name not in ("cosine", "dot"):
        raise StageError(
            "the model compares vectors by neither cosine nor inner product",
            stage="encoder",
            value=model.similarity_fn_name,
            fix="take another model",
        )
    return model
