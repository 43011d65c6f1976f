"""Stages that look at one query and one document at a time, and remember every pair.

What a model makes of a pair is kept in the session's cache under the pair's texts, the stage's parameters and the
model, so a second run, a deeper one, or another pipeline over the same candidates pays only for pairs never seen.
Pairs are computed and stored a group of queries at a time: a killed run loses one group at most.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rankloom.cache import Cache
from rankloom.codec import pack, unpack
from rankloom.encoders import truncation_note
from rankloom.errors import DataError, StageError
from rankloom.fingerprint import digest
from rankloom.ledger import Note
from rankloom.records import Document, Documents
from rankloom.run import Run
from rankloom.session import Session
from rankloom.stage import Stage, source_of

_log = logging.getLogger("rankloom")


@dataclass(frozen=True, slots=True)
class Pair:
    """A query's text and a document.

    Args:
        query: The text of the query, not blank.
        document: The document.
    """

    query: str
    document: Document


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a model made of one pair; this is what the cache holds.

    Args:
        arrays: Scores, offsets and the like by name, of plain dtypes.
        truncated: Tokens of the pair that the model did not read.
        passing: Whether asking again may give a better one, so that it is not to be remembered.
    """

    arrays: Mapping[str, NDArray[np.generic]]
    truncated: int = 0
    passing: bool = False

    def and_with(self, name: str, number: int) -> Outcome:
        """The same outcome with one more number."""
        return Outcome({**self.arrays, name: np.array([number])}, self.truncated, self.passing)


@dataclass(frozen=True, slots=True)
class Computed:
    """What a model made of several pairs, and what that took.

    Args:
        outcomes: One for each pair, in their order; where a budget has stopped it, for the first of them alone.
        calls: Batches that went through a model, or requests.
        tokens: Tokens that models read and wrote.
        stopped: Which limit of the budget was reached before the other pairs; empty if none was.
        written: Those of the tokens that models wrote.
    """

    outcomes: list[Outcome]
    calls: int
    tokens: int
    stopped: str = ""
    written: int = 0


class LookedAt(NamedTuple):
    """What a stage has seen of a run.

    Args:
        run: The run, with costs and notes.
        outcomes: One for each of the first `counts` hits of each query, in the order of the ranking.
        counts: int64 of shape (queries,).
    """

    run: Run
    outcomes: list[Outcome]
    counts: NDArray[np.int64]


