"""Windows of a long document that a cross-encoder reads with the query, one at a time."""

from __future__ import annotations

from typing import Any

from rankloom.encoders.windows import windows


def pair_windows(
    tokenizer: Any, query: str, document: str, *, window: int, stride: int | None, limit: int | None
) -> list[str]:
    """Pieces of a document that, each with the query, the model reads whole; together they hold all of its tokens.

    Where a long query leaves no room for a whole window, windows are shorter, but never shorter than half of what the
    model reads: a query that is longer than the other half is cut by the model, which the caller tells.

    Args:
        tokenizer: A fast tokenizer.
        query: What is read before each piece, with the model's prompt.
        document: Any text; a short one is its only piece.
        window: Most tokens of a piece.
        stride: Tokens from the beginning of one piece to that of the next; None for those of a window.
        limit: Tokens that the model reads of a pair, special tokens included; None for no limit.
    """
    room = window
    if limit is not None:
        both = limit - tokenizer.num_special_tokens_to_add(pair=True)
        room = min(window, max(both - own_tokens(tokenizer, query), both // 2, 1))
    spans = windows(
        document,
        tokenizer,
        window=room,
        stride=min(stride or room, room),
        fits=lambda piece: own_tokens(tokenizer, piece) <= room,
    )
    return [document[begin:end] for begin, end in spans]


def own_tokens(tokenizer: Any, text: str) -> int:
    """How many tokens a text has, without special ones."""
    return len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
