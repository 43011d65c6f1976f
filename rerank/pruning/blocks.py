"""Blocks: a question and as many whole sentences as a model reads at once; the next block goes on with the next ones.

The question stands in every block. A sentence that does not fit into a block of its own is cut, and what is cut is
counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Block(NamedTuple):
    """Sentences that follow one another.

    Args:
        first: The place of the first.
        lengths: Tokens that are read of each.
    """

    first: int
    lengths: tuple[int, ...]


class Blocks(NamedTuple):
    """A text in blocks.

    Args:
        question: Tokens that are read of the question.
        blocks: One or more; a text without sentences has one without sentences.
        truncated: Tokens that are not read, of the question and of sentences.
    """

    question: int
    blocks: tuple[Block, ...]
    truncated: int


def in_blocks(question: int, sentences: Sequence[int], room: int) -> Blocks:
    """Blocks of a text.

    Args:
        question: Tokens of the question. If it does not leave half of the room, or enough for all sentences, it is cut.
        sentences: Tokens of each sentence.
        room: Tokens that a block holds beside special ones; at least 2.

    Example:
        >>> in_blocks(2, [3, 3, 20], room=10).blocks
        (Block(first=0, lengths=(3, 3)), Block(first=2, lengths=(8,)))
    """
    asked = min(question, max(room // 2, room - sum(sentences)))
    left = room - asked
    blocks: list[Block] = []
    first, lengths = 0, list[int]()
    for place, length in enumerate(sentences):
        read = min(length, left)
        if lengths and sum(lengths) + read > left:
            blocks.append(Block(first, tuple(lengths)))
            first, lengths = place, []
        lengths.append(read)
    blocks.append(Block(first, tuple(lengths)))
    read_in_all = sum(sum(block.lengths) for block in blocks)
    return Blocks(asked, tuple(blocks), question - asked + sum(sentences) - read_in_all)
