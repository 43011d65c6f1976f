import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.columns import ranking_from_columns
from rankloom.errors import DataError, StageError
from rankloom.records import Query
from rankloom.run import Run

IDS = st.sampled_from(["a", "b", "c", "ä", "B", "10", "9"])
SCORES = st.floats(-100, 100, width=32) | st.sampled_from([0.0, -0.0, 1.0])
ROWS = st.lists(st.tuples(IDS, IDS, SCORES), max_size=30, unique_by=lambda row: row[:2])


def expected(rows: list[tuple[str, str, float]]) -> dict[str, list[str]]:
    lists: dict[str, list[tuple[float, str]]] = {}
    for query_id, doc_id, score in rows:
        lists.setdefault(query_id, []).append((-score, doc_id))
    return {query_id: [doc_id for _, doc_id in sorted(hits)] for query_id, hits in lists.items()}


@given(ROWS)
@settings(deadline=None)
def test_rows_in_any_order_become_ordered_lists(rows: list[tuple[str, str, float]]) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    run = Run.from_columns(*columns)  # type: ignore[arg-type]
    assert {query_id: hits.doc_ids for query_id, hits in run.items()} == expected(rows)
    assert list(run) == list(expected(rows))


@given(ROWS, st.permutations(["a", "b", "c", "ä", "B", "10", "9", "unranked"]))
@settings(deadline=None)
def test_queries_give_the_order(rows: list[tuple[str, str, float]], order: list[str]) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    run = Run.from_columns(*columns, queries=[Query(one, one) for one in order])  # type: ignore[arg-type]
    assert list(run) == order
    assert {query_id: hits.doc_ids for query_id, hits in run.items() if hits} == expected(rows)


@given(ROWS)
@settings(deadline=None)
def test_arrow_and_back(rows: list[tuple[str, str, float]]) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    run = Run.from_columns(*columns)  # type: ignore[arg-type]
    table = run.to_arrow()
    assert table.schema.names == ["query_id", "doc_id", "rank", "score"]
    again = Run.from_columns(table["query_id"], table["doc_id"], table["score"])
    assert again.to_arrow() == table
    assert again.to_dict() == run.to_dict()


@pytest.mark.parametrize(
    "make",
    [
        list,
        tuple,
        lambda v: np.array(v, dtype=object),
        np.array,
        pd.Series,
        pa.array,
        lambda v: pa.array(v).dictionary_encode(),
        lambda v: pa.chunked_array([v[:1], v[1:]]),
    ],
)
def test_containers(make: object) -> None:
    run = Run.from_columns(make(["q", "q", "r"]), make(["x", "y", "x"]), [1, 2, 3])  # type: ignore[operator]
    assert run.to_dict() == {"q": {"y": 2.0, "x": 1.0}, "r": {"x": 3.0}}
    frame = run.to_pandas()
    assert frame["rank"].tolist() == [1, 2, 1]


def test_bad_columns() -> None:
    with pytest.raises(DataError, match="differ in length"):
        ranking_from_columns(["q"], ["d", "e"], [1.0])
    with pytest.raises(DataError, match="doc_ids"):
        ranking_from_columns(["q"], [5], [1.0])  # type: ignore[list-item]
    with pytest.raises(DataError, match="int64"):
        ranking_from_columns(["q"], pa.array([5]), [1.0])
    with pytest.raises(DataError, match="not numbers"):
        ranking_from_columns(["q"], ["d"], ["x"])  # type: ignore[list-item]
    with pytest.raises(DataError, match="missing"):
        ranking_from_columns([None], ["d"], [1.0])  # type: ignore[list-item]
    with pytest.raises(DataError, match="empty"):
        ranking_from_columns(["q"], [""], [1.0])
    with pytest.raises(DataError, match="'r'"):
        ranking_from_columns(["q", "r"], ["d", "d"], [1.0, 1.0], queries=(Query("q", ""),))
    with pytest.raises(StageError, match="NaN"):
        ranking_from_columns(["q"], ["d"], [float("nan")])
    with pytest.raises(StageError, match="twice"):
        ranking_from_columns(["q", "r", "q"], ["d", "d", "d"], [1.0, 2.0, 3.0])


def test_an_empty_run_has_an_empty_table() -> None:
    table = Run.from_columns([], [], [], queries={"q": "text"}).to_arrow()
    assert table.num_rows == 0
    assert table.schema.field("score").type == pa.float32()
