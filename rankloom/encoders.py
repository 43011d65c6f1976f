"""Sentence encoders: texts to vectors by any model of sentence-transformers.

Reimers and Gurevych: Sentence-BERT, EMNLP 2019. An encoder loads nothing until it first encodes.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import whole
from rankloom.errors import DataError, StageError
from rankloom.extras import require
from rankloom.fingerprint import digest
from rankloom.ledger import Note
from rankloom.models import LoadedModel, ResolvedModel, model_identity, resolve_model, shared_model
from rankloom.session import Session

Role = Literal["query", "document"]
DEFAULT_MODEL = "all-MiniLM-L6-v2"
#: Names of a model's prompts that serve a role; the first that is there and not empty is put before each text.
#: (sentence-transformers 6.2 stops at its own empty `document` prompt and so ignores the `passage:` of the E5 models.)
_PROMPTS: dict[Role, tuple[str, ...]] = {"query": ("query",), "document": ("document", "passage", "corpus")}
_VERSION = 1  # raised when the same model gives other vectors than before


class Encoded(NamedTuple):
    """What an encoder gives back for some texts, in their order.

    Args:
        vectors: float32 of shape (texts, dimensions).
        tokens: Tokens that the model read of each text, prompt and special tokens included; int64 of shape (texts,).
        truncated: Tokens of each text that the model did not read; int64 of shape (texts,).
        calls: How many batches went through the model.
    """

    vectors: NDArray[np.float32]
    tokens: NDArray[np.int64]
    truncated: NDArray[np.int64]
    calls: int


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


def readable(text: str) -> str:
    r"""A text without halves of surrogate pairs, which no tokenizer takes; each becomes a question mark.

    >>> readable("half a pair \ud83d"), readable("whole")
    ('half a pair ?', 'whole')
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text


def truncation_note(session: Session, *, stage: str, tokens: int, query_id: str = "", doc_id: str = "") -> Note:
    """The note that a text was longer than a model reads.

    Args:
        session: Tells whether this is to be recorded or an error.
        stage: The stage that reads the text.
        tokens: How many tokens were not read, above 0.
        query_id: The query whose text it is, or that it was read with.
        doc_id: The document whose text it is.

    Raises:
        DataError: The session's policy is `error`.
    """
    if session.on_truncate == "error":
        raise DataError(
            f"a text is longer than the model reads; its last {tokens} tokens would be ignored",
            stage=stage,
            value=doc_id or query_id,
            fix='split long documents into passages, or allow it with Session(on_truncate="record")',
        )
    return Note(stage, "truncated", query_id, doc_id, tokens)


def token_counts(model: Any, inputs: list[Any], features: Any, **options: Any) -> tuple[Any, Any]:
    """How many tokens of each input a model of sentence-transformers reads, and how many it does not.

    Args:
        model: A `SentenceTransformer` or `CrossEncoder`.
        inputs: Texts, or pairs of texts.
        features: What `model.preprocess` made of them.
        options: What it was given besides.

    Returns:
        Two int64 arrays of shape (inputs,).
    """
    if "attention_mask" not in features:  # models of static embeddings read everything; they give offsets instead
        ends = [*features["offsets"].tolist()[1:], len(features["input_ids"])]
        return np.diff([0, *ends]).astype(np.int64), np.zeros(len(inputs), dtype=np.int64)
    read = features["attention_mask"].sum(dim=1).numpy().astype(np.int64)
    truncated = np.zeros_like(read)
    # Only an input as long as the longest of the batch can have been cut; only those are tokenised again.
    longest = np.flatnonzero(read == read.max())
    whole_text = {"text": {"truncation": False, "verbose": False}}
    again = model.preprocess([inputs[place] for place in longest], processing_kwargs=whole_text, **options)
    truncated[longest] = again["attention_mask"].sum(dim=1).numpy() - read[longest]
    return read, truncated


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
