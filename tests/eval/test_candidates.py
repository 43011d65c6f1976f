import json
from pathlib import Path
from typing import Any

import pytest

from rankloom.errors import CompositionError, DataError, NotFoundError, UsageError
from rankloom.eval.candidates import Candidates, read_candidates
from rankloom.records import Query

LINES: list[dict[str, Any]] = [
    {
        "query_id": "q1",
        "query": "first",
        "hits": [
            {"doc_id": "b", "score": 2.0, "rank": 1, "text": "two"},
            {"doc_id": "c", "score": 1.0, "rank": 2, "text": "three"},
            {"doc_id": "a", "score": 1.0, "rank": 3, "text": "one", "title": "T"},
        ],
    },
    {"query_id": "q2", "query": "second", "hits": []},
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "stored.jsonl"
    target.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return target


def test_reading(path: Path) -> None:
    run = read_candidates(path)
    assert {query.id: query.text for query in run.queries} == {"q1": "first", "q2": "second"}
    assert [(hit.doc_id, hit.score, hit.text) for hit in run["q1"]] == [
        ("b", 2.0, "two"),
        ("a", 1.0, "one"),
        ("c", 1.0, "three"),
    ]
    assert run["q1"][1].title == "T"


def test_the_stage_looks_up_by_query_id_and_notes_what_it_lacks(path: Path) -> None:
    run = Candidates(str(path)).run([Query("q9", "new"), Query("q1", "reworded"), Query("q2", "second")])
    assert {query_id: hits.doc_ids for query_id, hits in run.items()} == {"q9": [], "q1": ["b", "a", "c"], "q2": []}
    assert [(note.kind, note.query_id, note.detail) for note in run.ledger.notes] == [
        ("no_hits", "q9", "not in the stored candidates"),
        ("no_hits", "q2", ""),
    ]
    assert run["q1"][0].text == "two"


def test_the_depth_is_pushed_down_and_texts_go_on(path: Path) -> None:
    stage = Candidates(str(path))
    assert stage.top(2).run({"q1": "first"})["q1"].doc_ids == ["b", "a"]
    assert stage.replace(k=1).run({"q1": "first"})["q1"].doc_ids == ["b"]
    assert [one.text for one in stage.documents.get(["a"])] == ["one"]


def test_fingerprint_knows_the_content(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(path.read_bytes())
    before = Candidates(str(path)).fingerprint()
    assert Candidates(str(copy)).fingerprint() == before
    assert Candidates(str(path), k=5).fingerprint() != before
    copy.write_text(copy.read_text().replace("two", "2"))
    assert Candidates(str(copy)).fingerprint() != before


def test_wrong_parameters(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        Candidates("dl19/bm25", k=0)
    with pytest.raises(NotFoundError):
        Candidates("dl00/none").run("x")
    with pytest.raises((NotFoundError, CompositionError)):
        Candidates(str(tmp_path / "nowhere.jsonl")).run("x")


HIT = {"doc_id": "d", "score": 1.0, "text": "t"}


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([{"query": "x", "hits": []}], "line 1: .*query_id"),
        ([{"query_id": "q", "query": "x", "hits": [{"doc_id": "d", "score": "high", "text": ""}]}], "line 1: .*high"),
        ([{"query_id": "q", "query": "x", "hits": [{"doc_id": "d", "score": 1.0}]}], "line 1: .*text"),
        ([{"query_id": "q", "query": "x", "hits": []}] * 2, "line 2: .*stands twice"),
        (
            [
                {"query_id": "q", "query": "x", "hits": [HIT]},
                {"query_id": "r", "query": "x", "hits": [{**HIT, "text": "other"}]},
            ],
            "line 2: .*two texts",
        ),
        ([{"query_id": "q", "query": "x", "hits": [HIT, HIT]}], "line 1: a document stands twice"),
        ([{"query_id": "q", "query": "x", "hits": [{**HIT, "score": float("nan")}]}], "line 1: a score is NaN"),
    ],
)
def test_bad_files(lines: list[dict[str, Any]], reason: str, tmp_path: Path) -> None:
    target = tmp_path / "bad.jsonl"
    target.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(DataError, match=reason):
        read_candidates(target)
