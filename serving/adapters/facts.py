"""What rankloom adds to the metadata of a host's documents, and what it reads of it.

The copy that comes back has all the metadata that the document had, the same objects, and under these names:

- `relevance_score`: the score after the last stage; absent if no stage has given one.
- `retrieval_score`: that of the first stage, or the score that the document came with; absent if there is none.
- `rank`: from 1. `reranked`: False for a hit below the depth of the last reranker, absent for all others.
- `trace`: stage, rank, score and depth of nesting after every stage, as `Hit.trace` has them.
- `citations`: where the text stands in the document: id, start and end of every sentence that is kept, or of it all.
- `spans`, `original_text`: of a pruned document, all its sentences, and the text that their offsets point into.
- `title`: of a document with one that comes from a corpus.
- `notes`: what the ledger says of it, such as that a model did not read all of it.
- `replaced_metadata`: what the document itself had under one of these names.

They are plain values, as JSON holds them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rankloom.corpus_formats import metadata_json
from rankloom.errors import DataError
from rankloom.kept_text import kept_text
from rankloom.ledger import Note
from rankloom.ranked_list import Hit
from rankloom.ranking import ScoreKind
from rankloom.records import Document
from rankloom.run import Step

_SCORES = ("relevance_score", "retrieval_score")
#: The names that are rankloom's; `title` is the document's own.
NAMES = frozenset(
    {*_SCORES, "rank", "reranked", "trace", "citations", "spans", "original_text", "notes", "replaced_metadata"}
)


@dataclass(frozen=True, slots=True)
class Given:
    """A host's document, as it is read.

    Args:
        text: The text as the host holds it.
        doc_id: The host's id; empty if it has none.
        metadata: All of it, whatever it holds.
        title: Read by rerankers before the text.
        score: What the host ranked it by, or None.
    """

    text: str
    doc_id: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Earlier:
    """What is known of a document before it is ranked.

    Args:
        text: The text that stages shall read: the original one, if an adapter has pruned it.
        metadata: Its own metadata, without what an adapter has added.
        facts: What an adapter has added.
    """

    text: str
    metadata: dict[str, Any]
    facts: dict[str, Any]

    @classmethod
    def of(cls, given: Given) -> Earlier:
        """Read a host's document."""
        metadata = given.metadata
        if not (isinstance(metadata.get("trace"), list) and "citations" in metadata and "rank" in metadata):
            return cls(given.text, dict(metadata), {})
        facts = {name: value for name, value in metadata.items() if name in NAMES}
        own = {name: value for name, value in metadata.items() if name not in NAMES}
        original = facts.get("original_text", given.text)
        if "spans" in facts and kept_of(original, facts["spans"]) != given.text:  # somebody else has changed the text
            for name in ("spans", "original_text", "citations"):
                facts.pop(name, None)
            original = given.text
        return cls(original, own, facts)


def facts_of(hit: Hit, text: str, doc_id: str, notes: Iterable[Note]) -> dict[str, Any]:
    """What a hit says of itself, but its scores."""
    facts: dict[str, Any] = {"rank": hit.rank}
    if not hit.reranked:
        facts["reranked"] = False
    kept = [(0, len(text))] if text else []
    if hit.spans is not None:
        facts |= {"spans": [asdict(span) for span in hit.spans], "original_text": text}
        kept = [(span.start, span.end) for span in hit.spans if span.kept]
    facts["citations"] = [{"doc_id": doc_id, "start": start, "end": end} for start, end in kept]
    if said := [note for note in notes if note.doc_id == hit.doc_id]:
        facts["notes"] = [
            {"stage": note.stage, "kind": note.kind, "amount": note.amount, "detail": note.detail} for note in said
        ]
    return facts


def with_facts(metadata: Mapping[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """Metadata and facts; what the document itself had under these names is put aside, but scores."""
    replaced = {
        name: value
        for name, value in metadata.items()
        if (name in facts and not (isinstance(value, str) and value == facts[name]))
        or (name in NAMES and not (name in _SCORES and is_score(value)))
    }
    kept = {name: value for name, value in metadata.items() if name not in replaced}
    return {**kept, **facts, **({"replaced_metadata": replaced} if replaced else {})}


def is_score(value: object) -> bool:
    """Whether a value may be a score."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def trace_of(hit: Hit, place: int, score: float | None, steps: Sequence[Step]) -> list[dict[str, Any]]:
    """The way of a document, with the score that it came with for as long as no stage has given another."""
    kinds = iter([None if step.ranking is None else step.ranking.kind for step in steps])
    entries = []
    for entry in map(asdict, hit.trace):
        if entry["depth"] == 0 and is_place(entry["score"], place, next(kinds)):
            entry["score"] = score
        entries.append(entry)
    return entries


def is_place(score: float | None, place: int, kind: ScoreKind | None) -> bool:
    """Whether no stage has given a score: a run of documents begins with their places, which pruners leave."""
    return kind is ScoreKind.RANK and score == -float(place)


def kept_of(text: str, spans: Iterable[Mapping[str, Any]]) -> str:
    """What pruning has left of a text."""
    return kept_text(text, [(span["start"], span["end"]) for span in spans if span["kept"]])


def json_part(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What stages may read of metadata: what JSON can hold, since caches know documents by it."""
    part = {}
    for name, value in metadata.items():
        try:
            metadata_json(Document("one", "", metadata={name: value}))
        except (DataError, RecursionError):
            continue
        part[name] = value
    return part
