"""Why a pipeline answered a query as it did: what every stage left behind, for the query and for single documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from rankloom.feedback_parts import FeedbackTerm, step_feedback
from rankloom.fusion import joined_documents
from rankloom.ledger import Note
from rankloom.ranked_list import RankedList
from rankloom.records import Documents, Query, Span
from rankloom.run import Run, Step
from rankloom.score_parts import ScoreParts, step_parts


@dataclass(frozen=True, slots=True)
class StageView:
    """What one stage left behind.

    Args:
        stage: Its name.
        depth: How many fusions deep it stands; inputs of a fusion come before it.
        hits: How many hits it left; None if it left only a query.
        best: The first of them: document and score.
        terms: Weighted terms that it wrote into the query, heaviest first; None if there are none.
        feedback: Where the weights of these terms come from; None from stages that can not tell.
        vectors: Encoders for which it wrote a vector into the query.
        text: The text that it gave the query, or that the stage around it asks; None if that is what it was before.
    """

    stage: str
    depth: int
    hits: int | None
    best: tuple[tuple[str, float], ...]
    terms: tuple[tuple[str, float], ...] | None
    vectors: tuple[str, ...]
    feedback: tuple[FeedbackTerm, ...] | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class DocumentView:
    """What became of one document.

    Args:
        doc_id: The document.
        title: Its title.
        grade: Its judgement; None if nobody judged it.
        trace: For each stage that left a ranking: name, depth, rank from 1 and score, or None and None.
        parts: For each of them, what the terms of the query add to its score, whether it is among the hits or not; None
            from stages that do not score by terms, or do not hold the document.
        sentences: What a pruner kept and dropped: the text and its span; None if none saw it.
    """

    doc_id: str
    title: str
    grade: int | None
    trace: tuple[tuple[str, int, int | None, float | None], ...]
    parts: tuple[ScoreParts | None, ...]
    sentences: tuple[tuple[str, Span], ...] | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The way of one query through one pipeline.

    Args:
        query_id: The query.
        text: What was asked.
        stages: What every stage left behind, in order.
        documents: What became of the documents asked for.
        notes: What the ledger says of the query.
    """

    query_id: str
    text: str
    stages: tuple[StageView, ...]
    documents: tuple[DocumentView, ...]
    notes: tuple[Note, ...]

    def to_dict(self) -> dict[str, object]:
        """A JSON form."""
        return asdict(self)


def explain_run(
    run: Run,
    query_id: str,
    *,
    doc_ids: Sequence[str] = (),
    grades: Mapping[str, int] | None = None,
    top: int = 5,
    terms: int = 20,
    parts: bool = True,
) -> Explanation:
    """Explain one query of a run.

    Args:
        run: A run that has come through a pipeline.
        query_id: The query.
        doc_ids: Documents to follow; by default the best of the final ranking.
        grades: Judgements of the query.
        top: How many hits of each stage to show.
        terms: How many terms of a rewritten query to show.
        parts: Whether to take the scores of documents and the terms of feedback apart; some milliseconds for each in a
            large index.
    """
    number = list(run).index(query_id)
    steps = list(_flat(run.steps, depth=0))
    followed = list(doc_ids) or run[query_id].doc_ids[:top]
    text = _first_queries(run)[number].text
    documents = [_document_view(run, number, doc_id, steps, (grades or {}).get(doc_id)) for doc_id in followed]
    texts = _new_texts(run.steps, number, text)
    stages = [
        replace(_stage_view(step, depth, number, top=top, terms=terms), text=new)
        for (step, depth), new in zip(steps, texts, strict=True)
    ]
    if parts:
        told = [step_feedback(step, number, run.session) for step, _ in steps]
        stages = [replace(view, feedback=own and own[:terms]) for view, own in zip(stages, told, strict=True)]
        documents = [replace(view, parts=_parts(run, number, view.doc_id, steps)) for view in documents]
    return Explanation(
        query_id,
        text,
        tuple(stages),
        tuple(documents),
        run[query_id].notes,
    )


def with_texts_of(run: Run, documents: Documents) -> Run:
    """The run, with texts also of documents that its own source lacks, such as relevant ones that it never retrieved.

    Args:
        run: A run; its own texts go first, and it may have none.
        documents: The documents of the collection.
    """
    known = documents if run.documents is None else joined_documents([run.documents, documents])
    return replace(run, documents=known)


def _flat(steps: Sequence[Step], *, depth: int) -> Iterator[tuple[Step, int]]:
    """All steps with their depth, inputs of a fusion before it."""
    for step in steps:
        for branch in step.branches:
            yield from _flat(branch, depth=depth + 1)
        yield step, depth


def _first_queries(run: Run) -> tuple[Query, ...]:
    """The queries before any stage, of which the first may be one that rewrites them."""
    if not run.steps:
        return run.queries
    return run.steps[0].asked or run.steps[0].queries


def _new_texts(steps: Sequence[Step], number: int, before: str) -> Iterator[str | None]:
    """For each step, in the order of `_flat`: the text of the query after it, where that is another than before."""
    for step in steps:
        for branch in step.branches:
            yield from _new_texts(branch, number, before)
        after = step.queries[number].text
        yield after if after and after != before else None
        before = after


def _stage_view(step: Step, depth: int, number: int, *, top: int, terms: int) -> StageView:
    """What one stage left behind for one query."""
    query = step.queries[number]
    hits, best = None, []
    if step.ranking is not None:
        start, end = step.ranking.bounds(number)
        hits = end - start
        scores = step.ranking.scores[start : min(end, start + top)].tolist()
        best = list(zip(step.ranking.doc_ids(number)[:top], scores, strict=True))
    weights = None
    if query.terms is not None:
        weights = tuple(sorted(query.terms.items(), key=lambda item: (-item[1], item[0]))[:terms])
    return StageView(step.stage, depth, hits, tuple(best), weights, tuple(query.vectors))


def _document_view(
    run: Run, number: int, doc_id: str, steps: Sequence[tuple[Step, int]], grade: int | None
) -> DocumentView:
    """What became of one document."""
    hits = RankedList(run, number)
    document = run.texts(stage="explain").get([doc_id])[0]
    trace = tuple(
        (step.stage, depth, *_place(step, number, doc_id)) for step, depth in steps if step.ranking is not None
    )
    hit = next((hit for hit in hits if hit.doc_id == doc_id), None)
    sentences = None
    if hit is not None and hit.spans is not None:
        sentences = tuple((document.text[span.start : span.end], span) for span in hit.spans)
    return DocumentView(doc_id, document.title, grade, trace, (None,) * len(trace), sentences)


def _parts(run: Run, number: int, doc_id: str, steps: Sequence[tuple[Step, int]]) -> tuple[ScoreParts | None, ...]:
    """What makes a document's score after each step that left a ranking."""
    return tuple(step_parts(step, number, doc_id, run.session) for step, _ in steps if step.ranking is not None)


def _place(step: Step, number: int, doc_id: str) -> tuple[int | None, float | None]:
    """Rank and score of a document after a step."""
    if step.ranking is None or (code := step.ranking.ids.find(doc_id)) is None:
        return None, None
    start, end = step.ranking.bounds(number)
    places = (step.ranking.codes[start:end] == code).nonzero()[0]
    if not len(places):
        return None, None
    return int(places[0]) + 1, float(step.ranking.scores[start + int(places[0])])
