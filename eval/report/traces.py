"""Which queries the report follows through the stages, and what it keeps of them and of their documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rankloom.eval.explain import DocumentView, StageView, explain_run, with_texts_of
from rankloom.eval.per_query import topic_difficulty
from rankloom.ledger import Ledger, Note

if TYPE_CHECKING:
    from rankloom.eval.collections import Collection
    from rankloom.eval.results import ExperimentResult
    from rankloom.run import Run

#: Traces (of one query through one pipeline) that a page holds at most; about 2 KB each, and texts once.
TRACES = 600
#: Hits of each trace, and relevant documents that are not among them.
HITS, LOST = 10, 5
#: Characters kept of a document's text at most, and of all texts together.
TEXT, TEXTS = 6000, 4_000_000
#: Documents that a group of notes names.
NAMED = 5


@dataclass(frozen=True, slots=True)
class DocumentText:
    """A document as the page shows it.

    Args:
        title: Its title.
        text: Its text, or the beginning of it.
        length: Characters of the whole text.
    """

    title: str
    text: str
    length: int


@dataclass(frozen=True, slots=True)
class NoteGroup:
    """The ledger's notes of one kind about a query: a deep ranking may have a thousand.

    Args:
        stage: The stage that noticed.
        kind: What happened, one of `rankloom.ledger.NOTE_KINDS`.
        detail: More, in words.
        number: How many notes.
        amount: How much in all, in the unit of the kind.
        docs: The first documents that they are about.
    """

    stage: str
    kind: str
    detail: str
    number: int
    amount: int
    docs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HitTrace:
    """What became of one document.

    Args:
        doc: Its id.
        grade: Its judgement; None if nobody judged it.
        places: Rank and score after each stage; None where it was not there, or where there was no ranking.
        spans: What a pruner kept and dropped: start, end, kept, probability; None if no pruner saw it.
    """

    doc: str
    grade: int | None
    places: tuple[tuple[int, float] | None, ...]
    spans: tuple[tuple[int, int, bool, float], ...] | None


@dataclass(frozen=True, slots=True)
class QueryTrace:
    """The way of one query through one pipeline.

    Args:
        stages: What every stage left behind; inputs of a fusion come before it.
        hits: The best hits of the final ranking.
        lost: Relevant documents that are not among `hits`.
        lost_more: How many more of them there are.
        notes: What the ledger says of the query.
    """

    stages: tuple[StageView, ...]
    hits: tuple[HitTrace, ...]
    lost: tuple[HitTrace, ...]
    lost_more: int
    notes: tuple[NoteGroup, ...]


def chosen_queries(systems: Mapping[str, Mapping[str, float]], *, traces: int = TRACES) -> list[str]:
    """The queries to store traces of: those on which the systems differ most; for equal differences, the hardest.

    Args:
        systems: System -> query id -> value.
        traces: How many traces to store in all, one for each query and system; at least one query is chosen.

    Example:
        >>> chosen_queries({"a": {"q1": 0.5, "q2": 0.0}, "b": {"q1": 0.5, "q2": 1.0}}, traces=2)
        ['q2']
    """
    topics = sorted(topic_difficulty(systems), key=lambda topic: topic.worst - topic.best)
    return [topic.query for topic in topics[: max(1, traces // len(systems))]]


def stored_traces(
    result: ExperimentResult, query_ids: Sequence[str]
) -> tuple[dict[str, dict[str, QueryTrace]], dict[str, DocumentText]]:
    """Traces of some queries through all pipelines, and the texts of their documents.

    Args:
        result: What the experiment gave.
        query_ids: The queries; those that a pipeline was not asked are left out there.
    """
    absent = frozenset(result.collection.absent_documents())
    traces: dict[str, dict[str, QueryTrace]] = {query_id: {} for query_id in query_ids}
    documents: dict[str, DocumentText] = {}
    for name, outcome in result.outcomes.items():
        run = replace(
            with_texts_of(outcome.run, result.collection.corpus), ledger=Ledger()
        )  # notes: in one pass, below
        notes = _grouped(outcome.run.ledger.only(query_ids).notes)
        for query_id in query_ids:
            if query_id in run:
                trace = _trace(run, query_id, result.collection, absent)
                traces[query_id][name] = replace(trace, notes=tuple(notes.get(query_id, ())))
                _add_texts(documents, run, [hit.doc for hit in (*trace.hits, *trace.lost)])
    return traces, _cut(documents)


def _trace(run: Run, query_id: str, collection: Collection, absent: frozenset[str]) -> QueryTrace:
    """The way of one query."""
    grades = collection.qrels.get(query_id, {})
    best = run[query_id].doc_ids[:HITS]
    relevant = [doc_id for doc_id, grade in grades.items() if grade >= collection.relevance_level]
    lost = sorted({*relevant} - {*best} - absent, key=lambda doc_id: (-grades[doc_id], doc_id))
    followed = [*best, *lost[:LOST]]
    told = explain_run(run, query_id, doc_ids=followed, grades=grades, top=0, parts=False)
    hits = [_hit(view, told.stages) for view in told.documents[: len(followed)]] if followed else []
    return QueryTrace(
        told.stages,
        tuple(hits[: len(best)]),
        tuple(hits[len(best) :]),
        max(0, len(lost) - LOST),
        notes=(),
    )


def _grouped(notes: Sequence[Note]) -> dict[str, list[NoteGroup]]:
    """Query id -> its notes, those that say the same of several documents as one."""
    found: dict[tuple[str, str, str, str], list[Note]] = {}
    for note in notes:
        found.setdefault((note.query_id, note.stage, note.kind, note.detail), []).append(note)
    groups: dict[str, list[NoteGroup]] = {}
    for (query_id, stage, kind, detail), same in found.items():
        docs = tuple(note.doc_id for note in same if note.doc_id)[:NAMED]
        amount = sum(note.amount for note in same)
        groups.setdefault(query_id, []).append(NoteGroup(stage, kind, detail, len(same), amount, docs))
    return groups


def _hit(view: DocumentView, stages: Sequence[StageView]) -> HitTrace:
    """One document's trace, a place for each stage."""
    ranked = iter(view.trace)
    places: list[tuple[int, float] | None] = []
    for stage in stages:
        _, _, rank, score = next(ranked) if stage.hits is not None else ("", 0, None, None)
        places.append(None if rank is None or score is None else (rank, score))
    spans = None
    if view.sentences is not None:
        spans = tuple((span.start, span.end, span.kept, round(span.probability, 4)) for _, span in view.sentences)
    return HitTrace(view.doc_id, view.grade, tuple(places), spans)


def _add_texts(documents: dict[str, DocumentText], run: Run, doc_ids: Sequence[str]) -> None:
    """Add the texts that are not there yet."""
    new = [doc_id for doc_id in doc_ids if doc_id not in documents]
    for document in run.texts(stage="report").get(new):
        documents[document.id] = DocumentText(document.title, document.text[:TEXT], len(document.text))


def _cut(documents: Mapping[str, DocumentText]) -> dict[str, DocumentText]:
    """The texts, shorter where they are too much for one page together."""
    most = max(1, TEXTS // max(1, len(documents)))
    return {doc_id: replace(held, text=held.text[:most]) for doc_id, held in documents.items()}
