"""Layers of a BERT-like encoder over the tokens of a batch without its padding, for processors.

Whatever a layer does but attention, it does to each token alone: so the tokens of all texts go through it in one row,
and only attention looks at one text after another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class PackedLayers(nn.Module):
    """Layers that no padding goes through.

    Args:
        layers: Layers of BERT in transformers, whose parts it uses.
    """

    def __init__(self, layers: Sequence[Any]) -> None:
        super().__init__()
        self.layers: Any = nn.ModuleList(layers)

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None, *_: Any, **__: Any) -> Tensor:
        """Called as one layer is, in evaluation mode.

        Args:
            hidden_states: Of shape (texts, tokens, width).
            attention_mask: None if every token is read, or of shape (texts, 1, tokens, tokens): what is added to
                attention's logits, or whether a token is read.

        Returns:
            Of the shape of `hidden_states`; zeros where nothing is read.
        """
        if attention_mask is None:
            read = hidden_states.new_ones(hidden_states.shape[:2], dtype=torch.bool)
        else:
            mask = attention_mask[:, 0, 0]
            read = mask if mask.dtype == torch.bool else mask == 0
        lengths: list[int] = read.sum(1).tolist()
        tokens = hidden_states[read]
        for layer in self.layers:
            attention = layer.attention
            tokens = layer.feed_forward_chunk(attention.output(_attended(attention.self, tokens, lengths), tokens))
        output = torch.zeros_like(hidden_states)
        output[read] = tokens
        return output


def _attended(attention: Any, tokens: Tensor, lengths: list[int]) -> Tensor:
    """What self-attention gives for each token, from those of its text."""
    heads = (attention.num_attention_heads, attention.attention_head_size)
    parts = [part(tokens).unflatten(-1, heads) for part in (attention.query, attention.key, attention.value)]
    texts = zip(*(part.transpose(0, 1).split(lengths, dim=1) for part in parts), strict=True)
    attended = [nn.functional.scaled_dot_product_attention(*(one[None] for one in text))[0] for text in texts]
    return torch.cat(attended, dim=1).transpose(0, 1).flatten(1)
