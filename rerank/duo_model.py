"""Models that read a query and two documents and tell how likely the first document is the better one.

duoBERT: Nogueira et al.: Multi-Stage Document Ranking with BERT, 2019 (arXiv:1910.14424). duoT5: Pradeep et al.: The
Expando-Mono-Duo Design Pattern for Text Ranking with Pretrained Sequence-to-Sequence Models, 2021 (arXiv:2101.05667).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from rankloom.encoders.batches import Batch, Limits
from rankloom.errors import DataError, UsageError
from rankloom.models import LoadedModel, ResolvedModel, shared_model
from rankloom.rerank.duo_input import Frame, Reading, token_ids
from rankloom.rerank.t5_model import answer_logits, load_t5, word_token
from rankloom.session import DType, Session

#: The least that may be read: the frame of duoT5 alone has some twenty tokens.
LEAST_TOKENS = 32
_T5_TOKENS = 512
_PROMPT = ("Query:", "Document0:", "Document1:", "Relevant:")
_READINGS = 32  # of a batch at most, as for cross-encoders
_ACCEPTED = "an adapter of a recipe of kind duo, or a checkpoint of T5 trained as duoT5"


class Told(NamedTuple):
    """What a model says of some readings.

    Args:
        places: Where they stand among those that were given; int64.
        logits: Of the first document being the better one; float32 of the same shape.
    """

    places: NDArray[np.int64]
    logits: NDArray[np.float32]


class DuoModel(ABC):
    """A model that compares two documents.

    Attributes:
        tokenizer: Its tokenizer.
        frame: What it reads beside the texts.
    """

    tokenizer: Any
    frame: Frame

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text, however many there are."""
        return token_ids(self.tokenizer, texts)

    @abstractmethod
    def told(self, readings: Sequence[Reading]) -> Iterator[Told]:
        """What it says of some readings, batch by batch; those of about equal length together."""


class DuoEncoder(DuoModel):
    """A cross-encoder of sentence-transformers that was trained to read `[CLS] query [SEP] first [SEP] second [SEP]`.

    Args:
        loaded: The `CrossEncoder`.
        max_tokens: Most tokens of a reading; None for as many as it was trained with.
    """

    def __init__(self, loaded: LoadedModel, *, max_tokens: int | None = None) -> None:
        from rankloom.encoders.forward import PairScores

        self._lock = loaded.lock
        self.tokenizer = loaded.model.tokenizer
        self.frame = encoder_frame(self.tokenizer, max_tokens or loaded.model.max_seq_length)
        self._forward = PairScores(loaded)
        self._limits = self._forward.limits(_READINGS)

    def told(self, readings: Sequence[Reading]) -> Iterator[Told]:
        """See `DuoModel.told`."""
        prepared = [
            _batch(self.tokenizer, self.frame, readings, places)
            for places in by_length([self.frame.length(one) for one in readings], self._limits)
        ]
        with self._lock:
            for batch, scores in self._forward.scored(prepared):
                yield Told(batch.places, scores)


class DuoT5(DuoModel):
    """A T5 that reads `Query: ... Document0: ... Document1: ... Relevant:` and answers true if the former is better.

    Args:
        loaded: A `T5` of `rankloom.rerank.t5_model`.
        max_tokens: Most tokens of a reading; None for 512.

    Raises:
        DataError: The model has no tokens for true and false.
    """

    def __init__(self, loaded: LoadedModel, *, max_tokens: int | None = None) -> None:
        self._loaded = loaded
        self.tokenizer = loaded.model.tokenizer
        fix = f"take {_ACCEPTED}"
        self._yes, self._no = (word_token(self.tokenizer, word, stage="duo", fix=fix) for word in ("▁true", "▁false"))
        query, first, second, last = (tuple(ids) for ids in token_ids(self.tokenizer, _PROMPT))
        end = () if self.tokenizer.eos_token_id is None else (self.tokenizer.eos_token_id,)
        self.frame = Frame(query, first, second, (*last, *end), max_tokens or _T5_TOKENS)
        self._limits = Limits.on(loaded.device, _READINGS)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """See `DuoModel.tokens`; white space as SentencePiece reads it."""
        return token_ids(self.tokenizer, [" ".join(text.split()) for text in texts])

    def told(self, readings: Sequence[Reading]) -> Iterator[Told]:
        """See `DuoModel.told`."""
        ids = [self.frame.ids(one) for one in readings]
        for places in by_length([len(one) for one in ids], self._limits):
            with self._loaded.lock:
                logits = answer_logits(self._loaded.model, [ids[place] for place in places], yes=self._yes, no=self._no)
            yield Told(np.array(places, dtype=np.int64), logits)


