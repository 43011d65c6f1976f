"""The ledger: what a user would otherwise never learn about a run.

Notes say what happened to a query or a document (a text was cut, a query found nothing). Costs say what each stage
spent. Notes are kept with cached results, so a run served from the cache tells the same story as the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Literal, get_args

NoteKind = Literal[
    "truncated",  # a text was longer than the model reads; `amount` tokens were not read
    "empty_query",  # a query had nothing to search for
    "no_hits",  # a query found no document
    "approximate",  # a search has left out documents that may belong among the hits, as asked for
    "unread_settings",  # a query brings parameters of a stage that no stage has read
    "no_feedback",  # a feedback stage left a query as it was
    "cut_feedback",  # `amount` words (tokens, of a learned query encoder) of feedback documents had no room
    "less_feedback",  # a model read `amount` feedback documents fewer than it was trained with
    "unread_document",  # a feedback document is not in the index that the feedback reads; the others count
    "no_vectors",  # of a query or a document no token counts (it is empty, or punctuation); MaxSim with it is 0
    "not_reranked",  # `amount` hits below the reranker's depth keep the order of the stage before
    "dropped_hits",  # `amount` hits were taken out of a query's ranking, as asked for
    "unknown_source",  # a hit's source has no weight; it is kept as it is
    "nothing_kept",  # a pruner kept no sentence of a document
    "empty_document",  # a document has no text, so that nothing will find it; or no term, for feedback to read
    "skipped_record",  # a bad record was passed over, as asked for
    "no_context",  # a query had no passage to be answered from, and the language model was not asked
    "cut_output",  # an output of a language model was stopped before its end (at its limit), after `amount` tokens
    "empty_output",  # a language model said nothing, or nothing but a thought
    "unparsed_output",  # an output of a language model has not the form asked for; `detail` says what became of it
    "repaired_output",  # an output of a language model was read with `amount` repairs; `detail` counts them by kind
    "unlisted_label",  # of `amount` labels a server told no likelihood; they count as less likely than those it told
    "unfinished",  # a budget was spent too early: a ranking is the best so far, a query stays as it is or unanswered
    "uncounted_tokens",  # a model counted no tokens in `amount` calls, so that a budget of tokens or money is not kept
    "unknown_citation",  # an answer cites `amount` numbers that no passage has
    "skipped_files",  # `amount` files of a folder of documents are of another format
    "unverified_download",  # neither its checksum nor its length could be checked; it may have been cut off
    "missing_query",  # a judged query is not in the run; it counts as 0
]
NOTE_KINDS: tuple[str, ...] = get_args(NoteKind)


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that happened to one query or document.

    Args:
        stage: The stage or reader that noticed.
        kind: What happened, one of `NOTE_KINDS`.
        query_id: The query, or empty.
        doc_id: The document, or empty.
        amount: How much, in the unit of the kind (tokens, hits, records).
        detail: Anything more, in words.
    """

    stage: str
    kind: NoteKind
    query_id: str = ""
    doc_id: str = ""
    amount: int = 1
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one stage spent on one run.

    Args:
        stage: Label of the stage.
        lineage: Digest of the run that came out; the same work met twice counts once.
        inputs: Units of work asked for (queries, or query-document pairs for pointwise rerankers).
        cached: How many of them came from the cache.
        calls: Model calls (batches of an encoder, requests to an LLM).
        tokens: Tokens read and written by models.
        seconds: Wall-clock seconds, cache look-ups included.
        written: Those of the tokens that models wrote; providers ask more for them than for those read.
        model: Name of the model that it was spent on; empty if the stage has none.
    """

    stage: str
    lineage: str = ""
    inputs: int = 0
    cached: int = 0
    calls: int = 0
    tokens: int = 0
    seconds: float = 0.0
    written: int = 0
    model: str = ""


_AMOUNTS = tuple(f.name for f in fields(Cost) if f.name not in ("stage", "lineage", "model"))


@dataclass(frozen=True, slots=True)
class Ledger:
    """All notes and costs of a run, in the order of its stages.

    Example:
        >>> ledger = Ledger().noted(Note("bm25", "no_hits", "q7"))
        >>> ledger.counts()
        {'no_hits': 1}
    """

    notes: tuple[Note, ...] = ()
    costs: tuple[Cost, ...] = ()

    def noted(self, *notes: Note) -> Ledger:
        """The ledger with notes added."""
        return Ledger(self.notes + notes, self.costs) if notes else self

    def spent(self, cost: Cost) -> Ledger:
        """The ledger with a cost added."""
        return Ledger(self.notes, (*self.costs, cost))

    def __add__(self, other: Ledger) -> Ledger:
        """Both ledgers; what stands in both (the shared first stages of a fusion) counts once.

        Costs are the same if their lineage is, and notes if they are one object: two stages may well have equal
        things to say of a query.
        """
        notes = {id(note): note for note in self.notes + other.notes}
        costs = {cost.lineage: cost for cost in self.costs + other.costs}
        return Ledger(tuple(notes.values()), tuple(costs.values()))

    def by_stage(self) -> dict[str, Cost]:
        """Costs summed by stage label, in the order of the stages."""
        sums: dict[str, Cost] = {}
        for cost in self.costs:
            known = sums.get(cost.stage, Cost(cost.stage))
            amounts = {name: getattr(known, name) + getattr(cost, name) for name in _AMOUNTS}
            sums[cost.stage] = Cost(cost.stage, **amounts)
        return sums

    def seconds(self) -> float:
        """Seconds of all stages together."""
        return sum(cost.seconds for cost in self.costs)

    def of(self, kind: NoteKind) -> tuple[Note, ...]:
        """The notes of one kind."""
        return tuple(note for note in self.notes if note.kind == kind)

    def counts(self) -> dict[str, int]:
        """How many notes there are of each kind, in the order of `NOTE_KINDS`."""
        found: Counter[str] = Counter(note.kind for note in self.notes)
        return {kind: found[kind] for kind in NOTE_KINDS if found[kind]}

    def only(self, query_ids: Iterable[str]) -> Ledger:
        """The notes about some queries, without costs."""
        wanted = set(query_ids)
        return Ledger(tuple(note for note in self.notes if note.query_id in wanted))

    def to_dict(self) -> dict[str, object]:
        """A JSON form: counts, notes and costs."""
        return {
            "counts": self.counts(),
            "notes": [{f.name: getattr(note, f.name) for f in fields(note)} for note in self.notes],
            "costs": [{f.name: getattr(cost, f.name) for f in fields(cost)} for cost in self.costs],
        }
