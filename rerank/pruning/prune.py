"""Pruning without a corpus: one question, several contexts, and what is left of them.

What is meant never depends on how things are nested: a question is one string, contexts are a list with one entry for
each context, and an entry is a text, or the list of its sentences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from rankloom.context import estimate_tokens
from rankloom.errors import UsageError
from rankloom.fingerprint import digest
from rankloom.kept_text import kept_text
from rankloom.ledger import Note
from rankloom.ranking import ScoreKind
from rankloom.records import Document, Span
from rankloom.rerank.pruning.sentence_stage import SentenceStage
from rankloom.rerank.pruning.sentences import cut
from rankloom.rerank.pruning.splitting import Offsets, Splitter
from rankloom.run import Run
from rankloom.session import Session
from rankloom.stage import Reranker

_STAGE = "prune"


@dataclass(frozen=True, slots=True)
class PrunedContext:
    """What is left of one context.

    Args:
        place: Its place among the contexts that were given, from 0.
        text: The kept sentences; empty if none was.
        spans: All sentences, kept and dropped, as offsets into `context`.
        score: The reranker's score; None if the pruner gives none.
        context: The text as it was given; sentences are joined by spaces.
        compression: Share of its characters that were taken away, 0 to 1; 0 for an empty context.
    """

    place: int
    text: str
    spans: tuple[Span, ...]
    score: float | None
    context: str
    compression: float


@dataclass(frozen=True, slots=True)
class Pruned:
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
) -> Pruned:
    """Prune the contexts of a question.

    Args:
        question: One question.
        contexts: One entry for each context: its text, or a list of its sentences, which are then not split again.
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
    texts, offsets = _texts(contexts)
    session = session or Session()
    if offsets or len(texts) > by.depth:
        by.warm_up(session)  # so that the pruner that was given holds the model, and the next call need not load it
    if offsets:
        by = by.replace(splitter=Splitter(f"given {digest(offsets)}", offsets.__getitem__))
    if len(texts) > by.depth:
        by = by.replace(depth=len(texts))
    documents = [
        Document(str(place), text, title)
        for place, (text, title) in enumerate(zip(texts, titles or [""] * len(texts), strict=True))
    ]
    run = by.run(Run.from_documents(question, documents), session=session)
    hits = next(iter(run.values()))
    found = [_pruned(int(hit.doc_id), hit.text, hit.spans, hit.score if reranks else None) for hit in hits]
    in_order = found if reorder else sorted(found, key=lambda one: one.place)
    return Pruned(
        tuple(in_order[:top_k]),
        _taken_away(found, len),
        _taken_away(found, count_tokens),
        run.hits(stage=_STAGE).kind,
        tuple(replace(note, query_id="") for note in run.ledger.notes),
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


def _texts(contexts: Sequence[str] | Sequence[Sequence[str]]) -> tuple[list[str], dict[str, Offsets]]:
    """The text of each context; and where its sentences are, if they were given."""
    texts: list[str] = []
    offsets: dict[str, Offsets] = {}
    for context in contexts:
        if isinstance(context, str):
            texts.append(context)
            continue
        text = " ".join(context)
        starts = accumulate((len(sentence) + 1 for sentence in context), initial=0)
        found = cut(text, list(starts)[:-1])
        texts.append(text)
        if offsets.setdefault(text, found) != found:
            raise UsageError("two contexts are one text in other sentences", stage=_STAGE, value=context)
    return texts, offsets


def _pruned(place: int, text: str, spans: tuple[Span, ...] | None, score: float | None) -> PrunedContext:
    """What is left of a context; all of it, if the stage does not prune."""
    left = text if spans is None else kept_text(text, [(span.start, span.end) for span in spans if span.kept])
    return PrunedContext(place, left, spans or (), score, text, 1 - len(left) / len(text) if text else 0.0)


def _taken_away(found: Sequence[PrunedContext], count: Callable[[str], int]) -> float:
    """Share of the size of all contexts that was taken away."""
    whole = sum(count(one.context) for one in found)
    return 1 - sum(count(one.text) for one in found) / whole if whole else 0.0
