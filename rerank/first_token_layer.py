"""The last layer of a BERT-like encoder for a head that reads the first token alone."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class FirstTokenLayer(nn.Module):
    """A layer that gives the first token only: what the other tokens would ask for, and become, nobody reads.

    Args:
        layer: A layer of BERT in transformers, whose parts it uses.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None, *_: Any, **__: Any) -> Tensor:
        """Called as the layer is, in evaluation mode.

        Args:
            hidden_states: Of shape (texts, tokens, width).
            attention_mask: None if every token is read, or of shape (texts, 1, tokens, tokens): what is added to
                attention's logits, or whether a token is read.

        Returns:
            Of shape (texts, 1, width).
        """
        attention = self.layer.attention
        own, first = attention.self, hidden_states[:, :1]
        heads = (own.num_attention_heads, own.attention_head_size)
        queries, keys, values = (
            part.unflatten(-1, heads).transpose(1, 2)
            for part in (own.query(first), own.key(hidden_states), own.value(hidden_states))
        )
        mask = None if attention_mask is None else attention_mask[:, :, :1]
        attended = nn.functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        output: Tensor = self.layer.feed_forward_chunk(attention.output(attended.transpose(1, 2).flatten(2), first))
        return output