class PairStage(Stage):
    """A stage whose result for a query and a document depends on nothing else.

    A subclass implements `compute` and `identity`, and calls `outcomes` from `__call__`.

    Attributes:
        depth: How many hits of each query it looks at, from the top; a parameter.
        neutral: Parameters that change results by float noise at most, and take no part in fingerprints.
        decides_later: Parameters that change what becomes of a pair's outcome but not the outcome; they take no part
            in the cache's keys.
    """

    grain = "none"
    unit = 8
    neutral: ClassVar[frozenset[str]] = frozenset({"batch_size"})
    decides_later: ClassVar[frozenset[str]] = frozenset({"depth"})
    depth: int

    @abstractmethod
    def compute(self, pairs: Sequence[Pair], session: Session) -> Computed:
        """What the model makes of some pairs. Nothing but float noise may depend on the company of a pair."""

    @abstractmethod
    def identity(self, session: Session | None = None) -> str:
        """What outcomes depend on besides the parameters: the model's fingerprint.

        Args:
            session: Tells whether a model that is not on this machine may be fetched; None opens no socket, and
                gives the model's name in place of a fingerprint if it is not here.
        """

    def fingerprint(self) -> str:
        """A digest of the class, its version, its parameters and its model."""
        return self._digest(self.neutral, self.identity())

    def looked_at(self, run: Run) -> NDArray[np.int64]:
        """How many hits of each query are looked at: `depth` at most, and none for a query without text."""
        counts = np.minimum(run.hits(stage=self.name).counts(), self.depth)
        return counts * np.array([bool(query.text.strip()) for query in run.queries], dtype=np.int64)

    def outcomes(self, run: Run) -> LookedAt:
        """What the model makes of the hits that are looked at, from the cache as far as it is known.

        A query that the session's budget did not suffice for is noted as `unfinished`: fewer of its hits, from the top,
        have been looked at.

        Args:
            run: A run with a ranking and texts.

        Returns:
            The run, with costs, a note for every pair that was cut, and one for every query with hits but no text;
            outcomes, and of how many hits.

        Raises:
            DataError: A pair is longer than the model reads, and the session's policy is `error`.
        """
        ranking, documents = run.hits(stage=self.name), run.texts(stage=self.name)
        key = self._key(run.session)
        wanted = self.looked_at(run)
        blank = np.flatnonzero((wanted == 0) & (ranking.counts() > 0))
        notes = [Note(self.name, "empty_query", run.queries[number].id) for number in blank]
        outcomes: list[Outcome] = []
        counts = np.zeros_like(wanted)
        cached = calls = tokens = written = 0
        with run.session.progress.task(self.name, int(wanted.sum())) as advance:
            for start in range(0, len(run), self.unit):
                ids = {
                    number: ranking.doc_ids(number)[: int(wanted[number])]
                    for number in range(start, min(start + self.unit, len(run)))
                }
                pairs = _pairs(run, documents, ids)
                some, from_cache, spent = self._group(pairs, key, run.session)
                told = _first_known(ids, some)
                for number, own in told.items():
                    counts[number] = len(own)
                    outcomes.extend(own)
                    notes.extend(self._truncations(run, number, ids[number], own))
                    if len(own) < len(ids[number]):
                        detail = f"{spent.stopped}; its first {len(own)} hits are done"
                        notes.append(Note(self.name, "unfinished", run.queries[number].id, detail=detail))
                cached, calls, tokens = cached + from_cache, calls + spent.calls, tokens + spent.tokens
                written += spent.written
                advance(len(pairs))
        noted = run.noted(*notes)
        counted = noted.counted(inputs=len(outcomes), cached=cached, calls=calls, tokens=tokens, written=written)
        return LookedAt(counted, outcomes, counts)

    def of_pairs(self, pairs: Sequence[Pair], session: Session) -> tuple[list[Outcome | None], Computed]:
        """What the model makes of pairs that another stage asks about, from the cache as far as it is known.

        Args:
            pairs: The pairs; equal ones are computed once.
            session: How to carry it out; its cache is this stage's own.

        Returns:
            An outcome for each pair, None where a budget has not sufficed; and what was computed.
        """
        outcomes, _, computed = self._group(pairs, self._key(session), session)
        return outcomes, computed

    def _key(self, session: Session) -> str:
        """What outcomes depend on besides the pair."""
        return self._digest(self.neutral | self.decides_later, self.identity(session), session.numerics())

    def _group(self, pairs: Sequence[Pair], key: str, session: Session) -> tuple[list[Outcome | None], int, Computed]:
        """Outcomes of a group of pairs, how many came from the cache, and what was computed; equal pairs once."""
        keys = [digest(key, *self._read(pair)) for pair in pairs]
        known = known_outcomes(session.cache, keys)
        from_cache = sum(one in known for one in keys)
        missing = {one: pair for one, pair in zip(keys, pairs, strict=True) if one not in known}
        computed = self.compute(list(missing.values()), session) if missing else Computed([], 0, 0)
        given = len(computed.outcomes)
        if given > len(missing) or (given < len(missing) and not computed.stopped):
            raise StageError(f"gave {given} outcomes for {len(missing)} pairs", stage=self.name)
        fresh = dict(zip(missing, computed.outcomes, strict=False))  # a budget may have stopped it
        keep_outcomes(session.cache, fresh, stage=self.name)
        known.update(fresh)
        return [known.get(one) for one in keys], from_cache, computed

    def _read(self, pair: Pair) -> tuple[object, ...]:
        """What an outcome depends on besides the stage and its model."""
        return (pair.query, pair.document.title, pair.document.text)

    def _digest(self, left_out: frozenset[str], *others: str) -> str:
        """A digest of the class (of another package's, with its source), its version, most parameters, and more."""
        parameters = {name: value for name, value in self.params().items() if name not in left_out}
        source = source_of(type(self))
        return digest(type(self).__module__, type(self).__qualname__, self.version, parameters, others, *source)

    def _truncations(self, run: Run, number: int, ids: Sequence[str], outcomes: Sequence[Outcome]) -> list[Note]:
        """A note for each pair of a query that was cut; an error if the session has it so."""
        query_id = run.queries[number].id
        return [
            truncation_note(run.session, stage=self.name, tokens=outcome.truncated, query_id=query_id, doc_id=doc_id)
            for doc_id, outcome in zip(ids, outcomes, strict=False)
            if outcome.truncated
        ]


def _first_known(ids: Mapping[int, list[str]], outcomes: Sequence[Outcome | None]) -> dict[int, list[Outcome]]:
    """The outcomes of each query's hits, up to the first hit that has none."""
    places = iter(outcomes)
    told: dict[int, list[Outcome]] = {}
    for number, own in ids.items():
        some = [next(places) for _ in own]
        end = some.index(None) if None in some else len(some)
        told[number] = [outcome for outcome in some[:end] if outcome is not None]
    return told


def _pairs(run: Run, documents: Documents, wanted: Mapping[int, list[str]]) -> list[Pair]:
    """The pairs of some queries, given the documents of each, in their order."""
    unique = list(dict.fromkeys(doc_id for ids in wanted.values() for doc_id in ids))
    texts = dict(zip(unique, documents.get(unique), strict=True))
    return [Pair(run.queries[number].text, texts[doc_id]) for number, ids in wanted.items() for doc_id in ids]


def keep_outcomes(cache: Cache | None, outcomes: Mapping[str, Outcome], *, stage: str) -> None:
    """Let the cache, if there is one, remember outcomes under their keys."""
    lasting = {one: outcome for one, outcome in outcomes.items() if not outcome.passing}
    if cache is not None and lasting:
        packed = {one: pack({"truncated": outcome.truncated}, outcome.arrays) for one, outcome in lasting.items()}
        cache.put(packed, stage=stage)


def known_outcomes(cache: Cache | None, keys: Sequence[str]) -> dict[str, Outcome]:
    """The outcomes that the cache holds; a damaged one is computed again."""
    known: dict[str, Outcome] = {}
    if cache is None:
        return known
    damaged = []
    for key, data in cache.get(dict.fromkeys(keys)).items():
        try:
            values, arrays = unpack(data)
        except DataError:
            _log.warning("a damaged entry of the cache is computed again: %s", key)
            damaged.append(key)
            continue
        known[key] = Outcome(arrays, int(values["truncated"]))  # type: ignore[call-overload]  # as packed
    cache.drop(damaged)
    return known
