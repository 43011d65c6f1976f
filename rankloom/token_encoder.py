"""Token encoders: texts to one vector for each token, for late interaction, or to fewer vectors by a reduction.

Khattab and Zaharia: ColBERT, SIGIR 2020 (arXiv:2004.12832). A token encoder loads nothing until it first encodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict, get_args

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import choice, whole
from rankloom.encoders import Role, SentenceEncoder, readable
from rankloom.encoders.batches import Batch, Limits, batches
from rankloom.encoders.precision import chosen_precision
from rankloom.encoders.reading import own_prompt
from rankloom.encoders.sentence_model import has_normalization
from rankloom.errors import DataError, NotFoundError, StageError, UsageError
from rankloom.fingerprint import digest
from rankloom.models import LoadedModel, ResolvedModel, model_identity, resolve_model
from rankloom.reduction import reductions
from rankloom.session import DType, Session
from rankloom.token_model import own_layout, own_reduction, token_model
from rankloom.token_vectors import TokenVectors

if TYPE_CHECKING:
    from rankloom.token_forward import TokenForward

TokenPrecision = Literal["float32", "bfloat16", "auto"]
#: Comes with the extra `mini`, as does `mini/crisp`, which has a seventh of its vectors.
DEFAULT_TOKEN_MODEL = "mini/colbert"  # noqa: S105  # no secret
_VERSION = 3  # raised when the same model gives other vectors than before
_PARTS: Mapping[Role, tuple[str, ...]] = {  # of the layout
    "query": ("query_tokens", "expand_queries", "query_prefix"),
    "document": ("document_tokens", "skip_punctuation", "document_prefix"),
}
_NONE = np.zeros(0, dtype=np.float32)
_TOGETHER = 4096  # texts that are tokenised at once, to bound the memory of their tokens


class TokenEncoderOptions(TypedDict, total=False):
    """What stages take for the encoder besides a model, and `TokenEncoder` explains: equal ones make equal vectors."""

    reduction: str | None
    untrained: bool
    query_tokens: int | None
    document_tokens: int | None
    expand_queries: bool | None
    skip_punctuation: bool | None
    query_prefix: str | None
    document_prefix: str | None
    precision: TokenPrecision | None


class TokensEncoded(NamedTuple):
    """What a token encoder gives back for some texts, in their order.

    Args:
        vectors: Of the tokens that count, or what a reduction has made of them. A text may have none.
        tokens: Tokens that the model read of each text, prefix and special tokens included; int64 of shape (texts,).
        truncated: Tokens of each text that it did not read; int64 of shape (texts,).
        calls: How many batches went through the model.
    """

    vectors: TokenVectors
    tokens: NDArray[np.int64]
    truncated: NDArray[np.int64]
    calls: int


def without_blank(encoded: TokensEncoded, texts: Sequence[str]) -> TokensEncoded:
    """Documents' vectors, but none of a text without contents: those of special tokens say nothing, and would score.

    Args:
        encoded: What the encoder gave.
        texts: What it was given, in the same order.
    """
    vectors, said = encoded.vectors, np.array([bool(text.strip()) for text in texts], dtype=np.bool_)
    offsets = np.concatenate([[0], np.cumsum(np.where(said, vectors.lengths, 0))]).astype(np.int64)
    return encoded._replace(vectors=TokenVectors(vectors.vectors[np.repeat(said, vectors.lengths)], offsets))


class TokenEncoder:
    """One vector for each token of a text, by any multi-vector encoder or any transformer.

    What is not given is the model's own. Vectors have length 1 in all models of this kind but a few, so that MaxSim is
    a sum of cosines. A text of which no token counts has no vectors: MaxSim with it is 0.

    Args:
        model: A name or folder; see `rankloom.models.resolve_model`. A multi-vector encoder of sentence-transformers
            or PyLate, a ColBERT of its authors, an adapter of `rankloom train` such as `mini/NAME`; with `untrained`
            any transformer or sentence encoder.
        reduction: What makes fewer vectors of a text's, a word of `rankloom.reduction.reductions` such as `C8x32`;
            `none` for all. Default: what the model was trained with.
        untrained: Take a model that was not trained for it: the vectors are the states of its tokens.
        query_tokens: How many tokens are read of a query, prefix and special tokens included; and how many it is filled
            up to, if it is. Default: the model's, as for the next five; all that it can read where it is `untrained`.
        document_tokens: How many are read of a document.
        expand_queries: Whether queries are filled up with [MASK], whose vectors count too (query augmentation).
            An `untrained` model's are not, unless asked for; then to 32 tokens, as in ColBERT.
        skip_punctuation: Whether documents have no vectors for punctuation. An `untrained` model's have none.
        query_prefix: Put before each query; an empty one for none.
        document_prefix: Put before each document; an empty one for none.
        precision: What vectors are computed with; they are kept in float32. `auto` takes bfloat16 where the device has
            instructions for it. Default: the session's dtype.
        batch_size: Most texts in one batch. Results depend on it only by float noise. Default: as many as go into
            a batch of 1,024 tokens, 32,768 on an accelerator.
        stage: Who encodes, for errors.

    Raises:
        UsageError: A number is not positive and whole, or a word is unknown.

    Example:
        >>> encoder = TokenEncoder("all-MiniLM-L6-v2", untrained=True, reduction="C4x8")
        >>> encoder.encode(["why is the sky blue?"], role="query", session=Session(offline=True)).vectors.lengths
        array([4])
    """

    def __init__(
        self,
        model: str,
        *,
        reduction: str | None = None,
        untrained: bool = False,
        query_tokens: int | None = None,
        document_tokens: int | None = None,
        expand_queries: bool | None = None,
        skip_punctuation: bool | None = None,
        query_prefix: str | None = None,
        document_prefix: str | None = None,
        precision: TokenPrecision | None = None,
        batch_size: int | None = None,
        stage: str = "token_encoder",
    ) -> None:
        self.model, self.untrained, self.stage = model, untrained, stage
        if precision is not None:
            choice(precision, get_args(TokenPrecision), stage=stage, parameter="precision")
        for name, number in (
            ("query_tokens", query_tokens),
            ("document_tokens", document_tokens),
            ("batch_size", batch_size),
        ):
            if number is not None:
                whole(number, least=1, stage=stage, parameter=name)
        self.reduction = None if reduction is None else reductions(reduction, stage=stage).name
        self.precision, self.batch_size = precision, batch_size
        given = {
            "query_tokens": query_tokens,
            "document_tokens": document_tokens,
            "expand_queries": expand_queries,
            "skip_punctuation": skip_punctuation,
            "query_prefix": query_prefix,
            "document_prefix": document_prefix,
        }
        self.layout = {name: value for name, value in given.items() if value is not None}
        self._loaded: LoadedModel | None = None
        self._backbone: LoadedModel | None = None  # of an adapter: held so that others share its weights

    def __repr__(self) -> str:
        """The call that makes an encoder of the same model."""
        return f"TokenEncoder({self.model!r})"

    def __getstate__(self) -> dict[str, Any]:
        """Without the loaded model: whoever takes the encoder out of a pickle finds it again by its name."""
        return {**self.__dict__, "_loaded": None, "_backbone": None}

    # --- what it is --------------------------------------------------------------------------------------------

    def fingerprint(self, session: Session | None = None, *, role: Role | None = None) -> str:
        """A digest of the model's files and of what is done to its vectors; not of the precision.

        Naming what the model does anyway changes nothing; see `in_effect`.

        Args:
            session: Tells whether a model that is not on this machine may be fetched; without one no socket is opened,
                and the model's name stands for a model that is not here.
            role: Of the vectors of queries alone, or of documents; None for both. Two encoders with equal documents
                can search one index.

        Raises:
            NotFoundError: The model is not to be had in the session.
        """
        identity = (
            model_identity(self.model, stage=self.stage) if session is None else self.resolve(session).fingerprint
        )
        roles: tuple[Role, ...] = ("query", "document") if role is None else (role,)
        return digest("token encoder", _VERSION, identity, self.untrained, *(self.in_effect(one) for one in roles))

    def in_effect(self, role: Role) -> dict[str, Any]:
        """What is done to queries or to documents, named or not, as far as it can be told without loading the model.

        That is the reduction of every model that is on this machine, and the layout of adapters and multi-vector
        encoders as far as their files say it; of another model it counts as far as it was named.

        Args:
            role: Which of the two.

        Returns:
            JSON values by name; the reduction as a word that does the same to queries and documents.
        """
        word, own = self.reduction, {}
        try:
            found = resolve_model(self.model, offline=True, stage=self.stage)
            word = word or own_reduction(found)
            own = own_layout(found, untrained=self.untrained, expand_queries=bool(self.layout.get("expand_queries")))
        except (NotFoundError, DataError):  # not here, or no such model: which is said when it is loaded
            pass
        named = {name: value for name, value in {**own, **self.layout}.items() if name in _PARTS[role]}
        return {"reduction": reductions(word or "none", stage=self.stage).of(role).name, **named}

    def settings(self) -> dict[str, Any]:
        """The parameters that were named, but for the model and the batch size, which is no part of the results."""
        named = {"reduction": self.reduction, "untrained": self.untrained or None, "precision": self.precision}
        return {**{name: value for name, value in named.items() if value is not None}, **self.layout}

    def precision_in(self, session: Session) -> DType:
        """What vectors are computed with in a session.

        Raises:
            UsageError: The session's device is not there.
        """
        chosen = chosen_precision(self.precision, session, folder=None, stage=self.stage)
        return "bfloat16" if chosen == "bfloat16" else "float32"

    # --- the model ---------------------------------------------------------------------------------------------

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
            DataError: It is not a multi-vector encoder, and not taken as `untrained`.
            UsageError: It can not read so many tokens, or is no `untrained` model.
            StageError: It can not be loaded.
        """
        return self._load(self.resolve(session), session)

    def close(self) -> None:
        """Free the model, unless another stage holds it too."""
        self._loaded = self._backbone = None

    def _load(self, found: ResolvedModel, session: Session) -> LoadedModel:
        """The model in memory."""
        precision = self.precision_in(session)
        if found.backbone is not None:
            backbone = SentenceEncoder(str(found.backbone.path), precision=precision, stage=self.stage)
            self._backbone = backbone.load(session)
        self._loaded = token_model(
            found,
            session,
            precision=precision,
            layout=self.layout,
            untrained=self.untrained,
            backbone=self._backbone,
            stage=self.stage,
        )
        return self._loaded

    # --- encoding ----------------------------------------------------------------------------------------------

    def encode(self, texts: Sequence[str], *, role: Role, session: Session) -> TokensEncoded:
        """Encode texts; batched by length, equal ones once, returned in the order given.

        Args:
            texts: Any strings. An empty one has the vectors of the model's special tokens, if there are any.
            role: What they are.
            session: Device, dtype, and whether a model may be fetched.

        Raises:
            NotFoundError: The model is not to be had.
            DataError: It is not a multi-vector encoder, and not taken as `untrained`.
            UsageError: It can not read so many tokens, or is no `untrained` model.
            StageError: It can not be loaded, or gave a vector that is not finite.
        """
        found = self.resolve(session)
        loaded = self._load(found, session)
        forward = self._forward(found, loaded, role)
        texts = [readable(text) for text in texts]
        ordered = sorted(set(texts), key=lambda text: (-len(text), text))
        place = {text: number for number, text in enumerate(ordered)}
        vectors: list[NDArray[np.float32]] = [_NONE] * len(ordered)
        tokens, truncated = np.zeros(len(ordered), dtype=np.int64), np.zeros(len(ordered), dtype=np.int64)
        calls = 0
        for start in range(0, len(ordered), _TOGETHER):
            for batch in self._batches(loaded, ordered[start : start + _TOGETHER], role):
                places = start + batch.places
                for number, own in zip(places.tolist(), self._computed(loaded, forward, batch), strict=True):
                    vectors[number] = own
                tokens[places], truncated[places] = batch.read, batch.truncated
                calls += 1
        rows = np.array([place[text] for text in texts], dtype=np.int64)
        found_vectors = TokenVectors.of([vectors[row] for row in rows.tolist()], forward.dimensions)
        return TokensEncoded(found_vectors, tokens[rows], truncated[rows], calls)

    def tokens(self, texts: Sequence[str], *, session: Session) -> list[list[str]]:
        """The tokens of documents that have a vector, in the order of the vectors; the model's tokenizer alone runs.

        Args:
            texts: Documents.
            session: Where the model is to be had.

        Raises:
            NotFoundError: The model is not to be had.
            UsageError: A reduction makes vectors of several tokens.
        """
        from rankloom.reduction import Unreduced
        from rankloom.token_forward import counted_tokens

        found = self.resolve(session)
        reduction = reductions(self.reduction or own_reduction(found), stage=self.stage).of("document")
        if not isinstance(reduction, Unreduced):
            raise UsageError(
                "a vector stands for several tokens",
                stage=self.stage,
                value=reduction.name,
                accepted="reduction='none'",
            )
        loaded = self._load(found, session)
        texts = [readable(text) for text in texts]
        ordered = sorted(set(texts), key=lambda text: (-len(text), text))
        known: dict[str, list[str]] = {}
        for start in range(0, len(ordered), _TOGETHER):
            some = ordered[start : start + _TOGETHER]
            for batch in self._batches(loaded, some, "document"):
                for place, own in zip(batch.places.tolist(), counted_tokens(loaded.model, batch), strict=True):
                    known[some[place]] = own
        return [known[text] for text in texts]

    # --- inside ------------------------------------------------------------------------------------------------

    def _forward(self, found: ResolvedModel, loaded: LoadedModel, role: Role) -> TokenForward:
        """What computes the vectors of a batch."""
        from rankloom.token_forward import TokenForward

        unit = has_normalization(loaded.model)
        both = reductions(self.reduction or own_reduction(found), normalize=unit, stage=self.stage)
        return TokenForward(loaded, role, reduction=both.of(role), unit=unit)

    def _batches(self, loaded: LoadedModel, texts: list[str], role: Role) -> list[Batch]:
        """Some texts as batches, longest first."""
        limits = Limits.on(loaded.device, self.batch_size)
        with loaded.lock:
            return list(batches(loaded.model, texts, prompt=own_prompt(loaded.model, role), role=role, limits=limits))

    def _computed(self, loaded: LoadedModel, forward: TokenForward, batch: Batch) -> list[NDArray[np.float32]]:
        """The vectors of each text of a batch."""
        with loaded.lock:
            rows, lengths = forward(batch)
        if not np.isfinite(rows).all():
            raise StageError("the model gave vectors that are not finite", stage=self.stage, value=self.model)
        return np.split(rows, np.cumsum(lengths)[:-1])
