"""Answers from what a pipeline has found: every score, offset and note that there is."""

from __future__ import annotations

import math
import uuid
from typing import Any

import rankloom
from rankloom.context import estimate_tokens
from rankloom.kept_text import kept_text
from rankloom.ranked_list import Hit, RankedList
from rankloom.ranking import ScoreKind
from rankloom.records import Document, Span
from rankloom.serving import schemas
from rankloom.serving.tasks import Found, Task, place_of


def told(name: str, found: Found) -> dict[str, Any]:
    """What every answer tells; see `schemas.Told`.

    Args:
        name: The pipeline.
        found: What it found.
    """
    ledger = found.hits.run.ledger
    return {
        "pipeline": name,
        "degraded": bool(found.left_out),
        "left_out": [
            schemas.LeftOutModel(stages=one.stages, reason=one.reason, detail=one.detail) for one in found.left_out
        ],
        "notes": [
            schemas.NoteModel(
                stage=note.stage, kind=note.kind, doc_id=note.doc_id, amount=note.amount, detail=note.detail
            )
            for note in found.hits.notes
        ],
        "stages": [
            schemas.StageModel(stage=cost.stage, seconds=cost.seconds, calls=cost.calls, tokens=cost.tokens)
            for cost in ledger.costs
        ],
        "batch_size": found.batch,
    }


def search_answer(name: str, found: Found, *, trace: bool) -> schemas.SearchAnswer:
    """The answer to a search."""
    hits = found.hits
    first = _first_scores(hits)
    models = [
        _hit(hit, document, first.get(hit.doc_id), trace=trace)
        for hit, document in zip(hits, hits.documents(), strict=True)
    ]
    kind = hits.run.hits(stage="search").kind
    return schemas.SearchAnswer(query=hits.query.text, score_kind=kind.value, hits=models, **told(name, found))


def context_answer(name: str, found: Found, *, max_tokens: int, cite: bool) -> schemas.ContextAnswer:
    """The answer to a search for context."""
    context = found.hits.context(max_tokens=max_tokens, cite=cite)
    citations = [
        schemas.CitationModel(number=one.number, doc_id=one.doc_id, spans=list(one.spans), text=one.text)
        for one in context.citations
    ]
    return schemas.ContextAnswer(
        context=context.text,
        tokens=context.tokens,
        citations=citations,
        documents_left_out=list(context.left_out),
        **told(name, found),
    )


def prune_answer(name: str, found: Found, documents: tuple[Document, ...], *, reranks: bool) -> schemas.PruneAnswer:
    """The answer to a request for pruning: its documents in its order."""
    by_place = {place_of(hit.doc_id): hit for hit in found.hits}
    models = []
    for place, hit in sorted(by_place.items()):
        text = documents[place].text
        left = text if hit.spans is None else _kept(text, hit.spans)
        score = hit.score if reranks else None
        models.append(schemas.PrunedModel(index=place, text=left, score=score, spans=_sentences(hit.spans or ())))
    whole = sum(len(documents[model.index].text) for model in models)
    compression = 1 - sum(len(model.text) for model in models) / whole if whole else 0.0
    return schemas.PruneAnswer(documents=models, compression=compression, **_by_place(name, found))


def rerank_answer(
    name: str, found: Found, task: Task, *, documents: list[dict[str, Any]] | None, warnings: list[str], version: str
) -> schemas.RerankAnswer:
    """The answer to a request for reranking.

    Args:
        name: The pipeline.
        found: What it found.
        task: What was asked.
        documents: The documents to be sent back; None for none.
        warnings: What of the request has no effect.
        version: Of the API that was called.
    """
    logits = found.hits.run.hits(stage="rerank").kind is ScoreKind.LOGIT
    results = []
    for hit in found.hits:
        score = _sigmoid(hit.score) if logits else hit.score
        place = place_of(hit.doc_id)
        document = None if documents is None else documents[place]
        results.append(schemas.ResultModel(index=place, relevance_score=score, document=document))
    words = sum(estimate_tokens(one.text) for one in task.documents or ()) + estimate_tokens(task.query)
    said = schemas.Told(**_by_place(name, found))
    warnings = warnings + [f"stages left out ({one.reason}): {one.stages}" for one in found.left_out]
    meta = schemas.RerankMeta(
        api_version={"version": version, "rankloom": rankloom.__version__},
        billed_units={"search_units": 0.0},
        warnings=warnings,
        rankloom=said,
    )
    number = str(uuid.uuid4())
    return schemas.RerankAnswer(id=number, model=name, results=results, usage={"total_tokens": words}, meta=meta)


def _by_place(name: str, found: Found) -> dict[str, Any]:
    """What every answer tells, with documents of the request named by their places."""
    said = told(name, found)
    for note in said["notes"]:
        note.doc_id = str(place_of(note.doc_id)) if note.doc_id else ""
    return said


def _hit(hit: Hit, document: Document, first: float | None, *, trace: bool) -> schemas.HitModel:
    """A hit with all that is known about it."""
    return schemas.HitModel(
        rank=hit.rank,
        doc_id=hit.doc_id,
        score=hit.score,
        retrieval_score=first,
        reranked=hit.reranked,
        title=document.title,
        text=document.text,
        pruned_text=None if hit.spans is None else _kept(document.text, hit.spans),
        spans=None if hit.spans is None else _sentences(hit.spans),
        metadata=dict(document.metadata),
        trace=[schemas.Standing(stage=one.stage, rank=one.rank, score=one.score, depth=one.depth) for one in hit.trace]
        if trace
        else None,
    )


def _first_scores(hits: RankedList) -> dict[str, float]:
    """Scores by the first stage that ranked: of a hit that feedback found later, there is none."""
    for step in hits.run.steps:
        if step.ranking is not None:
            start, end = step.ranking.bounds(hits.number)
            scores = step.ranking.scores[start:end].tolist()
            return dict(zip(step.ranking.doc_ids(hits.number), scores, strict=True))
    return {}


def _kept(text: str, spans: tuple[Span, ...]) -> str:
    """What a pruner has left of a text."""
    return kept_text(text, [(span.start, span.end) for span in spans if span.kept])


def _sentences(spans: tuple[Span, ...]) -> list[schemas.Sentence]:
    """The sentences of a text."""
    return [
        schemas.Sentence(
            start=span.start, end=span.end, probability=span.probability, kept=span.kept, reason=span.reason
        )
        for span in spans
    ]


def _sigmoid(logit: float) -> float:
    """A logit as a probability."""
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))
