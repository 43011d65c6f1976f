"""Ranking documents that a host holds, and handing it those that rankloom finds.

A host's document is never changed: an adapter reads it (`Given`), ranks it, and makes a copy from what comes back
(`Ranked`). A document that has passed an adapter before is known by what that has added (`facts`): it is read by its
original text, and its scores and trace go on, so that two adapters one after another give what one pipeline gives.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rankloom.errors import CompositionError, UsageError
from rankloom.fingerprint import digest
from rankloom.fusion import Fuser
from rankloom.ledger import Note
from rankloom.pipeline import Pipeline
from rankloom.ranked_list import Hit, RankedList
from rankloom.records import Document
from rankloom.run import Run
from rankloom.serving.adapters.facts import Earlier, Given, facts_of, is_place, json_part, kept_of, trace_of, with_facts
from rankloom.session import Session
from rankloom.stage import Retriever, Stage

_log = logging.getLogger("rankloom")


@dataclass(frozen=True, slots=True)
class Ranked:
    """What a host makes its copy from.

    Args:
        place: Its place among the documents that were given, from 0; of a retriever's hits, its place among these.
        doc_id: The id it came with; one made of its text if it had none.
        text: The text, without the sentences that were dropped.
        score: The value of `relevance_score`, or else the score that it came with.
        metadata: A new dictionary: its own metadata, and the names of `facts`.
    """

    place: int
    doc_id: str
    text: str
    score: float | None
    metadata: dict[str, Any]


def check_retriever(pipeline: object) -> None:
    """Refuse what does not search documents with texts.

    Raises:
        CompositionError: It is no stage, needs a ranking to begin with, or ends without texts.
    """
    left = Pipeline([_stage(pipeline)]).flow(frozenset(), after="the start")
    if missing := {"ranking", "text"} - left:
        raise CompositionError(
            f"the pipeline ends without {min(missing)}",
            stage="adapter",
            fix="end it with a retriever over a corpus with texts, or with a reranker or pruner behind one",
        )


def check_reranker(stage: object) -> None:
    """Refuse what can not work on documents that a host has found.

    Raises:
        CompositionError: It is no stage, is a retriever, or leaves no ranking.
    """
    left = Pipeline([_stage(stage)]).flow(frozenset({"ranking", "text"}), after="the host's documents")
    if "ranking" not in left:
        fix = "give the adapter rerankers and pruners alone"
        raise CompositionError("ends without a ranking", stage="adapter", fix=fix)


def found(hits: RankedList) -> list[Ranked]:
    """The hits of a retriever's pipeline, best first."""
    retrieved = _retrieval_scores(hits.run, hits.number)
    _tell(hits.notes)
    ranked = []
    for hit, document in zip(hits, hits.documents(), strict=True):
        facts = {**facts_of(hit, document.text, document.id, hits.notes), "relevance_score": hit.score}
        facts["retrieval_score"] = retrieved.get(hit.doc_id, hit.score)
        facts["trace"] = [asdict(entry) for entry in hit.trace]
        if document.title:
            facts["title"] = document.title
        text = document.text if hit.spans is None else kept_of(document.text, facts["spans"])
        ranked.append(Ranked(hit.rank - 1, hit.doc_id, text, hit.score, with_facts(document.metadata, facts)))
    return ranked


