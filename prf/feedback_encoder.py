"""Queries with their feedback documents to vectors, by a learned query encoder of any origin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import choice
from rankloom.encoders import Pooling, SentenceEncoder, readable
from rankloom.encoders.batches import Batch, plain_transformer
from rankloom.encoders.precision import chosen_precision
from rankloom.encoders.sentence_model import has_normalization
from rankloom.errors import StageError, UsageError
from rankloom.fingerprint import digest
from rankloom.models import LoadedModel, ResolvedModel, model_identity, resolve_model, shared_model
from rankloom.prf.feedback_adapter import Said, load_adapter, said_by
from rankloom.prf.feedback_layout import FeedbackLayout, Form, Rendered, Special, render
from rankloom.session import DType, Session

FeedbackPrecision = Literal["float32", "bfloat16", "auto"]
#: Comes with the extra `mini`, for documents encoded by all-MiniLM-L6-v2.
DEFAULT_FEEDBACK_MODEL = "mini/prf"
_VERSION = 1  # raised when the same model gives other vectors than before


class FeedbackEncoded(NamedTuple):
    """What the encoder gives back for some queries, in their order.

    Args:
        vectors: float32 of shape (queries, dimensions).
        tokens: Tokens that the model read of each sequence, special ones included; int64 of shape (queries,).
        truncated: Tokens of each query itself that it did not read; int64 of shape (queries,).
        cut: The same of each feedback document of each query.
        calls: How many batches went through the model.
    """

    vectors: NDArray[np.float32]
    tokens: NDArray[np.int64]
    truncated: NDArray[np.int64]
    cut: list[tuple[int, ...]]
    calls: int


class FeedbackEncoder:
    """One vector for a query and its feedback documents. It loads nothing until it first encodes.

    Args:
        model: An adapter of `rankloom train` (kind `prf`); a folder of sentence-transformers or transformers; or a
            checkpoint of ANCE with its head. See `rankloom.models.resolve_model`.
        docs: Feedback documents. Default: those that the model was trained with, where it says so.
        form: As for `FeedbackLayout`. Default: the model's; `separated` if it says nothing.
        max_tokens: As for `FeedbackLayout`. Default: the model's; 512, or as many as it has places for.
        pooling: How token vectors become one, for a model that does not say, such as APR's. Default: the model's; for
            `tct` the mean.
        normalize: Whether vectors are brought to length 1. Default: where the model compares by cosine; not for ANCE
            or `tct`.
        precision: What vectors are computed with; `auto` takes bfloat16 where the device has instructions for it.
            Default: the session's dtype.
        stage: Who encodes, for errors.
    """

    def __init__(
        self,
        model: str,
        *,
        docs: int | None = None,
        form: Form | None = None,
        max_tokens: int | None = None,
        pooling: Pooling | None = None,
        normalize: bool | None = None,
        precision: FeedbackPrecision | None = None,
        stage: str,
    ) -> None:
        self.model, self.stage = model, stage
        for word, accepted, parameter in (
            (form, Form, "form"),
            (pooling, Pooling, "pooling"),
            (precision, FeedbackPrecision, "precision"),
        ):
            if word is not None:
                choice(word, get_args(accepted), stage=stage, parameter=parameter)
        named: dict[str, Any] = {"docs": docs, "form": form, "max_tokens": max_tokens}
        self.given = {name: value for name, value in named.items() if value is not None}
        FeedbackLayout(**{"docs": 1, **self.given})  # a number that is out of range is an error now
        self.pooling, self.normalize, self.precision = pooling, normalize, precision
        self._loaded: LoadedModel | None = None
        self._backbone: LoadedModel | None = None  # of an adapter: held so that others share its weights

    def fingerprint(self) -> str:
        """A digest of the model's files and of what is named besides; opens no socket."""
        identity = model_identity(self.model, stage=self.stage)
        return digest("feedback encoder", _VERSION, identity, self.given, self.pooling, self.normalize, self.precision)

    def resolve(self, session: Session) -> ResolvedModel:
        """Find the model's files, fetching them if the session allows it.

        Raises:
            NotFoundError: The model is not to be had.
        """
        return resolve_model(self.model, offline=session.offline, stage=self.stage)

    def said(self, session: Session) -> Said | None:
        """What the model says of itself; None for one that says nothing.

        Raises:
            NotFoundError: The model is not to be had.
            DataError: The file that says it can not be read.
        """
        return said_by(self.resolve(session))

    def layout(self, session: Session) -> FeedbackLayout:
        """What the model reads.

        Raises:
            NotFoundError: The model is not to be had.
            UsageError: It was trained with another number of documents, or another layout, than is asked for; or it
                does not say with how many, and nobody else does.
        """
        said = self.said(session)
        if said is not None:
            if self.pooling is not None or self.normalize is not None:
                raise UsageError(
                    "the model says itself how its vectors are made",
                    stage=self.stage,
                    value={"pooling": self.pooling, "normalize": self.normalize},
                    fix="leave pooling and normalize out",
                )
            said.layout.differs(self.given, model=self.model, stage=self.stage)
            return said.layout
        if "docs" not in self.given:
            raise UsageError(
                "the model does not say how many feedback documents it was trained with, and reads no other number",
                stage=self.stage,
                value=self.model,
                fix="pass docs=, 3 for ANCE-PRF as published",
            )
        return FeedbackLayout(**{"max_tokens": 512, **self.given})

    def load(self, session: Session) -> LoadedModel:
        """The model in memory.

        Raises:
            NotFoundError: It is not to be had.
            UsageError: It can not read so many tokens, or is asked for what it was not trained for.
            StageError: It can not be loaded, or does not begin with a transformer.
        """
        found, layout = self.resolve(session), self.layout(session)
        precision = self._precision(session)
        name = found if found.backbone is None else found.backbone
        plain = SentenceEncoder(
            str(name.path),
            precision=precision,
            pooling=self._pooling(layout) if found.backbone is None else None,
            normalize=self.normalize,
            stage=self.stage,
        )
        self._backbone = plain.load(session)
        base = self._backbone.model
        if not plain_transformer(base):
            raise StageError("the model does not begin with a transformer", stage=self.stage, value=self.model)
        places = positions(base[0].model) or layout.max_tokens
        if layout.max_tokens > places:
            raise UsageError(
                "the model can not read that many tokens",
                stage=self.stage,
                value=layout.max_tokens,
                accepted=f"up to {places}",
                fix=f"pass max_tokens={places}",
            )

        def build(folder: str, device: str, dtype: Any) -> Any:  # noqa: ARG001  # as the backbone is
            from rankloom.prf.feedback_model import feedback_model, is_ance, with_ance_head

            if found.backbone is not None:
                return load_adapter(folder, base).to(dtype)
            ance = is_ance(found.path) and self.pooling is None
            modules = with_ance_head(base, found.path) if ance else list(base)
            cosine = base.similarity_fn_name == "cosine" and not ance and layout.form != "tct"
            return feedback_model(modules, similarity="cosine" if cosine else "dot").eval()

        kind = f"feedback encoder {digest(layout.form, self.pooling, self.normalize)}"
        self._loaded = shared_model(kind, found, session, build, stage=self.stage, dtype=precision)
        return self._loaded

    def close(self) -> None:
        """Free the model, unless another stage holds it too."""
        self._loaded = self._backbone = None

    def encode(self, queries: Sequence[str], documents: Sequence[Sequence[str]], session: Session) -> FeedbackEncoded:
        """Encode queries, each with its feedback documents; batched by length, equal ones once, in the order given.

        Args:
            queries: Their texts.
            documents: The texts of each query's documents, best first, at most as many as the model was trained with.
            session: Device, dtype, and whether the model may be fetched.

        Raises:
            NotFoundError: The model is not to be had.
            UsageError: It was trained for something else than is asked for.
            StageError: It can not be loaded, or gave a vector that is not finite.
        """
        loaded, layout = self.load(session), self.layout(session)
        tokenizer = loaded.model[0].tokenizer
        special = Special.of(tokenizer, stage=self.stage)
        tokens = Tokens(tokenizer)
        with loaded.lock:
            rendered = [
                render(tokens.of(query), [tokens.of(text) for text in texts], layout, special)
                for query, texts in zip(queries, documents, strict=True)
            ]
            vectors, calls = sequence_vectors(loaded, rendered, normalize=self._normalized(loaded))
        if not np.isfinite(vectors).all():
            raise StageError("the model gave vectors that are not finite", stage=self.stage, value=self.model)
        return FeedbackEncoded(
            vectors,
            np.array([len(one.ids) for one in rendered], dtype=np.int64),
            np.array([one.query_cut for one in rendered], dtype=np.int64),
            [one.cut for one in rendered],
            calls,
        )

    def _precision(self, session: Session) -> DType:
        """What vectors are computed with in a session."""
        chosen = chosen_precision(self.precision, session, folder=None, stage=self.stage)
        return "bfloat16" if chosen == "bfloat16" else "float32"

    def _pooling(self, layout: FeedbackLayout) -> Pooling | None:
        """How the token vectors of a whole model become one; None for as it says."""
        return "mean" if self.pooling is None and layout.form == "tct" else self.pooling

    def _normalized(self, loaded: LoadedModel) -> bool:
        """Whether vectors are brought to length 1."""
        if self.normalize is not None:
            return self.normalize
        return loaded.model.similarity_fn_name == "cosine" or has_normalization(loaded.model)


