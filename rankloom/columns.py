"""Runs from parallel columns and back to Arrow, without a Python object for each row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import DataError
from rankloom.ids import DocIds
from rankloom.ranking import Ranking, ScoreKind
from rankloom.records import Query

if TYPE_CHECKING:
    import pyarrow as pa

    from rankloom.run import Run


def ranking_from_columns(
    query_ids: Sequence[str] | pa.Array,
    doc_ids: Sequence[str] | pa.Array,
    scores: Sequence[float] | NDArray[np.float32],
    *,
    queries: tuple[Query, ...] | None = None,
    kind: ScoreKind = ScoreKind.SIMILARITY,
    stage: str = "Run.from_columns",
) -> tuple[tuple[Query, ...], Ranking]:
    """Queries and their ranking from three parallel columns, one row for each hit, in any order.

    Args:
        query_ids: Query of each hit: a sequence of str, a NumPy array, or an Arrow array.
        doc_ids: Document of each hit, likewise.
        scores: Score of each hit; taken as float32.
        queries: The queries in the order wanted; one that no row names has no hits. None: as they first occur,
            with empty texts.
        kind: What the scores mean.
        stage: Who asks, for errors.

    Raises:
        DataError: The columns differ in length, hold something else than strings and numbers, or name a query that
            is not among `queries`.
        StageError: A score is NaN or infinite, or a query holds a document twice.

    Example:
        >>> queries, ranking = ranking_from_columns(["q2", "q1", "q2"], ["d1", "d1", "d2"], [1.0, 2.0, 3.0])
        >>> [query.id for query in queries], ranking.doc_ids(0)
        (['q2', 'q1'], ['d2', 'd1'])
    """
    names = string_column(query_ids, "query_ids", stage)
    documents = string_column(doc_ids, "doc_ids", stage)
    try:
        values = np.asarray(scores, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f"the scores are not numbers ({error})", stage=stage) from error
    if not len(names) == len(documents) == len(values) or values.ndim != 1:
        raise DataError(
            "the columns differ in length",
            stage=stage,
            value=f"{len(names)} query ids, {len(documents)} document ids, scores of shape {values.shape}",
        )
    if names.null_count:
        raise DataError("a query id is missing", stage=stage, accepted="non-empty strings")
    coded = names.dictionary_encode()
    known, place = _places(coded.dictionary.to_pylist(), queries, stage)
    numbers = place[coded.indices.to_numpy()]
    ids, codes = DocIds.encode(documents)
    if np.any(numbers[1:] < numbers[:-1]):
        # Rows of one query mostly stand together, in another order of queries: a stable sort goes run by run.
        order = np.argsort(numbers, kind="stable")
        codes, values = codes[order], values[order]
    counts = np.bincount(numbers, minlength=len(known))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return known, Ranking.build(ids, offsets, codes, values, stage=stage, kind=kind)


def string_column(values: Any, name: str, stage: str) -> pa.LargeStringArray:
    """Strings in any usual container as one Arrow array.

    Args:
        values: A sequence of str, a NumPy array, a pandas series, or an Arrow array, chunked or not.
        name: What to call it in errors.
        stage: Who asks, for errors.

    Raises:
        DataError: It holds something else than strings.
    """
    import pyarrow as pa

    try:
        if isinstance(values, pa.ChunkedArray):
            values = values.combine_chunks()
        if not isinstance(values, pa.Array):
            return pa.array(values, pa.large_string())
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
            raise DataError(f"{name} are not strings", stage=stage, value=str(values.type))
        return values.cast(pa.large_string())
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError) as error:
        raise DataError(f"{name} are not all strings ({error})", stage=stage) from error


def arrow_table(run: Run) -> pa.Table:
    """A run's hits as an Arrow table.

    Args:
        run: A run with a ranking.

    Returns:
        Columns query_id and doc_id (large_string), rank (int32, from 1) and score (float32); one row for each hit,
        queries in the run's order, best hits first.

    Raises:
        CompositionError: The run has no ranking.
    """
    import pyarrow as pa

    ranking = run.hits(stage="Run.to_arrow")
    names = pa.array([query.id for query in run.queries], pa.large_string())
    return pa.table(
        {
            "query_id": names.take(pa.array(ranking.query_numbers())),
            "doc_id": ranking.ids.array.take(pa.array(ranking.codes)),
            "rank": pa.array(ranking.ranks().astype(np.int32)),
            "score": pa.array(ranking.scores),
        }
    )


def _places(
    names: list[str], queries: tuple[Query, ...] | None, stage: str
) -> tuple[tuple[Query, ...], NDArray[np.int64]]:
    """The queries, and the place among them of each distinct name."""
    if queries is None:
        queries = tuple(Query(name, "") for name in names)
    known = {query.id: place for place, query in enumerate(queries)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise DataError(
            f"{len(unknown)} ranked queries are not among the queries",
            stage=stage,
            value=unknown[0],
            fix="pass all queries, or filter the rows first",
        )
    return queries, np.array([known[name] for name in names], dtype=np.int64)