def rerank(
    stage: Stage,
    query: str,
    given: Sequence[Given],
    *,
    top_n: int | None = None,
    threshold: float | None = None,
    session: Session | None = None,
) -> list[Ranked]:
    """Rerank or prune a host's documents.

    Args:
        stage: Rerankers and pruners.
        query: The question.
        given: The documents, best first; ids and texts may stand there twice.
        top_n: At most so many come back, the best.
        threshold: Only those with at least this `relevance_score` come back; hits below the depth of a reranker do not.
        session: How to carry it out.

    Raises:
        UsageError: A threshold, where no stage gives scores and the documents came with none.
    """
    if not given:
        return []
    earlier = [Earlier.of(one) for one in given]
    ids = _unique_ids(given)
    documents = [
        Document(doc_id, known.text, one.title, json_part(known.metadata))
        for doc_id, one, known in zip(ids, given, earlier, strict=True)
    ]
    run = stage.run(Run.from_documents(query, documents, session=session))
    hits = next(iter(run.values()))
    _tell(hits.notes)
    places = {doc_id: place for place, doc_id in enumerate(ids)}
    scored = not all(is_place(hit.score, places[hit.doc_id], run.hits(stage="adapter").kind) for hit in hits)
    ranked = []
    for hit in hits:
        place = places[hit.doc_id]
        one = _reranked(hit, hits, given[place], earlier[place], place=place, scored=scored)
        if threshold is None or _passes(one, threshold):
            ranked.append(one)
    return ranked[:top_n]


def _reranked(hit: Hit, hits: RankedList, given: Given, earlier: Earlier, *, place: int, scored: bool) -> Ranked:
    """A host's document with what the stages say of it."""
    known, doc_id = earlier.facts, given.doc_id or hit.doc_id
    facts = {name: value for name, value in known.items() if name not in ("reranked", "notes")}
    facts |= facts_of(hit, earlier.text, doc_id, hits.notes)
    if hit.spans is None and "spans" in known:
        facts["citations"] = known["citations"]
    if "retrieval_score" not in known and given.score is not None:
        facts["retrieval_score"] = given.score
    if scored:
        facts["relevance_score"] = hit.score
    start, *trace = trace_of(hit, place, known.get("relevance_score", given.score), hits.run.steps)
    facts["trace"] = [*known.get("trace", [start]), *trace]
    text = kept_of(earlier.text, facts["spans"]) if "spans" in facts else earlier.text
    metadata = {**earlier.metadata, **facts} if known else with_facts(earlier.metadata, facts)
    return Ranked(place, doc_id, text, facts.get("relevance_score", given.score), metadata)


def _passes(ranked: Ranked, threshold: float) -> bool:
    """Whether a document scores enough."""
    if ranked.score is None:
        raise UsageError(
            "a threshold needs scores, and neither the stages nor the host have given any",
            stage="adapter",
            value=threshold,
            fix="put a reranker before the pruner, or leave the threshold out",
        )
    return ranked.metadata.get("reranked", True) and ranked.score >= threshold


def _retrieval_scores(run: Run, number: int) -> dict[str, float]:
    """Document id -> score after the last retriever or fusion of a pipeline."""
    first = [step.ranking for step in run.steps if step.ranking is not None and isinstance(step.by, Retriever | Fuser)]
    if not first:
        return {}
    start, end = first[-1].bounds(number)
    return dict(zip(first[-1].doc_ids(number), map(float, first[-1].scores[start:end]), strict=True))


def _unique_ids(given: Sequence[Given]) -> list[str]:
    """An id for each document: the host's, or one made of its text; numbered where it stands there again."""
    wanted = [one.doc_id or digest(one.title, one.text) for one in given]
    taken, ids = set(wanted), []
    used: set[str] = set()
    for doc_id in wanted:
        unique, number = doc_id, 1
        while unique in used or (number > 1 and unique in taken):
            number += 1
            unique = f"{doc_id}#{number}"
        used.add(unique)
        ids.append(unique)
    return ids


def _tell(notes: Iterable[Note]) -> None:
    """Log what the ledger says of the query; what it says of documents stands in their metadata."""
    for note in notes:
        if not note.doc_id:
            _log.info("%s: %s (%d) %s", note.stage, note.kind, note.amount, note.detail)


def title_of(metadata: Mapping[str, Any], key: str | None) -> str:
    """The title that a document's metadata holds, or an empty string."""
    title = None if key is None else metadata.get(key)
    return title if isinstance(title, str) else ""


def _stage(found: object) -> Stage:
    """A stage.

    Raises:
        CompositionError: It is something else.
    """
    if not isinstance(found, Stage):
        raise CompositionError("this is not a stage", stage="adapter", value=found, accepted="stages and pipelines")
    return found