class Tokens:
    """The tokens of texts, each text tokenised once."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._known: dict[str, list[int]] = {}

    def of(self, text: str) -> list[int]:
        """Those of a text, without special ones."""
        if text not in self._known:
            ids = self.tokenizer(readable(text), add_special_tokens=False, verbose=False)["input_ids"]
            self._known[text] = ids
        return self._known[text]


def sequence_vectors(
    loaded: LoadedModel, rendered: Sequence[Rendered], *, normalize: bool
) -> tuple[NDArray[np.float32], int]:
    """A vector for each sequence, and how many batches they were; equal ones are encoded once.

    Args:
        loaded: A model of `rankloom.prf.feedback_model.feedback_model`.
        rendered: The sequences.
        normalize: Whether vectors are brought to length 1.
    """
    from rankloom.encoders.forward import Vectors
    from rankloom.prf.feedback_model import features_of

    width = int(loaded.model.get_embedding_dimension())
    forward = Vectors(loaded, "query", width=width, normalize=normalize)
    most = forward.limits(None).tokens
    vectors, calls = np.zeros((len(rendered), width), dtype=np.float32), 0
    padding = loaded.model[0].tokenizer.pad_token_id or 0
    for sequences in _batches(rendered, most):
        features = features_of([sequence for sequence, _ in sequences], padding=padding)
        read = np.array([len(sequence.ids) for sequence, _ in sequences], dtype=np.int64)
        found = forward(Batch(np.arange(len(sequences)), features, read, np.zeros_like(read)))
        for (_, places), vector in zip(sequences, found, strict=True):
            vectors[places] = vector
        calls += 1
    return vectors, calls


def _batches(rendered: Sequence[Rendered], tokens: int) -> Iterator[list[tuple[Rendered, list[int]]]]:
    """Different sequences, longest first, each with the places where it stands; so many tokens in a batch."""
    places: dict[tuple[tuple[int, ...], tuple[int, int]], list[int]] = {}
    for number, one in enumerate(rendered):
        places.setdefault((tuple(one.ids), one.pooled), []).append(number)
    distinct = sorted(places, key=lambda key: (-len(key[0]), key))
    start = 0
    while start < len(distinct):
        count = max(1, tokens // len(distinct[start][0]))
        yield [(rendered[places[key][0]], places[key]) for key in distinct[start : start + count]]
        start += count


def positions(transformer: Any) -> int | None:
    """How many tokens a transformer has places for; None if it does not say.

    RoBERTa and its kin count places from behind that of padding, so of the 514 they name they read 512.

    Args:
        transformer: A model of transformers, without a head.
    """
    places = getattr(transformer.config, "max_position_embeddings", None)
    if places is None:
        return None
    table = getattr(getattr(transformer, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    return int(places) if padding is None else int(places) - int(padding) - 1
