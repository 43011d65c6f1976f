"""Results of stages in the cache, one entry a query: how a second run costs nothing and a killed run goes on.

An entry holds what the stage did to one query: its hits (or its rewritten form) and the notes about it. Work is
done and stored in units of queries that lie on a fixed grid, so an interrupted run and an uninterrupted one make
the same batches and give the same bytes. For the same reason units may be carried out on several threads, where the
stage says that it can bear it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from rankloom.cache import Cache
from rankloom.codec import pack, unpack
from rankloom.errors import DataError, StageError
from rankloom.fingerprint import digest
from rankloom.ids import DocIds, lengths_and_bytes, strings_of
from rankloom.ledger import Ledger, Note
from rankloom.order import check_finite
from rankloom.parallel import completed
from rankloom.ranking import Ranking, ScoreKind, concatenate
from rankloom.records import Query, Span
from rankloom.run import Run
from rankloom.stage import Stage

_log = logging.getLogger("rankloom")
_FORMAT = "results 2"  # of an entry; part of every key
_PASSING = frozenset({"unfinished", "empty_output"})  # notes of results that the next run may make better
_COLUMNS = ("lengths", "ids", "scores")


def call_with_cache(stage: Stage, run: Run) -> tuple[Run, int]:
    """The run after a stage, and how many queries came from the cache."""
    cache = run.session.cache
    threads = run.session.threads if stage.parallel else 1
    if stage.grain == "none" or not len(run) or (cache is None and threads == 1):
        return _called(stage, run), 0
    keys = [] if cache is None else _keys(stage, run)
    known = {} if cache is None else _known(cache, keys, run)
    parts: list[tuple[list[int], Run]] = []
    if known:
        numbers = [number for number, key in enumerate(keys) if key in known]
        parts.append((numbers, _restored(run.select(numbers), [known[keys[number]] for number in numbers])))
    missing = [number for number in range(len(run)) if not keys or keys[number] not in known]
    if threads > 1 and missing:
        stage.warm_up(run.session)  # once, not in every thread
    with run.session.progress.task(stage.name, len(run)) as advance:
        advance(len(run) - len(missing))
        units = list(_units(missing, stage.unit))
        for unit, done in completed(lambda numbers: _called(stage, run.select(numbers)), units, threads=threads):
            if cache is not None:
                cache.put(
                    {
                        keys[number]: _entry(done, place)
                        for place, number in enumerate(unit)
                        if not _passing(done, place)
                    },
                    stage=stage.name,
                )
            parts.append((unit, done))
            advance(len(unit))
    return _joined(run, sorted(parts, key=lambda part: part[0])), len(run) - len(missing)


def _called(stage: Stage, run: Run) -> Run:
    """What a stage makes of a run, if it is a run of the same queries with finite scores.

    Raises:
        StageError: It is not. Names the stage.
    """
    after = stage(run)
    if not isinstance(after, Run):
        raise StageError("returned something else than a run", stage=stage.name, value=after)
    if [query.id for query in after.queries] != [query.id for query in run.queries]:
        raise StageError("returned other queries than it was given", stage=stage.name, accepted="the same, in order")
    if after.ranking is not None and len(after.ranking) != len(after.queries):
        raise StageError(
            f"returned a ranking of {len(after.ranking)} queries", stage=stage.name, accepted=f"{len(after.queries)}"
        )
    if after.ranking is not None:
        check_finite(after.ranking.scores, stage=stage.name)
    return after


def _keys(stage: Stage, run: Run) -> list[str]:
    """A key for each query: all that its result depends on, or that the stage may pass on unread."""
    takes_ranking = "ranking" in stage.needs or "ranking" not in stage.provides | stage.drops
    held = run.ranking if takes_ranking else None
    common = digest(_FORMAT, stage, run.session.numerics(), run.documents if held is not None else None)
    hits = [None] * len(run) if held is None else [_hits(held.slice(n, n + 1)) for n in range(len(run))]
    return [digest(common, query, known) for query, known in zip(run.queries, hits, strict=True)]


def _hits(one: Ranking) -> list[object]:
    """One query's hits and all that is known about them."""
    spans = one.spans and [None if spans is None else [_values(span) for span in spans] for spans in one.spans]
    return [*lengths_and_bytes(one.ids.strings(one.codes)), one.scores, one.kind, one.scored, spans]


def _known(cache: Cache, keys: list[str], run: Run) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """The entries that are there, whole, and to be served under the session's policies."""
    known: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    damaged = []
    for key, data in cache.get(keys).items():
        try:
            entry: tuple[dict[str, Any], dict[str, Any]] = unpack(data)
        except DataError:
            _log.warning("a damaged entry of the cache is computed again: %s", key)
            damaged.append(key)
            continue
        truncated = any(note["kind"] == "truncated" for note in entry[0]["notes"])
        if not (truncated and run.session.on_truncate == "error"):  # else the stage is to raise its error again
            known[key] = entry
    cache.drop(damaged)
    return known


