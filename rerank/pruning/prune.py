"""Pruning without a corpus: one question, several contexts, and what is left of them.

What is meant never depends on how things are nested: a question is one string, contexts are a list with one entry for
each context, and an entry is a text, or the list of its sentences.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rankloom.context import estimate_tokens
from rankloom.errors import UsageError
from rankloom.kept_text import kept_text
from rankloom.ledger import Note
from rankloom.ranking import ScoreKind
from rankloom.records import Document, Span
from rankloom.rerank.pruning.sentence_stage import SentenceStage, SplitDocument
from rankloom.rerank.pruning.sentences import cut
from rankloom.run import Run
from rankloom.session import Session
from rankloom.stage import Reranker

_STAGE = "prune"
# Ideographs, kana, and the punctuation that goes with them: no space follows a sentence of these.
_NO_SPACE_AFTER = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00020000-\U0003ffff]")


@dataclass(frozen=True, slots=True)
class PrunedContext:
    """What is left of one context.

    Args:
        place: Its place among the contexts that were given, from 0.
        text: The kept sentences; empty if none was.
        spans: All sentences, kept and dropped, as offsets into `context`.
        score: The reranker's score; None if the pruner gives none.
        context: The text as it was given, or that of the sentences that were.
        compression: Share of the characters of its sentences that were taken away, 0 to 1; 0 for an empty context.
    """

    place: int
    text: str
    spans: tuple[Span, ...]
    score: float | None
    context: str
    compression: float


@dataclass(frozen=True, slots=True)
class PruningResult:
    """What is left of the contexts of a question.

    Args:
        contexts: In the order they were given in; by score if that was asked for.
        compression: Share of the characters of all contexts that was taken away, 0 to 1. Contexts that `top_k` leaves
            out count as they were pruned, not as taken away.
        compression_tokens: The same of tokens.
        score_kind: What the scores mean.
        notes: What was cut or not kept; documents are named by their places.
    """

    contexts: tuple[PrunedContext, ...]
    compression: float
    compression_tokens: float
    score_kind: ScoreKind
    notes: tuple[Note, ...]


def prune(
    question: str,
    contexts: Sequence[str] | Sequence[Sequence[str]],
    *,
    by: SentenceStage,
    titles: Sequence[str] | None = None,
    reorder: bool = False,
    top_k: int | None = None,
    count_tokens: Callable[[str], int] = estimate_tokens,
    session: Session | None = None,
) -> PruningResult:
    """Prune the contexts of a question.

    Args:
        question: One question.
        contexts: One entry for each context: its text, or a list of its sentences, which are then not split again.
            Sentences are joined as they are if they bring space at their ends, or are of a script without spaces;
            else by a space.
        by: The pruner, such as `Provence(...)` or `SentencePruner()`.
        titles: A title for each context, which `by` may read, and which is not part of the result.
        reorder: Put the contexts in the order of their scores; the pruner must be one that reranks.
        top_k: With `reorder`, only so many of them.
        count_tokens: For `compression_tokens`; words and punctuation marks by default.
        session: How to carry it out.

    Raises:
        UsageError: An argument is of another kind, or the pruner does not rerank and was asked to.

    Example:
        >>> from rankloom.rerank import SentencePruner
        >>> sky = "Air scatters blue light, so the sky is blue. Bread needs yeast."
        >>> found = prune("why is the sky blue", [sky], by=SentencePruner(), session=Session(offline=True))
        >>> found.contexts[0].text, round(found.compression, 2)
        ('Air scatters blue light, so the sky is blue.', 0.3)
    """
    reranks = isinstance(by, Reranker) and bool(getattr(by, "rerank", True))
    _check(question, contexts, titles=titles, reorder=reorder, top_k=top_k, reranks=reranks)
    session = session or Session()
    if len(contexts) > by.depth:
        by.warm_up(session)  # so that the pruner that was given holds the model, and the next call need not load it
        by = by.replace(depth=len(contexts))
    digits = len(str(len(contexts)))  # so that of equal scores, the earlier context comes first
    documents = [
        _document(f"{place:0{digits}}", context, titles[place] if titles else "")
        for place, context in enumerate(contexts)
    ]
    run = by.run(Run.from_documents(question, documents), session=session)
    hits = next(iter(run.values()))
    found = [_pruned(int(hit.doc_id), hit.text, hit.spans, hit.score if reranks else None) for hit in hits]
    in_order = found if reorder else sorted(found, key=lambda one: one.place)
    return PruningResult(
        tuple(in_order[:top_k]),
        _taken_away(found, len),
        _taken_away(found, count_tokens),
        run.hits(stage=_STAGE).kind,
        tuple(
            replace(note, query_id="", doc_id=str(int(note.doc_id)) if note.doc_id else "") for note in run.ledger.notes
        ),
    )


def _check(
    question: object, contexts: object, *, titles: object, reorder: bool, top_k: int | None, reranks: bool
) -> None:
    """Refuse what could mean two things, or nothing."""
    if not isinstance(question, str) or not question.strip():
        raise UsageError("a question is one string", stage=_STAGE, value=question, fix="call prune for each question")
    if isinstance(contexts, str) or not isinstance(contexts, Sequence):
        fix = "prune(question, [context])"
        raise UsageError("contexts are a list", stage=_STAGE, value=type(contexts).__name__, fix=fix)
    whole = [isinstance(one, str) for one in contexts]
    lists = [isinstance(one, Sequence) and all(isinstance(part, str) for part in one) for one in contexts]
    if not (all(whole) or (all(lists) and not any(whole))):
        accepted = "texts, or lists of sentences, but not both"
        raise UsageError("a context is of another kind", stage=_STAGE, value=contexts, accepted=accepted)
    if titles is not None and (
        isinstance(titles, str)
        or not isinstance(titles, Sequence)
        or len(titles) != len(contexts)
        or not all(isinstance(one, str) for one in titles)
    ):
        raise UsageError("titles are a list of one string for each context", stage=_STAGE, value=titles)
    if top_k is not None and (not reorder or top_k < 1):
        accepted = "a number of at least 1, with reorder=True"
        raise UsageError("top_k is out of place", stage=_STAGE, value=top_k, accepted=accepted)
    if reorder and not reranks:
        raise UsageError("the pruner gives no scores to order by", stage=_STAGE, fix="take Provence, or reorder=False")


def _document(doc_id: str, context: str | Sequence[str], title: str) -> Document:
    """A context as a document; with its sentences, if they were given."""
    if isinstance(context, str):
        return Document(doc_id, context, title)
    text, starts = "", []
    for sentence in context:
        text += "" if _joined(text, sentence) else " "
        starts.append(len(text))
        text += sentence
    return SplitDocument(doc_id, text, title, sentences=tuple(cut(text, starts)))


def _joined(text: str, sentence: str) -> bool:
    """Whether a sentence follows a text without a space of ours."""
    if not text or not sentence:
        return True
    return text[-1].isspace() or sentence[0].isspace() or _NO_SPACE_AFTER.match(text[-1]) is not None


def _pruned(place: int, text: str, spans: tuple[Span, ...] | None, score: float | None) -> PrunedContext:
    """What is left of a context; all of it, if the stage does not prune."""
    left = text if spans is None else _joint(text, [span for span in spans if span.kept])
    one = PrunedContext(place, left, spans or (), score, text, 0.0)
    return replace(one, compression=_taken_away([one], len))


def _taken_away(found: Sequence[PrunedContext], count: Callable[[str], int]) -> float:
    """Share of the size of all contexts' sentences that was taken away; the space between them is none of theirs."""
    whole = sum(count(_joint(one.context, one.spans) if one.spans else one.text) for one in found)
    return 1 - sum(count(one.text) for one in found) / whole if whole else 0.0


def _joint(text: str, spans: Sequence[Span]) -> str:
    """Some sentences of a text, joined as in a text of which others are dropped."""
    return kept_text(text, [(span.start, span.end) for span in spans])
