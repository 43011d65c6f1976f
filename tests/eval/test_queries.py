import gzip
from pathlib import Path

import pytest

from rankloom.errors import DataError, NotFoundError
from rankloom.eval.queries import read_queries
from rankloom.records import Query


def test_json_lines_and_tabs(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text('{"_id": "a", "text": "one", "metadata": {"x": 1}, "y": 2}\n{"query_id": 5, "query": "two"}\n')
    wanted = (Query("a", "one", metadata={"x": 1, "y": 2}), Query("5", "two"))
    assert read_queries(path) == wanted
    zipped = tmp_path / "q.jsonl.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    assert read_queries(zipped) == wanted
    table = tmp_path / "q.tsv"
    table.write_text("a\tone\twith a tab\n")
    assert read_queries(table) == (Query("a", "one\twith a tab"),)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("q.jsonl", '{"_id": "a", "text": "x"}\n{"_id": "a", "text": "y"}\n', "line 2: .*stands twice"),
        ("q.jsonl", '{"_id": "a"}\n', "line 1: .*needs an id and a text"),
        ("q.jsonl", "[1]\n", "line 1: not a JSON object"),
        ("q.jsonl", "{\n", "line 1: malformed JSON"),
        ("q.tsv", "no tab\n", "line 1: no tab"),
        ("q.tsv", "\n", "no query"),
    ],
)
def test_bad_files(name: str, text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=reason):
        read_queries(tmp_path / name)
    with pytest.raises(NotFoundError):
        read_queries(tmp_path / "nowhere.jsonl")
