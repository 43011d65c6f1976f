"""Blocks: a question and as many whole sentences as a model reads at once; the next block goes on with the next ones.

The question stands in every block. A sentence that does not fit into a block of its own is cut, or read in pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Piece(NamedTuple):
    """Tokens of a sentence that are read one after another: mostly all of them.

    Args:
        sentence: Which sentence it is, from 0.
        start: The first of its tokens.
        length: How many are read.
    """

    sentence: int
    start: int
    length: int


class Block(NamedTuple):
    """What is read at once of a text.

    Args:
        pieces: Of sentences that follow one another.
    """

    pieces: tuple[Piece, ...]

    @property
    def first(self) -> int:
        """The place of the first sentence."""
        return self.pieces[0].sentence if self.pieces else 0

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens of each piece."""
        return tuple(piece.length for piece in self.pieces)


class Blocks(NamedTuple):
    """A text in blocks.

    Args:
        question: Tokens that are read of the question.
        blocks: One or more; a text without sentences has one without pieces.
    """

    question: int
    blocks: tuple[Block, ...]


def in_blocks(question: int, sentences: Sequence[int], room: int, *, longest: int | None = None) -> Blocks:
    """Blocks of a text.

    Args:
        question: Tokens of the question. It is cut to what the longest sentence leaves of a block, but never to less
            than half of one.
        sentences: Tokens of each sentence.
        room: Tokens that a block holds beside special ones; at least 2.
        longest: A longer sentence is read in pieces of so many tokens, or of as many as a block holds if those are
            fewer; None: it is cut where the block ends.

    Example:
        >>> [block.lengths for block in in_blocks(2, [3, 3, 20], room=10).blocks]
        [(3, 3), (8,)]
        >>> [block.lengths for block in in_blocks(2, [3, 3, 12], room=10, longest=6).blocks]
        [(3, 3), (6,), (6,)]
    """
    widest = min(max(sentences, default=0), longest or room)
    asked = min(question, room - min(widest, room // 2))
    left = room - asked
    blocks: list[Block] = []
    pieces, taken = list[Piece](), 0
    for sentence, length in enumerate(sentences):
        most = left if longest is None else min(longest, left)
        for piece in _pieces(sentence, length, most, cut=longest is None):
            if pieces and taken + piece.length > left:
                blocks.append(Block(tuple(pieces)))
                pieces, taken = [], 0
            pieces.append(piece)
            taken += piece.length
    return Blocks(asked, (*blocks, Block(tuple(pieces))))


def _pieces(sentence: int, length: int, most: int, *, cut: bool) -> list[Piece]:
    """A sentence in pieces of a number of tokens at most; if it is cut, the first alone."""
    starts = (0,) if cut else range(0, max(length, 1), max(most, 1))
    return [Piece(sentence, start, min(most, length - start)) for start in starts]
