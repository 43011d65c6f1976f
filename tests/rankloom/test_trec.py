import gzip
from pathlib import Path

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from rankloom.corpus import MemoryDocuments
from rankloom.errors import CompositionError, DataError, NotFoundError
from rankloom.records import Document
from rankloom.run import Run
from rankloom.trec import read_run, write_run

IDS = st.text(alphabet=st.characters(exclude_categories=["Cs", "Z", "Cc"]), min_size=1, max_size=4)
SCORES = st.floats(-(2.0**100), 2.0**100, width=32) | st.sampled_from([0.0, -0.0, 1.0, 1e-45])
SCORED = st.dictionaries(IDS, st.dictionaries(IDS, SCORES, min_size=1, max_size=6), max_size=4)


@given(scored=SCORED)
@settings(deadline=None, max_examples=60)
def test_write_read_write_gives_the_same_bytes_and_order(
    scored: dict[str, dict[str, float]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("trec")
    run = Run.from_dict(scored)
    run.to_trec(folder / "one.run")
    again = Run.from_trec(folder / "one.run")
    again.to_trec(folder / "two.run")
    assert (folder / "one.run").read_bytes() == (folder / "two.run").read_bytes()
    assert {key: hits.doc_ids for key, hits in run.items()} == {key: hits.doc_ids for key, hits in again.items()}
    for line in (folder / "one.run").read_text(encoding="utf-8").split("\n")[:-1]:
        assert len(line.split()) == 6


def test_the_lines(tmp_path: Path) -> None:
    run = Run.from_dict({"q1": {"b": 1.0, "a": 1.0, "c": 2.5}, "q2": {}, "q3": {"a": -1.0}})
    path = tmp_path / "x.run"
    write_run(run, path, tag="mine")
    below = str(np.nextafter(np.float32(1), np.float32(0)))
    assert path.read_text().splitlines() == [
        "q1 Q0 c 1 2.5 mine",
        "q1 Q0 a 2 1 mine",
        f"q1 Q0 b 3 {below} mine",
        "q3 Q0 a 1 -1 mine",
    ]


def test_another_evaluator_sees_our_order_through_ties(tmp_path: Path) -> None:
    # trec_eval breaks ties by document id descending: without the steps down it would put "z" first.
    run = Run.from_dict({"q": {"a": 1.0, "m": 1.0, "z": 1.0}})
    run.to_trec(tmp_path / "x.run")
    with (tmp_path / "x.run").open() as file:
        scores = pytrec_eval.parse_run(file)
    evaluator = pytrec_eval.RelevanceEvaluator({"q": {"a": 1}}, {"recip_rank"})
    assert evaluator.evaluate(scores)["q"]["recip_rank"] == 1.0


def test_spaces_tabs_blank_lines_and_gzip(tmp_path: Path) -> None:
    content = b"q1\tQ0\td1\t1\t2.5\tt\r\n\n  q1   Q0 d2  9 +3e0 t \nq2 Q0 d1 1 .5 t"
    (tmp_path / "x.run").write_bytes(content)
    (tmp_path / "x.run.gz").write_bytes(gzip.compress(content))
    for name in ("x.run", "x.run.gz"):
        assert read_run(tmp_path / name).to_dict() == {"q1": {"d2": 3.0, "d1": 2.5}, "q2": {"d1": 0.5}}


def test_gzipped_files_are_alike_whenever_written(tmp_path: Path) -> None:
    run = Run.from_dict({"q": {"d": 1.0}})
    run.to_trec(tmp_path / "a.run.gz")
    run.to_trec(tmp_path / "b.run.gz")
    assert (tmp_path / "a.run.gz").read_bytes() == (tmp_path / "b.run.gz").read_bytes()
    assert read_run(tmp_path / "a.run.gz").to_dict() == run.to_dict()


def test_queries_documents_and_empty_runs(tmp_path: Path) -> None:
    Run.from_dict({"q1": {"d": 1.0}}).to_trec(tmp_path / "x.run")
    held = MemoryDocuments([Document("d", "text")])
    run = read_run(tmp_path / "x.run", queries={"q0": "none", "q1": "one"}, documents=held)
    assert [query.text for query in run.queries] == ["none", "one"]
    assert run["q1"][0].text == "text"
    with pytest.raises(DataError, match="'q1'"):
        read_run(tmp_path / "x.run", queries={"q0": "none"})
    Run.from_dict({"q1": {}}).to_trec(tmp_path / "empty.run")
    assert len(read_run(tmp_path / "empty.run")) == 0


OK = b"q1 Q0 d1 1 2.0 t\n"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"q1 Q0 d2 2 1.0", "line 3: 5 columns"),
        (b"q1 Q0 d2 2 1.0 t extra", "line 3: 7 columns"),
        (b"q1 Q0 d2 2 high t", "line 3: the score is not a number; got 'high'"),
        (b"q1 Q0 d2 2 nan t", "line 3: the score is not a finite"),
        (b"q1 Q0 d2 2 1e60 t", "line 3: the score is not a finite"),
        (b"q1 Q0 d1 2 1.0 t", "line 3: the document already stands at line 1"),
        (b"q1 Q0 \xff 2 1.0 t", "line 3: not UTF-8"),
    ],
)
def test_bad_lines_name_file_and_line(line: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "x.run"
    path.write_bytes(OK + b"\n" + line + b"\n" + OK.replace(b"q1", b"q2"))
    with pytest.raises(DataError, match=rf"x\.run {reason}"):
        read_run(path)


def test_blocks_keep_line_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rankloom.trec._BYTES_A_READ", 7)
    path = tmp_path / "x.run"
    path.write_bytes(OK + OK.replace(b"d1", b"d2") + b"\n" + b"q1 Q0 d3 2\n")
    with pytest.raises(DataError, match="line 4: 4 columns"):
        read_run(path)


def test_what_can_not_be_written(tmp_path: Path) -> None:
    for doc_id in ("two words", "tab\t", "no\u00a0break", "line\u2028", "x\x85"):
        with pytest.raises(DataError, match="document id holds white space"):
            write_run(Run.from_dict({"q": {doc_id: 1.0}}), tmp_path / "x.run")
    with pytest.raises(DataError, match="query id"):
        write_run(Run.from_dict({"q 1": {"d": 1.0}}), tmp_path / "x.run")
    for tag in ("", "my run"):
        with pytest.raises(DataError, match="tag"):
            write_run(Run.from_dict({"q": {"d": 1.0}}), tmp_path / "x.run", tag=tag)
    with pytest.raises(CompositionError):
        write_run(Run.start("no ranking"), tmp_path / "x.run")
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_not_there_or_cut(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_run(tmp_path / "nowhere.run")
    (tmp_path / "x.run.gz").write_bytes(gzip.compress(OK)[:-6])
    with pytest.raises(DataError, match="damaged gzip"):
        read_run(tmp_path / "x.run.gz")
