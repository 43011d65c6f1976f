"""How likely a model of transformers holds continuations of prompts, a batch at a time. Imports torch."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from rankloom.encoders import readable
from rankloom.errors import DataError
from rankloom.language_models.generation import Writer, padded
from rankloom.language_models.prefix import Prefixes
from rankloom.likelihood import Continuation, Likelihood


@dataclass(slots=True, eq=False)
class Row:
    """Continuations that one pass through the model tells all about: they differ in their last token alone.

    Args:
        prompt: Tokens of the prompt.
        start: Tokens of the continuations but the last.
        ends: Each continuation and its last token.
    """

    prompt: list[int]
    start: list[int]
    ends: list[tuple[Continuation, int]] = field(default_factory=list)

    def __len__(self) -> int:
        """Tokens that are read."""
        return len(self.prompt) + len(self.start)


def rows_of(asked: Iterable[tuple[Continuation, list[int], list[int]]]) -> list[Row]:
    """Continuations with the tokens of their prompt and their own, as rows; the longest first.

    Raises:
        DataError: A continuation has no tokens.
    """
    rows: dict[tuple[object, tuple[int, ...]], Row] = {}
    for one, prompt, tokens in asked:
        if not tokens:
            raise DataError("a continuation has no tokens", stage="local language model", value=one.text)
        row = rows.setdefault((one.prompt, tuple(tokens[:-1])), Row(prompt, tokens[:-1]))
        row.ends.append((one, tokens[-1]))
    return sorted(rows.values(), key=len, reverse=True)


def continuation_tokens(writer: Writer, text: str, *, spaced: bool) -> list[int]:
    """The tokens of a continuation; `spaced` puts a space before it, as between words of one text."""
    told = writer.tokenizer(readable(f" {text}" if spaced else text), add_special_tokens=False, verbose=False)
    return list(told["input_ids"])


def score_rows(
    writer: Writer, rows: Sequence[Row], prefixes: Prefixes | None = None
) -> Iterator[tuple[Continuation, Likelihood]]:
    """The likelihoods of a batch of rows; of several in a row, the first counts the tokens that were read.

    Args:
        writer: The model.
        rows: The batch.
        prefixes: What need not be read again of what the prompts begin with; None reads all.
    """
    with torch.inference_mode():
        logits = _encoded(writer, rows) if writer.reads_apart else _read(writer, rows, prefixes)
        table = logits.float().log_softmax(-1)
    for number, row in enumerate(rows):
        own = table[number] if writer.reads_apart else table[number, -len(row.start) - 1 :]
        places, starts = list(range(len(row.start))), row.start
        before = float(own[places, starts].double().sum())  # of all tokens at once: each look costs a GPU a stop
        lasts = own[len(row.start)][[token for _, token in row.ends]].tolist()
        for place, ((one, _), last) in enumerate(zip(row.ends, lasts, strict=True)):
            yield one, Likelihood(before + last, len(row) + 1 if place == 0 else 0)


def _read(writer: Writer, rows: Sequence[Row], prefixes: Prefixes | None) -> torch.Tensor:
    """What a causal model says of the tokens after each prompt; float of shape (rows, longest start + 1, vocabulary).

    Padding stands before what is read, so that what is asked about stands at the end of every row.
    """
    kept = max(len(row.start) for row in rows) + 1
    begun, cache = (0, None) if prefixes is None else prefixes.of([row.prompt for row in rows])
    tokens, mask = padded(writer, [[*row.prompt, *row.start] for row in rows], begun)
    given: dict[str, Any] = {"input_ids": tokens[:, begun:], "attention_mask": mask}
    takes = inspect.signature(writer.model.forward).parameters
    if "position_ids" in takes:  # others work them out from the mask
        given["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)[:, begun:]
    given = {name: value.to(writer.model.device) for name, value in given.items()}
    if cache is not None:
        given["past_key_values"] = cache
    if "logits_to_keep" in takes:  # of long prompts, logits of every token would fill the memory
        given["logits_to_keep"] = kept
    logits: torch.Tensor = writer.model(**given, use_cache=cache is not None).logits
    return logits[:, -kept:]


def _encoded(writer: Writer, rows: Sequence[Row]) -> torch.Tensor:
    """What an encoder-decoder model says; float of shape (rows, longest start + 1, vocabulary)."""
    width, height = max(len(row.prompt) for row in rows), max(len(row.start) for row in rows) + 1
    tokens, begun = torch.full((len(rows), width), writer.padding), torch.full((len(rows), height), writer.padding)
    mask = torch.zeros_like(tokens)
    begun[:, 0] = writer.model.generation_config.decoder_start_token_id
    for number, row in enumerate(rows):
        tokens[number, : len(row.prompt)], mask[number, : len(row.prompt)] = torch.tensor(row.prompt), 1
        begun[number, 1 : len(row.start) + 1] = torch.tensor(row.start, dtype=torch.long)
    device = writer.model.device
    logits: torch.Tensor = writer.model(
        input_ids=tokens.to(device), attention_mask=mask.to(device), decoder_input_ids=begun.to(device), use_cache=False
    ).logits
    return logits
