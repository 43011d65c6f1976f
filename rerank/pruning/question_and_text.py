"""Rows of tokens that a Provence model reads: special tokens, the question, and sentences tokenised one by one."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from typing import Any, NamedTuple

from rankloom.encoders import readable
from rankloom.encoders.batches import padded
from rankloom.errors import DataError
from rankloom.rerank.pruning.blocks import in_blocks
from rankloom.rerank.pruning.provence_layout import ProvenceLayout

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


class Row(NamedTuple):
    """One block as a model reads it.

    Args:
        tokens: Their numbers.
        types: 0 for what belongs to the question, 1 for what belongs to the text.
        begin: Where the first sentence begins.
        lengths: Tokens of each piece of a sentence in the block.
    """

    tokens: list[int]
    types: list[int]
    begin: int
    lengths: tuple[int, ...]


class PairRows(NamedTuple):
    """A question and a text.

    Args:
        rows: One for each block.
        pieces: In how many pieces each sentence stands in them.
        truncated: Tokens that are not in them.
    """

    rows: list[Row]
    pieces: list[int]
    truncated: int


class QuestionAndText:
    """Lays questions and texts out as rows of tokens.

    Args:
        model: A `ProvenceModel`, whose lock is held.
        layout: How it is read.

    Raises:
        DataError: The tokenizer does not put special tokens around and between two texts.
    """

    def __init__(self, model: Any, layout: ProvenceLayout) -> None:
        self.tokenizer, self.layout = model.tokenizer, layout
        self._typed = (getattr(model.heads.classifier.config, "type_vocab_size", 0) or 0) > 1
        self._frame = _frame(self.tokenizer)
        special = sum(len(part) for part in self._frame)
        self.room = layout.max_tokens - special
        if self.room < 2:
            raise DataError(
                "the model reads too few tokens", stage="provence", value=layout.max_tokens, accepted=f"{special + 2}"
            )

    def question(self, text: str) -> str:
        """A question as the model is asked it; plain ones have no capitals and no punctuation of ASCII."""
        text = readable(text)
        if not self.layout.plain_question:
            return text
        return " ".join(text.lower().translate(_NO_PUNCTUATION).split()) or text

    def pieces(self, text: str, offsets: Sequence[tuple[int, int]], title: str) -> list[str]:
        """What is tokenised of a text, sentence by sentence; the title, unless it is empty, is the first."""
        spans = [text[start:end] for start, end in offsets]
        if self.layout.space == "before":
            sentences = [title, *spans] if title else spans
            return [readable(one if not place else f" {one}") for place, one in enumerate(sentences)]
        ends = [*(start for start, _ in offsets[1:]), len(text)]  # where the space after each ends
        sentences = [text[start:end] for (start, _), end in zip(offsets, ends, strict=False)]
        return [readable(one) for one in ([f"{title.strip()}\n", *sentences] if title else sentences)]

    def tokens(self, texts: Sequence[str]) -> dict[str, list[int]]:
        """The tokens of some texts, by the text; none of them special."""
        unique = list(dict.fromkeys(texts))
        found = self.tokenizer(unique, add_special_tokens=False, truncation=False, verbose=False) if unique else {}
        return dict(zip(unique, found.get("input_ids", []), strict=True))

    def rows(
        self, question: Sequence[int], sentences: Sequence[Sequence[int]], *, blocks: int | None = None
    ) -> PairRows:
        """The rows of a question and the sentences of a text: of so many blocks, or of all."""
        asked, parts = in_blocks(len(question), [len(one) for one in sentences], self.room, longest=self.layout.longest)
        before, between, after = self._frame
        head = [*before, *question[:asked], *between]
        rows, pieces, left = [], [0] * len(sentences), len(question) - asked + sum(map(len, sentences))
        for block in parts[:blocks]:
            read = [token for at, start, length in block.pieces for token in sentences[at][start : start + length]]
            types = [0] * len(head) + [1] * (len(read) + len(after))
            rows.append(Row([*head, *read, *after], types, len(head), block.lengths))
            for piece in block.pieces:
                pieces[piece.sentence] += 1
            left -= len(read)
        return PairRows(rows, pieces, left)

    def features(self, rows: Sequence[Row]) -> dict[str, Any]:
        """What the model is called with, for rows of one batch; padded on the right."""
        columns = {"input_ids": [row.tokens for row in rows], "attention_mask": [[1] * len(row.tokens) for row in rows]}
        if self._typed:
            columns["token_type_ids"] = [row.types for row in rows]
        return {name: padded(self.tokenizer, name, some, least=0, side="right") for name, some in columns.items()}


def _frame(tokenizer: Any) -> tuple[list[int], list[int], list[int]]:
    """The special tokens before a question, between it and a text, and after the text."""
    encoded = tokenizer("a", "a", return_special_tokens_mask=True)
    special = "".join(map(str, encoded["special_tokens_mask"]))
    found = re.fullmatch(r"(1*)0+(1+)0+(1*)", special)
    if found is None:
        raise DataError(
            "the tokenizer puts no special tokens between two texts", stage="provence", value=type(tokenizer).__name__
        )
    before, between, after = (encoded["input_ids"][slice(*found.span(group))] for group in (1, 2, 3))
    return before, between, after
