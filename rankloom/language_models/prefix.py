"""What prompts begin with in common, read once by a causal model of transformers, and used for all. Imports torch."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

LEAST = 32  # tokens; reading fewer twice is cheaper than a pass of their own
_BY_LENGTH = ("dynamic", "longrope")  # rotations of transformers, by the longest position of a pass


class Prefixes:
    """Keys and values of what the prompts of a call begin with.

    What all of them share (instructions, examples) is read once for the whole call. Where those of a batch share more,
    as several questions about one passage do, this is read once for the batch, from there on.

    Only models whose keys and values can be handed on take part: causal ones that take positions, which mean the same
    in texts of any length, and all of whose layers look at all tokens. Encoders see the whole text at once, so
    encoder-decoder models share nothing.

    Args:
        writer: The model, a `rankloom.language_models.generation.Writer`.
        prompts: All prompts of the call, as tokens.
    """

    def __init__(self, writer: Any, prompts: Sequence[Sequence[int]]) -> None:
        self._writer = writer
        self._common = shared_length(prompts) if len(prompts) > 1 else 0
        self._head: _Read | None = None
        self._last: _Read | None = None
        takes = inspect.signature(writer.model.forward).parameters
        self._possible = not writer.reads_apart and "position_ids" in takes and steady_positions(writer.model.config)

    def of(self, prompts: Sequence[Sequence[int]]) -> tuple[int, DynamicCache | None]:
        """How many tokens of a batch need not be read again, and their keys and values, a row for each prompt.

        Args:
            prompts: Those of the batch; at least one token of each is left to be read.
        """
        length = shared_length(prompts) if len(prompts) > 1 else self._common
        length = length if length >= self._common + LEAST else self._common
        if length < LEAST or not self._possible:
            return 0, None
        tokens = list(prompts[0][:length])
        if self._last is None or self._last.tokens != tokens:
            self._last = self._read(tokens)
        return (0, None) if self._last is None else (length, self._last.repeated(len(prompts)))

    def _read(self, tokens: list[int]) -> _Read | None:
        """The keys and values of a beginning; None if the model's can not be handed on."""
        if self._common < LEAST:
            return self._passed(tokens, None)
        if self._head is None:
            self._head = self._passed(tokens[: self._common], None)
        if self._head is None or len(tokens) == self._common:
            return self._head
        return self._passed(tokens, self._head)

    def _passed(self, tokens: list[int], before: _Read | None) -> _Read | None:
        """One pass over the tokens that are not read yet."""
        model = self._writer.model
        start = 0 if before is None else len(before.tokens)
        given: dict[str, Any] = {
            "input_ids": torch.tensor([tokens[start:]], device=model.device),
            "position_ids": torch.arange(start, len(tokens), device=model.device).unsqueeze(0),
        }
        if before is not None:
            given["past_key_values"] = before.repeated(1)
        if "logits_to_keep" in inspect.signature(model.forward).parameters:
            given["logits_to_keep"] = 1
        with torch.inference_mode():
            cache = model(**given, use_cache=True).past_key_values
        if type(cache) is not DynamicCache or any(type(layer) is not DynamicLayer for layer in cache.layers):
            self._possible = False  # windows, or states that stand for all that was read
            return None
        return _Read(tokens, cache)


def steady_positions(config: Any) -> bool:
    """Whether a position means the same in texts of any length; not so where rotations follow the length (Phi-3).

    Args:
        config: Of transformers.
    """
    told = getattr(config.get_text_config(), "rope_parameters", None) or {}
    # of models whose layers differ, one for each kind of layer
    kinds = [one for one in told.values() if isinstance(one, dict)] or [told]
    return not any(one.get("rope_type") in _BY_LENGTH for one in kinds)


class _Read:
    """What has been read once.

    Args:
        tokens: The tokens.
        cache: Their keys and values, of one row.
    """

    def __init__(self, tokens: list[int], cache: Any) -> None:
        self.tokens = tokens
        self._layers: list[tuple[torch.Tensor, torch.Tensor]] = [(layer.keys, layer.values) for layer in cache.layers]

    def repeated(self, rows: int) -> DynamicCache:
        """A cache of several equal rows, to which more can be added."""
        return DynamicCache(
            [(one.expand(rows, -1, -1, -1), other.expand(rows, -1, -1, -1)) for one, other in self._layers]
        )


def shared_length(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with in common, at least one of each left out.

    Example:
        >>> shared_length([[1, 2, 3, 4], [1, 2, 3], [1, 2, 9]])
        2
    """
    first, last = min(prompts, key=list), max(prompts, key=list)  # what these two share, those between them share
    most = min(map(len, prompts)) - 1
    return next((place for place in range(most) if first[place] != last[place]), max(0, most))