def duo_model(
    found: ResolvedModel, session: Session, *, precision: str, max_tokens: int | None, stage: str
) -> DuoModel:
    """A loaded model, whose weights are shared with whoever asks for the same.

    Args:
        found: Where it is: an adapter, or a checkpoint of T5.
        session: Tells the device; its cache keeps models exported to ONNX.
        precision: What it computes with; see `rankloom.encoders.precision`.
        max_tokens: Most tokens of a reading; None for those of the model.
        stage: Who asks, for errors.

    Raises:
        DataError: It does not compare two documents.
        UsageError: It can not compute so, or was not trained to read so much.
        StageError: It can not be loaded or exported.
    """
    from rankloom.rerank.cross_encoder_model import cross_encoder_model

    if found.backbone is None:
        return DuoT5(_t5(found, session, precision=precision, stage=stage), max_tokens=max_tokens)
    loaded = cross_encoder_model(found, session, precision=precision, stage=stage, documents=2)
    most = loaded.model.max_seq_length
    if max_tokens is not None and max_tokens > most:
        raise UsageError(
            "the adapter was not trained to read so many tokens",
            stage=stage,
            value=max_tokens,
            accepted=f"at most {most}",
        )
    return DuoEncoder(loaded, max_tokens=max_tokens)


def _t5(found: ResolvedModel, session: Session, *, precision: str, stage: str) -> LoadedModel:
    """A loaded T5."""
    if precision not in get_args(DType):
        raise UsageError("T5 runs on torch alone", stage=stage, value=precision, accepted=", ".join(get_args(DType)))
    load = partial(
        load_t5, stage=stage, accepted=_ACCEPTED, fix="for models that score one document, take CrossEncoder"
    )
    dtype: DType = "bfloat16" if precision == "bfloat16" else "float32"
    return shared_model("duo t5", found, session, load, stage=stage, dtype=dtype)


def encoder_frame(tokenizer: Any, limit: int) -> Frame:
    """The tokens that BERT and its kin read between texts.

    Args:
        tokenizer: Has tokens for the beginning and for what parts texts.
        limit: Most tokens of a reading.

    Raises:
        DataError: It has none.
    """
    begin, part = tokenizer.cls_token_id, tokenizer.sep_token_id
    if begin is None or part is None:
        raise DataError(
            "the model's tokenizer has no tokens to begin with and to part texts by",
            stage="duo",
            value=type(tokenizer).__name__,
            accepted="one with cls_token and sep_token, as BERT's",
        )
    return Frame((begin,), (part,), (part,), (part,), limit)


def features(tokenizer: Any, frame: Frame, readings: Sequence[Reading]) -> dict[str, Any]:
    """What a cross-encoder is called with for some readings: int64 tensors; documents are the second segment."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    rows = [torch.tensor(frame.ids(one)) for one in readings]
    ids = pad_sequence(rows, batch_first=True, padding_value=tokenizer.pad_token_id or 0)
    places = torch.arange(ids.shape[1])
    ends = torch.tensor([[frame.length(one)] for one in readings])
    starts = torch.tensor([[len(frame.before_query) + len(one.query) + len(frame.before_first)] for one in readings])
    read = places < ends
    made = {"input_ids": ids, "attention_mask": read.long(), "modality": "text"}
    if "token_type_ids" in tokenizer.model_input_names:
        made["token_type_ids"] = (read & (places >= starts)).long()
    return made


def by_length(lengths: Sequence[int], limits: Limits) -> Iterator[list[int]]:
    """Places in batches, longest first, so that hardly any of a batch is padding.

    Args:
        lengths: Tokens of each.
        limits: How large a batch may be; a longer one has a batch to itself.
    """
    order = sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))
    begin = 0
    while begin < len(order):
        count = max(1, limits.tokens // lengths[order[begin]])
        count = count if limits.texts is None else min(count, limits.texts)
        yield order[begin : begin + count]
        begin += count


def _batch(tokenizer: Any, frame: Frame, readings: Sequence[Reading], places: list[int]) -> Batch:
    """A batch of readings."""
    some = [readings[place] for place in places]
    read = np.array([frame.length(one) for one in some], dtype=np.int64)
    return Batch(np.array(places, dtype=np.int64), features(tokenizer, frame, some), read, np.zeros_like(read))