def _units(numbers: list[int], unit: int) -> Iterator[list[int]]:
    """Numbers in groups that never cross a multiple of the unit."""
    group: list[int] = []
    for number in numbers:
        if group and number // unit != group[0] // unit:
            yield group
            group = []
        group.append(number)
    if group:
        yield group


def _passing(done: Run, place: int) -> bool:
    """Whether a query's result is not to be kept: a budget stopped it, or a model had nothing to say."""
    query_id = done.queries[place].id
    return any(note.query_id == query_id and note.kind in _PASSING for note in done.ledger.notes)


def _entry(done: Run, place: int) -> bytes:
    """What a stage did to one query, as bytes."""
    query = done.queries[place]
    values: dict[str, object] = {
        "query": [query.text, None if query.terms is None else dict(query.terms), list(query.vectors)],
        "notes": [asdict(note) for note in done.ledger.notes if note.query_id == query.id],
    }
    arrays: dict[str, Any] = {f"vector{i}": vector for i, vector in enumerate(query.vectors.values())}
    if done.ranking is not None:
        one = done.ranking.slice(place, place + 1)
        values["kind"] = one.kind
        values["scored"] = None if one.scored is None else int(one.scored[0])
        if one.spans is not None:
            values["spans"] = [None if spans is None else [_values(span) for span in spans] for spans in one.spans]
        lengths, arrays["ids"] = lengths_and_bytes(one.ids.strings(one.codes))
        arrays["lengths"] = lengths.astype(np.int32)
        arrays["scores"] = one.scores
    return pack(values, arrays)


def _restored(run: Run, entries: list[tuple[dict[str, Any], dict[str, Any]]]) -> Run:
    """The run after a stage, for queries whose entries are all known."""
    queries = []
    notes: list[Note] = []
    for query, (values, arrays) in zip(run.queries, entries, strict=True):
        text, terms, names = values["query"]
        vectors = {name: arrays[f"vector{i}"] for i, name in enumerate(names)}
        rewritten = Query(query.id, text, None, vectors, query.metadata)
        queries.append(rewritten if terms is None else rewritten.with_terms(terms))
        notes.extend(Note(**{**note, "query_id": query.id}) for note in values["notes"])
    after = replace(run, queries=tuple(queries), ranking=None, ledger=Ledger(tuple(notes)))
    if "scores" not in entries[0][1]:
        return after
    return after.ranked(_restored_ranking(entries))


def _restored_ranking(entries: list[tuple[dict[str, Any], dict[str, Any]]]) -> Ranking:
    """Hits from entries; they were ordered and checked when they were stored."""
    values = [head for head, _ in entries]
    counts = [len(arrays["scores"]) for _, arrays in entries]
    lengths, text, scores = (np.concatenate([arrays[name] for _, arrays in entries]) for name in _COLUMNS)
    ids, codes = DocIds.encode(strings_of(lengths, text))
    spans: list[tuple[Span, ...] | None] = []
    if any("spans" in head for head in values):
        for head, count in zip(values, counts, strict=True):
            stored = head.get("spans", [None] * count)
            spans.extend(None if one is None else tuple(Span(*span) for span in one) for one in stored)
    scored = [count if head["scored"] is None else head["scored"] for head, count in zip(values, counts, strict=True)]
    return Ranking(
        ids,
        np.cumsum([0, *counts], dtype=np.int64),
        codes,
        scores,
        next(
            (ScoreKind(head["kind"]) for head, count in zip(values, counts, strict=True) if count),
            ScoreKind(values[0]["kind"]),
        ),
        None if all(head["scored"] is None for head in values) else np.array(scored, dtype=np.int64),
        tuple(spans) if spans else None,
    )


def _values(span: Span) -> list[object]:
    """The fields of a span, in order."""
    return [span.start, span.end, span.probability, span.kept, span.reason]


def _joined(run: Run, parts: list[tuple[list[int], Run]]) -> Run:
    """Parts of a run, each with the places of its queries, as the whole run."""
    places = np.argsort([number for numbers, _ in parts for number in numbers])
    queries = [query for _, part in parts for query in part.queries]
    rankings = [part.ranking for _, part in parts if part.ranking is not None]
    ledger = run.ledger
    for _, part in parts:
        ledger = Ledger(ledger.notes + part.ledger.notes, ledger.costs + part.ledger.costs)
    after = replace(run, queries=tuple(queries[place] for place in places), ranking=None, ledger=_by_query(ledger, run))
    return after.ranked(concatenate(rankings).select(places)) if rankings else after


def _by_query(ledger: Ledger, run: Run) -> Ledger:
    """Notes in the order of the stages and, within a stage, of the queries, whatever came from the cache."""
    before = len(run.ledger.notes)
    place = {query.id: number for number, query in enumerate(run.queries)}
    fresh = sorted(ledger.notes[before:], key=lambda note: place.get(note.query_id, -1))
    return Ledger(ledger.notes[:before] + tuple(fresh), ledger.costs)
