"""How a query and its feedback documents become the one sequence of tokens that a learned query encoder reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple, get_args

from rankloom.checks import choice, whole
from rankloom.errors import UsageError

Form = Literal["separated", "tct"]
Pooled = Literal["all", "query"]
_MARKER = "[Q]"  # what stands before queries of TCT-ColBERT; no token of its own


@dataclass(frozen=True, slots=True)
class FeedbackLayout:
    """What a learned query encoder reads; stored with the encoder, which knows no other.

    Args:
        docs: Feedback documents that it was trained with.
        max_tokens: Length of the sequence; what is beyond is cut, and the last token is the separator again.
        document_tokens: Tokens that are read of each document, so that the first does not leave the others without
            room; None reads as many as the sequence holds, as published.
        form: `separated` is `[CLS] q [SEP] d1 [SEP] d2 [SEP]` with the tokenizer's own separators, so
            `<s> q </s> d1 </s> d2 </s>` for RoBERTa (ANCE-PRF). `tct` is `[CLS] [Q] q [SEP] d1 [SEP] d2`, filled up to
            `max_tokens` with [MASK], which the model reads as it reads any token (TCT-ColBERT).
        pooled: Whose token vectors a pooling takes: of `all` tokens, or of the `query` and its special tokens, which
            have read the documents by attention. For `tct` all but [CLS] and the marker, whatever is said here.

    Raises:
        UsageError: A number is no positive whole number, or a word is unknown.
    """

    docs: int
    max_tokens: int = 512
    document_tokens: int | None = None
    form: Form = "separated"
    pooled: Pooled = "all"

    def __post_init__(self) -> None:
        """Refuse what can not be laid out."""
        stage = "feedback_layout"
        whole(self.docs, least=1, stage=stage, parameter="docs")
        whole(self.max_tokens, least=8, stage=stage, parameter="max_tokens")
        if self.document_tokens is not None:
            whole(self.document_tokens, least=1, stage=stage, parameter="document_tokens")
        choice(self.form, get_args(Form), stage=stage, parameter="form")
        choice(self.pooled, get_args(Pooled), stage=stage, parameter="pooled")

    @classmethod
    def of(cls, values: dict[str, Any]) -> FeedbackLayout:
        """A layout of JSON values.

        Raises:
            TypeError: There is one too many, or one is missing.
        """
        return cls(**values)

    def differs(self, given: dict[str, Any], *, model: str, stage: str) -> None:
        """Refuse settings that are not those of the model.

        Args:
            given: What a user has named, by the names of the fields.
            model: The model's name.
            stage: Who asks, for the error.

        Raises:
            UsageError: One differs; names both values.
        """
        own = {one.name: getattr(self, one.name) for one in fields(self)}
        for name, value in given.items():
            if value != own[name]:
                raise UsageError(
                    f"{model} was trained with {name}={own[name]}, and {name}={value} is asked for",
                    stage=stage,
                    value=value,
                    accepted=own[name],
                    fix=f"leave {name} out, or take a model that was trained so",
                )


class Special(NamedTuple):
    """The special tokens of a tokenizer.

    Args:
        begin: [CLS] or `<s>`.
        end: [SEP] or `</s>`.
        mask: [MASK].
        marker: Those of `[Q]`.
    """

    begin: int
    end: int
    mask: int
    marker: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: Any, *, stage: str) -> Special:
        """Those of a tokenizer.

        Raises:
            UsageError: It has no token to begin with or no separator.
        """
        if tokenizer.cls_token_id is None or tokenizer.sep_token_id is None:
            raise UsageError(
                "the model's tokenizer has no separator",
                stage=stage,
                value=type(tokenizer).__name__,
                accepted="a model like BERT or RoBERTa",
            )
        marker = tokenizer(_MARKER, add_special_tokens=False)["input_ids"]
        mask = tokenizer.sep_token_id if tokenizer.mask_token_id is None else tokenizer.mask_token_id
        return cls(tokenizer.cls_token_id, tokenizer.sep_token_id, mask, tuple(marker))


class Rendered(NamedTuple):
    """One sequence.

    Args:
        ids: Its tokens.
        pooled: The first of those that a pooling takes, and the first behind them.
        query_cut: Tokens of the query that have no room.
        cut: Tokens of each document that are not read.
    """

    ids: list[int]
    pooled: tuple[int, int]
    query_cut: int
    cut: tuple[int, ...]


def render(
    query: Sequence[int], documents: Sequence[Sequence[int]], layout: FeedbackLayout, special: Special
) -> Rendered:
    """A query and its feedback documents as one sequence.

    Args:
        query: Its tokens, without special ones.
        documents: Those of each document, best first.
        layout: How they are laid out.
        special: The tokenizer's special tokens.

    Example:
        >>> layout, special = FeedbackLayout(docs=2, max_tokens=8), Special(101, 102, 103, ())
        >>> render([1, 2], [[3, 4, 5], [6, 7]], layout, special)
        Rendered(ids=[101, 1, 2, 102, 3, 4, 5, 102], pooled=(0, 8), query_cut=0, cut=(0, 2))
    """
    filled = layout.form == "tct"
    head = [special.begin, *(special.marker if filled else ()), *query]
    ids, starts = list(head), []
    pieces = [list(one[: layout.document_tokens]) for one in documents]
    for piece in pieces:
        ids.append(special.end)
        starts.append(len(ids))
        ids.extend(piece)
    if not filled:
        ids.append(special.end)
    most = layout.max_tokens if filled else layout.max_tokens - 1  # of the sequence without its last separator
    own = ids if filled else ids[:-1]
    read = [min(len(piece), max(0, most - start)) for piece, start in zip(pieces, starts, strict=True)]
    cut = tuple(len(one) - held for one, held in zip(documents, read, strict=True))
    query_cut = max(0, len(head) - most)
    if filled:
        ids = own[:most] + [special.mask] * (most - len(own))
        return Rendered(ids, (len(head) - len(query), most), query_cut, cut)
    ids = [*own[:most], special.end]
    last = min(len(head) + 1, len(ids)) if layout.pooled == "query" else len(ids)
    return Rendered(ids, (0, last), query_cut, cut)
