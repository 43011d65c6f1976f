"""What the scripts of the report read: every query's values under every measure, and the traces that are stored.

Values are columns, one list for each measure and pipeline, so that 10,000 queries of 6 pipelines stay a few megabytes.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankloom.eval.per_query import TIE
from rankloom.eval.report.traces import DocumentText, QueryTrace, chosen_queries, stored_traces

if TYPE_CHECKING:
    from rankloom.eval.results import ExperimentResult

#: Decimals of per-query values: finer than `TIE`, so that the page counts the wins and losses that the tests count.
DIGITS = 10


@dataclass(frozen=True, slots=True)
class Queries:
    """The judged queries as columns.

    Args:
        ids: Their ids, in the order of the collection.
        texts: What was asked.
        relevant: How many documents are judged relevant for each.
    """

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    relevant: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReportData:
    """All that the page's scripts read.

    Args:
        measures: The measures of effectiveness; traces are chosen by the first.
        pipelines: Those that finished.
        baseline: What they are compared with; None if it failed.
        tie: Values this close are equal.
        relevance_level: Least grade that counts as relevant.
        queries: The judged queries.
        values: Measure -> a list for each pipeline, of a value for each query; None for one that is not finite.
        traces: Query id -> pipeline -> the way of the query; for some queries.
        documents: Document id -> title and text, for the documents of the traces.
        explain: The command that shows what is not stored; a pipeline and a query follow it.
    """

    measures: tuple[str, ...]
    pipelines: tuple[str, ...]
    baseline: str | None
    tie: float
    relevance_level: int
    queries: Queries
    values: dict[str, list[list[float | None]]]
    traces: dict[str, dict[str, QueryTrace]]
    documents: dict[str, DocumentText]
    explain: str

    def to_dict(self) -> dict[str, Any]:
        """A JSON form."""
        return asdict(self)


def report_data(result: ExperimentResult, folder: Path) -> ReportData:
    """Gather what the page shows.

    Args:
        result: What the experiment gave.
        folder: Where its results stand, for the command that shows more.
    """
    collection, measures = result.collection, result.summary.measures
    evaluations = {name: outcome.evaluation.per_query for name, outcome in result.outcomes.items()}
    queries = _queries(result, list(next(iter(evaluations.values()))[measures[0]]))
    values = {
        measure: [_rounded([found[measure][query_id] for query_id in queries.ids]) for found in evaluations.values()]
        for measure in measures
    }
    traced = chosen_queries({name: found[measures[0]] for name, found in evaluations.items()})
    traces, documents = stored_traces(result, traced)
    return ReportData(
        measures=measures,
        pipelines=tuple(result.outcomes),
        baseline=result.summary.baseline,
        tie=TIE,
        relevance_level=collection.relevance_level,
        queries=queries,
        values=values,
        traces=traces,
        documents=documents,
        explain=f"rankloom explain {shlex.quote(str(folder))}",
    )


def _queries(result: ExperimentResult, judged: Sequence[str]) -> Queries:
    """The judged queries in the order of the collection."""
    collection = result.collection
    texts = {query.id: query.text for query in collection.queries}
    known = set(judged)
    ids = [query_id for query_id in texts if query_id in known]
    ids += [query_id for query_id in judged if query_id not in texts]
    least = collection.relevance_level
    return Queries(
        tuple(ids),
        tuple(texts.get(query_id, "") for query_id in ids),
        tuple(sum(grade >= least for grade in collection.qrels.get(query_id, {}).values()) for query_id in ids),
    )


def _rounded(values: Sequence[float]) -> list[float | None]:
    """Values in as few digits as tell them apart; JSON knows no NaN and no infinity."""
    return [round(value, DIGITS) if math.isfinite(value) else None for value in values]
