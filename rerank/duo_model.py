"""Models that read a query and two documents and tell how likely the first document is the better one.

Nogueira et al.: Multi-Stage Document Ranking with BERT, 2019 (arXiv:1910.14424), duoBERT.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankloom.encoders.batches import Batch, Limits
from rankloom.errors import DataError
from rankloom.models import LoadedModel
from rankloom.parallel import completed
from rankloom.rerank.duo_input import Frame, Reading

#: Tokens of a batch on a processor, padding included; as for cross-encoders.
_TOKENS = 1 << 14


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

    @abstractmethod
    def told(self, readings: Sequence[Reading]) -> Iterator[Told]:
        """What it says of some readings, batch by batch; those of about equal length together."""


class DuoEncoder(DuoModel):
    """A cross-encoder of sentence-transformers that was trained to read `[CLS] query [SEP] first [SEP] second [SEP]`.

    Args:
        loaded: The `CrossEncoder`.
        batch_size: Most readings of a batch; None for as many as its tokens allow.
    """

    def __init__(self, loaded: LoadedModel, *, batch_size: int | None = None) -> None:
        from rankloom.encoders.forward import PairScores

        self.tokenizer = loaded.model.tokenizer
        self.frame = encoder_frame(self.tokenizer, loaded.model.max_seq_length)
        self._forward = PairScores(loaded)
        limits = self._forward.limits(batch_size)
        by_processor = self._forward.by_torch and loaded.device == "cpu"
        self._limits = limits._replace(tokens=_TOKENS) if by_processor else limits

    def told(self, readings: Sequence[Reading]) -> Iterator[Told]:
        """See `DuoModel.told`."""
        prepared = [
            _batch(self.tokenizer, self.frame, readings, places)
            for places in by_length([self.frame.length(one) for one in readings], self._limits)
        ]
        for batch, scores in completed(self._forward, prepared, threads=self._forward.threads):
            yield Told(batch.places, scores)


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
