"""Measures of a run against judgements, as ir-measures defines them, in exactly our order of hits."""

from __future__ import annotations

import re
from collections.abc import Collection as Container
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rankloom.errors import ConfigError, UsageError, nearest
from rankloom.eval import column_measures
from rankloom.eval.relevant_hits import RelevantHits
from rankloom.ledger import Note
from rankloom.order import strictly_decreasing
from rankloom.qrels import Qrels
from rankloom.ranking import Ranking
from rankloom.run import Run

_QUERIES_AT_A_TIME = 256  # bounds the Python objects that ir-measures needs of a run


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the measures say of one run.

    Args:
        measures: The measures, as they were asked for.
        exact: Measure -> what was computed, in ir-measures' words, such as `AP` -> `AP(rel=2)` for TREC Deep Learning.
        per_query: Measure -> query id -> value, for all judged queries, in the order of the judgements.
        means: Measure -> mean over all judged queries (the sum for counts such as NumRet).
        missing: Judged queries for which the run has no hits; they count as 0.
        unjudged_queries: Queries of the run without judgements; they do not count.
        unanswerable: Judged queries without any relevant document; they can only score 0, and they count.
        removed_hits: Hits taken out before any cut-off because the collection says so.
        nothing_to_keep: What is labelled (`sentences`, `answers`) -> judged queries whose documents held none of it
            when they were pruned; they count, as `rankloom.eval.pruning` says. Empty where nothing was pruned.
    """

    measures: tuple[str, ...]
    exact: Mapping[str, str]
    per_query: Mapping[str, Mapping[str, float]]
    means: Mapping[str, float]
    missing: tuple[str, ...] = ()
    unjudged_queries: tuple[str, ...] = ()
    unanswerable: tuple[str, ...] = ()
    removed_hits: int = 0
    nothing_to_keep: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def with_values(self, values: Mapping[str, Mapping[str, float]]) -> Evaluation:
        """With more measures of the same run: measure -> query id -> value, for all judged queries."""
        means = {name: sum(found.values()) / len(found) for name, found in values.items()}
        return replace(
            self,
            measures=(*self.measures, *values),
            exact={**self.exact, **{name: name for name in values}},
            per_query={**self.per_query, **values},
            means={**self.means, **means},
        )

    def in_order(self, measures: Sequence[str]) -> Evaluation:
        """The same measures in another order, or some of them."""
        return replace(
            self,
            measures=tuple(measures),
            exact={name: self.exact[name] for name in measures},
            per_query={name: self.per_query[name] for name in measures},
            means={name: self.means[name] for name in measures},
        )

    @property
    def notes(self) -> tuple[Note, ...]:
        """A `missing_query` note for each missing query."""
        return tuple(Note("evaluate", "missing_query", query_id) for query_id in self.missing)


def evaluate(
    run: Run,
    qrels: Mapping[str, Mapping[str, int]],
    measures: Sequence[str],
    *,
    drop_self_hits: bool = False,
    excluded: Mapping[str, Container[str]] | None = None,
    relevance_level: int = 1,
) -> Evaluation:
    """Measure a run.

    Hits count in our order (score descending, document id ascending). The common measures are computed on columns;
    ir-measures computes all others, and is given strictly decreasing scores, so that it sees the same order.
    Means are over all judged queries, whether the run holds them or not.

    Args:
        run: A run with a ranking.
        qrels: Query id -> document id -> grade.
        measures: Names as in ir-measures: `nDCG@10`, `R@100`, `AP`, `RR@10`, `P(rel=2)@5`.
        drop_self_hits: Take out hits whose document id is the query's id.
        excluded: Query id -> document ids to be taken out of its ranking.
        relevance_level: Least grade that counts as relevant in binary measures which do not name one (`rel=`).

    Raises:
        ConfigError: An unknown measure, or one whose provider is not installed.
        CompositionError: The run has no ranking.
        UsageError: There are no judgements.

    Example:
        >>> run = Run.from_dict({"q1": {"d1": 2.0, "d2": 1.0}})
        >>> evaluate(run, {"q1": {"d2": 1}, "q2": {"d1": 1}}, ["RR", "R@1"]).means
        {'RR': 0.25, 'R@1': 0.0}
    """
    if not any(qrels.values()):
        raise UsageError("there are no judgements to measure against", stage="evaluate")
    judged = [query_id for query_id, grades in qrels.items() if grades]
    parsed = {name: parse_measure(name, relevance_level=relevance_level) for name in measures}
    before = run.hits(stage="evaluate")
    ranking = counted_hits(run, drop_self_hits, excluded or {})
    places = {query.id: place for place, query in enumerate(run.queries)}
    counts = before.counts()
    values = _values(list(dict.fromkeys(parsed.values())), qrels, judged, ranking, places)
    return Evaluation(
        measures=tuple(parsed),
        exact={name: str(measure) for name, measure in parsed.items()},
        per_query={name: values[measure] for name, measure in parsed.items()},
        means={name: _aggregate(measure, values[measure].values()) for name, measure in parsed.items()},
        missing=tuple(query_id for query_id in judged if query_id not in places or not counts[places[query_id]]),
        unjudged_queries=tuple(query_id for query_id in places if not qrels.get(query_id)),
        unanswerable=tuple(query_id for query_id in judged if max(qrels[query_id].values()) < relevance_level),
        removed_hits=len(before.codes) - len(ranking.codes),
    )


def parse_measure(name: str, *, relevance_level: int = 1) -> Any:
    """A measure of ir-measures by its name.

    Args:
        name: Such as `nDCG@10`.
        relevance_level: Least grade that is relevant, for binary measures that do not say so themselves.

    Raises:
        ConfigError: There is no such measure; names the nearest. Or its parameters do not fit, or nothing installed
            computes it.
    """
    import ir_measures
    from ir_measures.measures import registry

    try:
        measure = ir_measures.parse_measure(name)
    except (NameError, ValueError, TypeError, SyntaxError) as error:
        word = re.split(r"[@(]", name, maxsplit=1)[0].strip()
        close = nearest(word, registry) or next((known for known in registry if known.lower() == word.lower()), None)
        raise ConfigError(
            "unknown or malformed measure",
            stage="evaluate",
            value=name,
            accepted="measures of ir-measures, such as nDCG@10, R@100, AP, RR@10, P(rel=2)@5",
            fix=f"did you mean {name.replace(word, close, 1)!r}?" if close and close != word else str(error),
        ) from error
    level = measure.SUPPORTED_PARAMS.get("rel")
    if level is not None and level.default == 1 and "rel" not in measure.params and relevance_level != 1:
        measure = measure(rel=relevance_level)
    try:
        pipeline: Any = ir_measures.DefaultPipeline
        supported = pipeline.supports(measure)
    except (AssertionError, ValueError, KeyError, TypeError) as error:  # raised for parameters that do not fit
        raise ConfigError(f"the measure can not be computed: {error}", stage="evaluate", value=name) from error
    if measure.params.get("cutoff", 1) < 1:  # trec_eval would end the process
        raise ConfigError(
            "a cut-off is below 1", stage="evaluate", value=name, accepted="1, 2, 3, ...", fix="leave it out for none"
        )
    if not supported:
        raise ConfigError(
            "nothing installed computes this measure",
            stage="evaluate",
            value=str(measure),
            fix="see ir-measures' documentation for the package that provides it",
        )
    return measure


def counted_hits(run: Run, drop_self_hits: bool, excluded: Mapping[str, Container[str]]) -> Ranking:
    """The hits of a run that count: without self hits and excluded documents; see `evaluate` for the arguments."""
    ranking = run.hits(stage="evaluate")
    if not (drop_self_hits or excluded):
        return ranking
    keep = np.ones(len(ranking.codes), dtype=np.bool_)
    if drop_self_hits:
        own = ranking.ids.codes([query.id for query in run.queries])
        keep &= ranking.codes != np.repeat(own, ranking.counts())
    for number, query in enumerate(run.queries):
        if unwanted := excluded.get(query.id):
            start, end = ranking.bounds(number)
            keep[start:end] &= ~np.isin(ranking.codes[start:end], ranking.ids.codes(list(unwanted)))
    if keep.all():
        return ranking
    ends = np.concatenate([[0], np.cumsum(keep)])
    return replace(
        ranking,
        offsets=ends[ranking.offsets],
        codes=ranking.codes[keep],
        scores=ranking.scores[keep],
        scored=None,
        spans=None,
    )


def _values(
    measures: list[Any],
    qrels: Mapping[str, Mapping[str, int]],
    judged: list[str],
    ranking: Ranking,
    places: Mapping[str, int],
) -> dict[Any, dict[str, float]]:
    """Measure -> query id -> value, for all judged queries."""
    on_columns = [measure for measure in measures if column_measures.supports(measure)]
    values: dict[Any, dict[str, float]] = {measure: dict.fromkeys(judged, 0.0) for measure in measures}
    if on_columns:
        rows = np.array([places.get(query_id, -1) for query_id in judged])
        relevant = RelevantHits.match(ranking, rows, [qrels[query_id] for query_id in judged])
        for measure in on_columns:
            values[measure] = dict(zip(judged, column_measures.compute(measure, relevant).tolist(), strict=True))
    others = [measure for measure in measures if measure not in on_columns]
    if others:
        for measure, query_id, value in _computed_by_ir_measures(others, qrels, judged, ranking, places):
            values[measure][query_id] = value
    return values


def _computed_by_ir_measures(
    measures: list[Any],
    qrels: Mapping[str, Mapping[str, int]],
    judged: list[str],
    ranking: Ranking,
    places: Mapping[str, int],
) -> Iterator[tuple[Any, str, float]]:
    """Measure, query id and value, for judged queries with hits."""
    import ir_measures

    scores = strictly_decreasing(ranking.offsets, ranking.scores)
    counts = ranking.counts()
    ranked = [query_id for query_id in judged if query_id in places and counts[places[query_id]]]
    for start in range(0, len(ranked), _QUERIES_AT_A_TIME):
        batch = ranked[start : start + _QUERIES_AT_A_TIME]
        hits: dict[str, dict[str, float]] = {}
        for query_id in batch:
            first, last = ranking.bounds(places[query_id])
            hits[query_id] = dict(
                zip(ranking.doc_ids(places[query_id]), scores[first:last].astype(np.float64).tolist(), strict=True)
            )
        grades: Qrels = {query_id: dict(qrels[query_id]) for query_id in batch}
        for metric in ir_measures.iter_calc(measures, grades, hits):
            yield metric.measure, metric.query_id, float(metric.value)


def _aggregate(measure: Any, values: Iterable[float]) -> float:
    """The mean, or for counts the sum, as the measure itself says."""
    aggregator = measure.aggregator()
    for value in values:
        aggregator.add(value)
    return float(aggregator.result())
