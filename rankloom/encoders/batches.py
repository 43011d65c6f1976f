"""Texts as a model reads them: tokenised once, and put into batches of about equal length.

Small batches suit a processor: 1,024 tokens of a small model stay in its caches, and hardly any of them is padding.
What is in a batch depends on the texts alone, not on the machine, so that the same texts give the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankloom.encoders.encoder import Role
from rankloom.encoders.reading import token_counts

Text = str | tuple[str, str]  # a text, or two that are read together
#: Tokens of a batch, padding included; more where there are thousands of arithmetic units to be kept busy.
TOKENS_ON_A_PROCESSOR, TOKENS_ON_AN_ACCELERATOR = 1024, 32768
#: Of a batch of pairs on a processor, padding included: the 100 candidates of one query are then some twenty batches,
#: which keep several threads busy to the end.
PAIR_TOKENS = 512
_TEXTS = 32  # of a batch whose tokens nobody knows beforehand
_UNLIMITED = 1 << 24  # tokenizers without a limit give a number beyond this


class Batch(NamedTuple):
    """Some texts, ready for the model.

    Args:
        places: Where they stand among all texts of the call; int64.
        features: What the model is called with.
        read: Tokens of each that are in `features`; int64.
        truncated: Tokens of each that are not; int64.
    """

    places: NDArray[np.int64]
    features: dict[str, Any]
    read: NDArray[np.int64]
    truncated: NDArray[np.int64]


class Limits(NamedTuple):
    """How large a batch may be.

    Args:
        tokens: Tokens, padding included.
        texts: Texts; None for as many as the tokens allow.
    """

    tokens: int
    texts: int | None = None

    @classmethod
    def of_pairs(cls, device: str, texts: int | None) -> Limits:
        """The tokens that suit pairs on a device of torch, where each batch has a thread; so many pairs at most."""
        return cls(PAIR_TOKENS if device == "cpu" else TOKENS_ON_AN_ACCELERATOR, texts)

    @classmethod
    def on(cls, device: str, texts: int | None) -> Limits:
        """The tokens that suit a device of torch, and so many texts at most."""
        return cls(TOKENS_ON_A_PROCESSOR if device == "cpu" else TOKENS_ON_AN_ACCELERATOR, texts)


def batches(
    model: Any, texts: Sequence[Text], *, prompt: str | None, role: Role | None = None, limits: Limits
) -> Iterator[Batch]:
    """Batches of texts, longest first.

    Args:
        model: A model of sentence-transformers.
        texts: Texts that can be tokenised, longest first; or pairs of texts, for a cross-encoder.
        prompt: What is put before each.
        role: What they are, if the model tells queries and documents apart.
        limits: How large a batch may be; a longer text has one to itself.
    """
    if not texts:
        return
    if plain_transformer(model):
        yield from _tokenised_once(model[0], texts, prompt, role, limits)
        return
    count, options = limits.texts or _TEXTS, {} if role is None else {"task": role}
    for start in range(0, len(texts), count):
        part = list(texts[start : start + count])
        features = model.preprocess(part, prompt=prompt, **options)
        counts = token_counts if "query_expansion_positions" not in features else _expanded_counts
        read, truncated = counts(model, part, features, prompt=prompt, **options)
        yield Batch(np.arange(start, start + len(part)), features, read, truncated)


def plain_transformer(model: Any) -> bool:
    """Whether a model begins with a transformer and a fast tokenizer, and reads text just as the tokenizer gives it."""
    from sentence_transformers.base.modules import Transformer

    first = model[0]
    return (
        type(first) is Transformer
        and first.modality_config.keys() == {"text"}
        and first.transformer_task in ("feature-extraction", "sequence-classification")
        and first.processor is first.tokenizer
        and bool(first.tokenizer.is_fast)
        and not first.processing_kwargs
    )


def longest(first: Any, role: Role | None) -> int | None:
    """How many tokens a transformer of `plain_transformer` reads at most, special tokens included."""
    own = first.query_length if role == "query" else first.document_length
    expansion = _expansion(first, role)
    if expansion is not None and expansion["strategy"] == "fixed":
        own = expansion["length"]
    elif expansion is not None and own:
        own = max(own, expansion["length"])
    limit = int(own or first.tokenizer.model_max_length)
    return None if limit > _UNLIMITED else limit


def _tokenised_once(
    first: Any, texts: Sequence[Text], prompt: str | None, role: Role | None, limits: Limits
) -> Iterator[Batch]:
    """Batches by tokens."""
    tokenizer = first.tokenizer
    tokens, read, truncated = _tokens(tokenizer, texts, prompt or "", longest(first, role))
    prompt_length = {} if prompt is None else _prompt_length(first, prompt)
    expansion = _expansion(first, role)
    least = 0 if expansion is None else int(expansion["length"])
    for places in similar_lengths(read, limits, least=least):
        features = {
            name: padded(tokenizer, name, [rows[place] for place in places], least=least)
            for name, rows in tokens.items()
        }
        if expansion is not None:
            features.update(_expanded(tokenizer, features, expansion))
        features["modality"] = "text"
        features.update(prompt_length)
        yield Batch(places, features, read[places], truncated[places])


def similar_lengths(lengths: NDArray[np.int64], limits: Limits, *, least: int = 0) -> Iterator[NDArray[np.int64]]:
    """Places of texts of about equal length that make one batch, longest first.

    Args:
        lengths: Tokens of each text; int64 of shape (texts,).
        limits: How large a batch may be; a longer text has one to itself.
        least: Tokens that each text is filled up to anyway.
    """
    order = np.array(sorted(range(len(lengths)), key=(-lengths).tolist().__getitem__), dtype=np.int64)
    begin = 0
    while begin < len(order):
        width = max(1, least, int(lengths[order[begin]]))
        count = max(1, limits.tokens // width)
        places = order[begin : begin + (count if limits.texts is None else max(1, min(count, limits.texts)))]
        yield places
        begin += len(places)


def _tokens(
    tokenizer: Any, texts: Sequence[Text], prompt: str, limit: int | None
) -> tuple[dict[str, list[list[int]]], NDArray[np.int64], NDArray[np.int64]]:
    """What the model reads of each text, by name; how many tokens those are, and how many it does not read.

    Of a pair, the longer text is cut first, which is the rule of sentence-transformers.
    """
    pairs = [(text, "") if isinstance(text, str) else text for text in texts]
    columns = [[f"{prompt}{text}" for text, _ in pairs], [other for _, other in pairs]]
    columns = columns[:1] if isinstance(texts[0], str) else columns
    tokens = dict(tokenizer(*columns, verbose=False))
    lengths = np.array([len(ids) for ids in tokens["input_ids"]], dtype=np.int64)
    if limit is None or lengths.max() <= limit:
        return tokens, lengths, np.zeros_like(lengths)
    long = np.flatnonzero(lengths > limit).tolist()
    cut = tokenizer(*([column[place] for place in long] for column in columns), truncation=True, max_length=limit)
    for name, rows in tokens.items():
        for place, row in zip(long, cut[name], strict=True):
            rows[place] = row
    read = np.array([len(ids) for ids in tokens["input_ids"]], dtype=np.int64)
    return tokens, read, lengths - read


def _prompt_length(first: Any, prompt: str) -> dict[str, Any]:
    """Tokens of the prompt, under the name by which a pooling that leaves the prompt out looks for it."""
    return {name: value for name, value in first.preprocess([""], prompt=prompt).items() if name == "prompt_length"}


def _expansion(first: Any, role: Role | None) -> Mapping[str, Any] | None:
    """How queries are filled up with tokens such as [MASK], which then have vectors too; None if they are not."""
    expansion: Mapping[str, Any] | None = first.query_expansion if role == "query" else None
    return expansion


def _expanded(tokenizer: Any, features: Mapping[str, Any], expansion: Mapping[str, Any]) -> dict[str, Any]:
    """Padded queries whose padding, up to a length, is tokens that have vectors; as `Transformer.preprocess` does it.

    Khattab and Zaharia: ColBERT, SIGIR 2020, section 3.2 (query augmentation).
    """
    import torch

    ids, mask = features["input_ids"], features["attention_mask"]
    token = expansion["token"] or tokenizer.mask_token or tokenizer.eos_token
    positions = (mask == 0) & (torch.arange(ids.shape[1]) < expansion["length"])
    return {
        "input_ids": ids if token is None else ids.masked_fill(positions, tokenizer.convert_tokens_to_ids(token)),
        "attention_mask": mask.masked_fill(positions, 1) if expansion["attend"] else mask,
        "query_expansion_positions": positions,
    }


def _expanded_counts(model: Any, texts: list[Text], features: Mapping[str, Any], **options: Any) -> tuple[Any, Any]:
    """As `token_counts`, of texts that were filled up: what they were filled up with is no token of theirs."""
    read = _own_tokens(features)
    uncut = {"text": {"truncation": False, "verbose": False}}  # one by one: they are not brought to one length then
    whole = [_own_tokens(model.preprocess([text], processing_kwargs=uncut, **options))[0] for text in texts]
    return read, np.array(whole, dtype=np.int64) - read


def _own_tokens(features: Mapping[str, Any]) -> NDArray[np.int64]:
    """Tokens of each text that a model attends to, without those that it was filled up with."""
    mask: NDArray[np.int64] = (
        (features["attention_mask"].bool() & ~features["query_expansion_positions"]).sum(1).numpy()
    )
    return mask.astype(np.int64)


def padded(tokenizer: Any, name: str, rows: list[list[int]], *, least: int, side: str | None = None) -> Any:
    """Rows of tokens as one int64 tensor, filled up.

    Args:
        tokenizer: Tells what rows are filled up with.
        name: What they are: `input_ids`, `token_type_ids`, or anything else, which is filled up with 0.
        rows: The rows.
        least: Columns of the tensor at least.
        side: `right` or `left`; by default the side that the tokenizer pads.
    """
    import torch

    fill = {"input_ids": tokenizer.pad_token_id or 0, "token_type_ids": tokenizer.pad_token_type_id}.get(name, 0)
    width = max(least, *(len(row) for row in rows))
    filled = [
        row + [fill] * (width - len(row))
        if (side or tokenizer.padding_side) == "right"
        else [fill] * (width - len(row)) + row
        for row in rows
    ]
    return torch.tensor(filled, dtype=torch.int64)
