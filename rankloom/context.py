"""Context for a language model: passages packed under a token budget, with citations that resolve to offsets."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rankloom.errors import UsageError
from rankloom.kept_text import kept_text
from rankloom.records import TITLE, Span

if TYPE_CHECKING:
    from rankloom.ranked_list import Hit, RankedList

_log = logging.getLogger("rankloom")
_WORD_OR_MARK = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Citation:
    """Where a numbered passage of a context comes from.

    Args:
        number: The `[n]` in the context, from 1.
        doc_id: The document.
        spans: Character offsets `(start, end)` into the document's text, in order.
        text: What stands there, joined by `kept_text`: the passage as it is in the context, without title and mark.
    """

    number: int
    doc_id: str
    spans: tuple[tuple[int, int], ...]
    text: str


@dataclass(frozen=True, slots=True)
class Context:
    """What a language model is given.

    Args:
        text: The passages, separated by blank lines.
        citations: One for each passage.
        tokens: Tokens of `text`, by the counter that was used.
        left_out: Ids of hits that are not in the text, best first: they did not fit, or have no kept sentence.
        shortened: Ids of hits of which some kept sentences are in the text, best first, and others did not fit.
    """

    text: str
    citations: tuple[Citation, ...]
    tokens: int
    left_out: tuple[str, ...]
    shortened: tuple[str, ...]


def estimate_tokens(text: str) -> int:
    """Words and punctuation marks: an estimate of a model's tokens that needs no tokenizer.

    >>> estimate_tokens("It's blue.")
    5
    """
    return sum(1 for _ in _WORD_OR_MARK.finditer(text))


def pack_context(
    hits: RankedList, *, max_tokens: int, cite: bool, count_tokens: Callable[[str], int] | None
) -> Context:
    """Pack hits in rank order; each gives all of its kept sentences or, if they do not fit, the most probable that do.

    Sentences stand in text order, whichever were chosen. A first sentence that was kept as a title is the first to go,
    and never stands alone. A context into which nothing fits is empty, and a warning in the log says so.

    Args:
        hits: The ranked list; pruned or not.
        max_tokens: Budget for the whole text.
        cite: Put `[n]` before each passage.
        count_tokens: Token counter; `estimate_tokens` by default.

    Raises:
        UsageError: The budget is not positive.
    """
    if max_tokens <= 0:
        raise UsageError("the token budget must be positive", stage="context", value=max_tokens)
    count = count_tokens or estimate_tokens
    text, tokens = "", 0
    citations: list[Citation] = []
    left_out: list[str] = []
    shortened: list[str] = []
    texts = {document.id: document for document in hits.documents()}
    for hit in hits:
        document = texts[hit.doc_id]
        head = "\n\n" if text else ""
        head += f"[{len(citations) + 1}] " if cite else ""
        head += f"{document.title}\n" if document.title else ""
        kept = _kept(hit, document.text)
        spans = _fitting(document.text, kept, max_tokens - tokens - count(head), count)
        while spans:  # the sentences fit one by one; what counts is the whole, with what joins them
            offsets = tuple(sorted((span.start, span.end) for span in spans))
            passage = kept_text(document.text, offsets)
            longer = text + head + passage
            if (needed := count(longer)) <= max_tokens:
                text, tokens = longer, needed
                citations.append(Citation(len(citations) + 1, hit.doc_id, offsets, passage))
                if len(spans) < len(kept):
                    shortened.append(hit.doc_id)
                break
            spans = spans[:-1]
        else:
            left_out.append(hit.doc_id)
    if left_out and not text:
        _log.warning("no sentence of any hit fits into a context of %d tokens; it is empty", max_tokens)
    return Context(text, tuple(citations), tokens, tuple(left_out), tuple(shortened))


def _kept(hit: Hit, text: str) -> list[Span]:
    """The sentences a pruner kept, the most probable first and a title last; or the whole text as one."""
    if hit.spans is None:
        return [Span(0, len(text), 1.0, kept=True)] if text.strip() else []
    kept = (span for span in hit.spans if span.kept)
    return sorted(kept, key=lambda span: (span.reason == TITLE, -span.probability, span.start))


def _fitting(text: str, spans: list[Span], room: int, count: Callable[[str], int]) -> list[Span]:
    """The spans that fit the room, taken in the order given, each whole or not at all; a title only with others."""
    fitting: list[Span] = []
    for span in spans:
        tokens = count(text[span.start : span.end])
        if tokens <= room and (fitting or span.reason != TITLE):
            room -= tokens
            fitting.append(span)
    return fitting
