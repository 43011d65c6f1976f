"""Sentence encoders: texts to vectors by any model of sentence-transformers.

Reimers and Gurevych: Sentence-BERT, EMNLP 2019. An encoder loads nothing until it first encodes.
"""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from rankloom.checks import choice, whole
from rankloom.encoders.batches import (
    Batch,
    batches,
    longest,
    plain_transformer,
)
from rankloom.encoders.encoder import Encoded, Role
from rankloom.encoders.precision import Precision, chosen_precision
from rankloom.encoders.reading import own_prompt, readable
from rankloom.encoders.sentence_model import Pooling, has_normalization, sentence_model
from rankloom.encoders.windows import windows
from rankloom.errors import StageError, UsageError
from rankloom.fingerprint import digest
from rankloom.models import LoadedModel, ResolvedModel, model_identity, resolve_model
from rankloom.parallel import completed
from rankloom.session import Session

DEFAULT_MODEL = "all-MiniLM-L6-v2"
_VERSION = 2  # raised when the same model gives other vectors than before
_TOGETHER = 4096  # texts that are tokenised at once, to bound the memory of their tokens


class SentenceEncoder:
    """One vector for each text, by a model on this machine.

    What is not given is the model's own. Vectors are brought to length 1 where the model compares by cosine, so that
    an inner product is what the model calls similarity. A model with one way in for queries and another for documents
    (a `Router` of sentence-transformers) is asked by the right one; where they are two models, `query_model` names the
    one for queries.

    Args:
        model: A name or folder; see `rankloom.models.resolve_model`. Plain checkpoints of transformers will do; how
            they pool (the mean of their token vectors, unless `pooling` says otherwise) is said in the log.
        query_model: Another model for queries, of the same vector space, such as DPR's question encoder.
        precision: What vectors are computed with. `float32` and `bfloat16` run on torch; `onnx-float32` and
            `onnx-int8` on ONNX Runtime, on the processor (extra `onnx`); `auto` takes the fastest of these on this
            machine whose nDCG@10 stays within .002, which int8 is not. Default: the session's dtype.
        query_prompt: Put before each query; an empty one for none. Default: the model's.
        document_prompt: Put before each document; an empty one for none. Default: the model's.
        dimensions: Keep so many numbers of each vector, from the first, and bring it to length 1 again if it was.
            For models that were trained so: Kusupati et al.: Matryoshka Representation Learning, NeurIPS 2022.
        normalize: Whether vectors are brought to length 1. Default: where the model compares by cosine.
        pooling: How token vectors become one: `mean`, `cls`, `max`, `lasttoken`, ... Default: the model's.
        window: Tokens of a window, without prompt and special tokens, that `passages` makes of long documents.
            Default: documents are encoded once, as far as the model reads.
        stride: Tokens from the beginning of one window to that of the next. Default: those of a window, so that
            windows do not overlap.
        batch_size: Most texts in one batch. Results depend on it only by float noise. Default: as many as go into
            a batch of 1,024 tokens, 32,768 on an accelerator.
        stage: Who encodes, for errors.

    Raises:
        UsageError: A number is not positive and whole, a word is unknown, or a stride has no window or is longer.

    Example:
        >>> encoder = SentenceEncoder("all-MiniLM-L6-v2", dimensions=256)
        >>> encoder.encode(["why is the sky blue"], role="query", session=Session(offline=True)).vectors.shape
        (1, 256)
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        query_model: str | None = None,
        precision: Precision | None = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        dimensions: int | None = None,
        normalize: bool | None = None,
        pooling: Pooling | None = None,
        window: int | None = None,
        stride: int | None = None,
        batch_size: int | None = None,
        stage: str = "encoder",
    ) -> None:
        self.model, self.query_model, self.stage = model, query_model, stage
        for word, accepted, parameter in ((precision, Precision, "precision"), (pooling, Pooling, "pooling")):
            if word is not None:
                choice(word, get_args(accepted), stage=stage, parameter=parameter)
        self.precision, self.pooling, self.normalize = precision, pooling, normalize
        self.prompts: dict[Role, str | None] = {"query": query_prompt, "document": document_prompt}
        numbers = {"dimensions": dimensions, "window": window, "stride": stride, "batch_size": batch_size}
        for parameter, number in numbers.items():
            if number is not None:
                whole(number, least=1, stage=stage, parameter=parameter)
        self.dimensions, self.window, self.stride, self.batch_size = dimensions, window, stride, batch_size
        if stride is not None and (window is None or stride > window):
            accepted_stride = "at most the window's tokens, and only with a window"
            raise UsageError("windows would leave tokens out", stage=stage, value=stride, accepted=accepted_stride)
        self._found: dict[str, ResolvedModel] = {}
        self._loaded: dict[Role, LoadedModel] = {}

    def __repr__(self) -> str:
        """The call that makes an encoder of the same model."""
        return f"SentenceEncoder({self.model!r})"

    def __getstate__(self) -> dict[str, Any]:
        """Without loaded models: whoever takes the encoder out of a pickle finds them again by their names."""
        return {**self.__dict__, "_found": {}, "_loaded": {}}

    def fingerprint(self) -> str:
        """A digest of the models' files and of what is done to their vectors; of their names while they are not here.

        Equal for equal vector spaces. Precision and windows take no part: vectors stay comparable.
        """
        names = [self.model, *([self.query_model] if self.query_model else [])]
        identities = [
            self._found[name].fingerprint if name in self._found else model_identity(name, stage=self.stage)
            for name in names
        ]
        changes = [self.prompts, self.dimensions, self.normalize, self.pooling]
        return digest("sentence encoder", _VERSION, identities, changes)

    def settings(self) -> dict[str, Any]:
        """The parameters that were named, but for the model and the batch size, which is no part of the results."""
        named = {
            "query_model": self.query_model,
            "precision": self.precision,
            "query_prompt": self.prompts["query"],
            "document_prompt": self.prompts["document"],
            "dimensions": self.dimensions,
            "normalize": self.normalize,
            "pooling": self.pooling,
            "window": self.window,
            "stride": self.stride,
        }
        return {name: value for name, value in named.items() if value is not None}

    def precision_in(self, session: Session) -> str:
        """What vectors are computed with in a session; see `Encoder`.

        Raises:
            NotFoundError: `auto` depends on the model, and it is not to be had.
            UsageError: The session's device is not there.
        """
        folder = self.resolve(session).path if self.precision == "auto" else None
        return chosen_precision(self.precision, session, folder=folder, stage=self.stage)

    def resolve(self, session: Session) -> ResolvedModel:
        """Find the models' files, fetching them if the session allows it; returns the documents' model.

        Raises:
            NotFoundError: A model is not to be had.
        """
        for name in (self.query_model, self.model):
            if name is not None and name not in self._found:
                self._found[name] = resolve_model(name, offline=session.offline, stage=self.stage)
        return self._found[self.model]

    def load(self, session: Session) -> LoadedModel:
        """Load the models now rather than on first use; returns the documents' model.

        Raises:
            NotFoundError: A model is not to be had.
            StageError: It can not be loaded or exported, or compares vectors by neither cosine nor inner product.
            UsageError: It has no so many dimensions, or the two models have not the same.
        """
        documents, queries = self._model("document", session), self._model("query", session)
        widths = {self._width(documents), self._width(queries)}
        if len(widths) > 1:
            raise UsageError(
                "the models for queries and for documents give vectors of different lengths",
                stage=self.stage,
                value=f"{self.query_model} and {self.model}",
                accepted="two models of one vector space",
            )
        return documents

    def close(self) -> None:
        """Free the models, unless another stage holds them too."""
        self._loaded = {}

    def encode(self, texts: list[str], *, role: Role, session: Session) -> Encoded:
        """Encode texts.

        Texts are batched by length, so that little is padded, and returned in the order given; equal texts are encoded
        once. On one CPU the same texts give the same bits; in other company a text's vector moves by float noise, and
        in int8 not at all.

        Args:
            texts: Any strings.
            role: What the texts are; some models treat queries and documents differently.
            session: Device, dtype, and whether a model may be fetched.

        Raises:
            NotFoundError: The model is not to be had.
            StageError: The model can not be loaded, or gave a vector that is not finite.
            UsageError: The model has no so many dimensions.
        """
        loaded = self._model(role, session)
        place = {text: number for number, text in enumerate(sorted(set(texts), key=lambda text: (-len(text), text)))}
        ordered = [readable(text) for text in place]
        vectors = np.zeros((len(ordered), self._width(loaded)), dtype=np.float32)
        tokens, truncated = np.zeros(len(ordered), dtype=np.int64), np.zeros(len(ordered), dtype=np.int64)
        calls = 0
        for start in range(0, len(ordered), _TOGETHER):
            for batch, found in self._computed(loaded, ordered[start : start + _TOGETHER], role):
                places = start + batch.places
                vectors[places], tokens[places], truncated[places] = found, batch.read, batch.truncated
                calls += 1
        if not np.isfinite(vectors).all():
            raise StageError("the model gave vectors that are not finite", stage=self.stage, value=self.model)
        rows = np.array([place[text] for text in texts], dtype=np.int64)
        return Encoded(vectors[rows], tokens[rows], truncated[rows], calls)

    def passages(self, texts: list[str], session: Session) -> list[list[str]]:
        """The windows of each document, which together hold all of its tokens; `[text]` unless windows were asked for.

        A document's title stands at its beginning (`Document.contents`), and so in its first window only. Windows are
        of what is read: halves of surrogate pairs are question marks (`readable`).

        Raises:
            UsageError: A window is longer than the model reads.
            StageError: The model has no fast tokenizer, which is what tells where tokens are.
        """
        if self.window is None:
            return [[text] for text in texts]
        loaded = self._model("document", session)
        if not plain_transformer(loaded.model):
            raise StageError("windows need a transformer with a fast tokenizer", stage=self.stage, value=self.model)
        tokenizer, limit = loaded.model[0].tokenizer, longest(loaded.model[0], "document")
        prompt = self._prompt(loaded, "document") or ""
        room = None if limit is None else limit - len(tokenizer(prompt, verbose=False)["input_ids"])
        if room is not None and self.window > room:
            raise UsageError(
                "a window is longer than the model reads", stage=self.stage, value=self.window, accepted=f"up to {room}"
            )

        def fits(piece: str) -> bool:
            return limit is None or len(tokenizer(prompt + piece, verbose=False)["input_ids"]) <= limit

        texts = [readable(text) for text in texts]
        with loaded.lock:
            offsets = [
                windows(text, tokenizer, window=self.window, stride=self.stride or self.window, fits=fits)
                for text in texts
            ]
        return [[text[begin:end] for begin, end in some] for text, some in zip(texts, offsets, strict=True)]

    # --- inside ------------------------------------------------------------------------------------------------

    def _model(self, role: Role, session: Session) -> LoadedModel:
        """The model of a role, found and loaded as the session has it."""
        self.resolve(session)
        name = self.query_model if role == "query" and self.query_model else self.model
        loaded = self._loaded[role] = sentence_model(
            self._found[name],
            session,
            precision=self.precision_in(session),
            pooling=self.pooling,
            raw=self.normalize is False,
            stage=self.stage,
        )
        own = loaded.model.get_embedding_dimension()
        if self.dimensions is not None and self.dimensions > own:
            raise UsageError(
                "the model has no so many dimensions", stage=self.stage, value=self.dimensions, accepted=f"up to {own}"
            )
        return loaded

    def _width(self, loaded: LoadedModel) -> int:
        """Numbers in each vector."""
        return self.dimensions or int(loaded.model.get_embedding_dimension())

    def _prompt(self, loaded: LoadedModel, role: Role) -> str | None:
        """What is put before each text."""
        if (given := self.prompts[role]) is not None:
            return given or None
        return own_prompt(loaded.model, role)

    def _computed(self, loaded: LoadedModel, texts: list[str], role: Role) -> list[tuple[Batch, NDArray[np.float32]]]:
        """The batches of some texts, each with its vectors."""
        from rankloom.encoders.forward import Vectors

        forward = Vectors(loaded, role, width=self._width(loaded), normalize=self._normalized(loaded))
        prompt, limits = self._prompt(loaded, role), forward.limits(self.batch_size)
        with loaded.lock:
            prepared = list(batches(loaded.model, texts, prompt=prompt, role=role, limits=limits))
            return list(completed(forward, prepared, threads=forward.threads))

    def _normalized(self, loaded: LoadedModel) -> bool:
        """Whether vectors are brought to length 1 after they were cut."""
        if self.normalize is not None:
            return self.normalize
        return loaded.model.similarity_fn_name == "cosine" or has_normalization(loaded.model)
